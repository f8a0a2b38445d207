package dynamic

import (
	"context"
	"errors"
	"net/http"

	"github.com/rotatord/rotatord/internal/provider"
)

// Inspect reads the wallet by its address, and by its id first when the address
// is not known yet. The vendor tells no public key.
//
// A wallet whose refresh would lose recovery is refused as Terminal; the
// Inspection beside that error is filled in all the same, for a caller who
// needs to know no more than which share set is active.
func (p *Provider) Inspect(ctx context.Context, w provider.Wallet) (provider.Inspection, error) {
	p.cleared.drop(w.ExternalID) // what was found earlier no longer counts
	s, err := parseSettings(w)
	if err != nil {
		return provider.Inspection{}, err
	}
	v, err := p.view(ctx, w, s)
	if err != nil {
		return provider.Inspection{}, err
	}
	found := provider.Inspection{ActiveShareSet: v.ShareSet, Address: v.Address, Chain: v.Chain}
	cl, err := clearanceOf(v, s)
	if err != nil {
		return found, provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "refusing wallet %s: %w", w.ExternalID, err)
	}
	p.cleared.put(w.ExternalID, cl)
	return found, nil
}

// view reads what the vendor says about w. Only the reply to byWalletAddress
// tells the active share set; only the one by id is sure to list key shares.
func (p *Provider) view(ctx context.Context, w provider.Wallet, s settings) (walletView, error) {
	if !uuidPattern.MatchString(w.ExternalID) {
		return walletView{}, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"wallet %q: the external id of a Dynamic wallet is a UUID in lower case", w.ExternalID)
	}
	var byID walletView
	address := w.Address
	if address == "" {
		var err error
		if byID, err = p.readByID(ctx, w); err != nil {
			return walletView{}, err
		}
		if address = byID.Address; address == "" {
			return walletView{}, provider.Errorf(provider.Terminal, provider.ReasonProviderError,
				"reading wallet %s: the vendor tells no address for it", w.ExternalID)
		}
	}
	v, err := p.readWallet(ctx, w, p.walletRoute("byWalletAddress", address), withSession)
	if err != nil {
		return walletView{}, err
	}
	if v.ShareSet == "" {
		return walletView{}, provider.Errorf(provider.Terminal, provider.ReasonProviderError,
			"reading wallet %s: the vendor does not tell its active share set; a swap could not be proven", w.ExternalID)
	}
	if v.KeyShares == nil && byID.KeyShares == nil && w.Address != "" && s.ExternalClientShares == 0 {
		if byID, err = p.readByID(ctx, w); err != nil {
			return walletView{}, err
		}
	}
	v.fill(byID)
	return v, nil
}

func (p *Provider) readByID(ctx context.Context, w provider.Wallet) (walletView, error) {
	return p.readWallet(ctx, w, p.environmentRoute(w.ExternalID), withAPIToken)
}

// readWallet reads one of the wallet's two routes and compares the reply with
// what was asked for.
func (p *Provider) readWallet(ctx context.Context, w provider.Wallet, path string, with credential) (walletView, error) {
	r := request{
		op: opWallet, what: "reading wallet " + w.ExternalID, method: http.MethodGet, path: path,
		accept: "application/json", id: newRequestID(), with: with,
	}
	body, err := p.call(ctx, r, maxReply)
	if err != nil {
		return walletView{}, err
	}
	v, err := parseWallet(body, w)
	switch {
	case errors.Is(err, errContradictory):
		return walletView{}, provider.Errorf(provider.Verification, provider.ReasonVerification, "%s: %w", r.what, err)
	case err != nil:
		return walletView{}, r.garbled(err.Error())
	case v.ID != "" && v.ID != w.ExternalID:
		return walletView{}, provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: its address belongs to another wallet at the vendor", r.what)
	case v.Address != "" && w.Address != "" && !sameAddress(v.Address, w.Address):
		return walletView{}, provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: the vendor tells another address than the one on record", r.what)
	}
	return v, nil
}

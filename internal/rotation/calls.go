package rotation

import (
	"context"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// call gives one call to a vendor or co-signer its time: never longer than
// this replica may act, so that nothing it sent is still under way when
// another replica takes over.
func (j *job) call(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := j.leased(); err != nil {
		return nil, nil, err
	}
	end := time.Now().Add(j.Timing.Call)
	if until := j.Lease.Until(); until.Before(end) {
		end = until
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	return ctx, cancel, nil
}

// leased says whether this replica may act at all.
func (j *job) leased() error {
	if !time.Now().Before(j.Lease.Until()) {
		return recording(store.ErrGivenUp)
	}
	return nil
}

// coSigner finds the wallet's co-signer.
func (j *job) coSigner() (*cosigner.Client, error) { return coSignerOf(j.CoSigner, j.r.Wallet) }

func coSignerOf(find func(provider, named string) *cosigner.Client, w store.Wallet) (*cosigner.Client, error) {
	if c := find(w.Provider, w.CoSigner); c != nil {
		return c, nil
	}
	if w.CoSigner != "" {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonCoSigner, "co-signer %s is not in the configuration of this daemon", w.CoSigner)
	}
	return nil, provider.Errorf(provider.Terminal, provider.ReasonCoSigner, "provider %s has no co-signer in the configuration of this daemon", w.Provider)
}

// wallet is what the provider is told about it. Until the baseline has vouched
// for the operator's address the vendor is asked for its own, so that the two
// can be compared.
func (j *job) wallet() provider.Wallet {
	w := j.r.Wallet
	address := w.Address
	if address == "" || j.r.Head.ActiveShareSet == "" {
		address = j.known.Address
	}
	return provider.Wallet{ID: w.ID, ExternalID: w.ExternalID, Address: address, Chain: w.Chain, Settings: w.Settings}
}

func (j *job) attempt() provider.Attempt {
	r := j.r
	return provider.Attempt{ID: r.AttemptID, Wallet: j.wallet(), OldShareSet: r.OldShareSet, PendingShareSet: r.PendingShareSet,
		Refs: r.Refs, Interval: j.Interval(r)}
}

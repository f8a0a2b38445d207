package dynamic

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/rotatord/rotatord/internal/provider"
)

type location struct {
	Location string `json:"location"`
}

// locationsRequest has no field that may be left out: without a shareSetId the
// vendor would choose the share set itself.
type locationsRequest struct {
	Locations  []location `json:"locations"`
	ShareSetID string     `json:"shareSetId"`
}

type locationsReply struct {
	WalletID             string `json:"walletId"`
	ShareSetID           string `json:"shareSetId"`
	WalletActive         *bool  `json:"walletActive"`
	PasswordUpdateStatus string `json:"passwordUpdateStatus"`
}

// Promote tells the vendor that every client share of the pending set is kept
// externally, which is the call that swaps the set in. Nothing secret is in it.
// Repeating it with the same attempt names the same set and is harmless.
func (p *Provider) Promote(ctx context.Context, a provider.Attempt) error {
	what := "activating share set " + a.PendingShareSet + " of wallet " + a.Wallet.ExternalID
	if a.PendingShareSet == "" || a.PendingShareSet == a.OldShareSet {
		return provider.Errorf(provider.Terminal, provider.ReasonInternal,
			"activating a share set of wallet %s: no pending share set is on record", a.Wallet.ExternalID)
	}
	var refs vendorRefs
	if len(a.Refs.Vendor) > 0 {
		if err := json.Unmarshal(a.Refs.Vendor, &refs); err != nil {
			return provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s: reading its references: %w", what, err)
		}
	}
	if refs.ClientShares < 1 {
		return provider.Errorf(provider.Terminal, provider.ReasonInternal,
			"%s: the number of client shares is not on record", what)
	}
	body := locationsRequest{ShareSetID: a.PendingShareSet}
	for range refs.ClientShares {
		body.Locations = append(body.Locations, location{Location: external})
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s: encoding the request: %w", what, err)
	}
	r := request{
		op: opLocations, what: what, method: http.MethodPost,
		path: p.walletRoute(a.Wallet.ExternalID, "keyShares", "backup", "locations"), body: encoded,
		accept: "application/json", id: a.ID, with: withSession,
	}
	reply, err := p.call(ctx, r, maxReply)
	if err != nil || reply == nil {
		return err
	}
	return r.checkLocations(reply, a)
}

// checkLocations compares the reply with what was asked. A field that an older
// backend leaves out says nothing; the Inspect that follows says it all.
func (r request) checkLocations(body []byte, a provider.Attempt) error {
	var reply locationsReply
	if json.Unmarshal(body, &reply) != nil {
		return r.garbled("the reply is not the JSON that was expected")
	}
	switch {
	case (reply.WalletID != "" && reply.WalletID != a.Wallet.ExternalID) ||
		(reply.ShareSetID != "" && reply.ShareSetID != a.PendingShareSet):
		// The vendor says that it did something, and to something else. Asking
		// again would not undo it: a person must look.
		return provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: the vendor answered for another wallet or share set", r.what)
	case reply.PasswordUpdateStatus != "" && reply.PasswordUpdateStatus != "activated":
		// "pending", or a word that is new: taken, not done. It may be done at
		// any moment, so this is no refusal.
		return provider.Errorf(provider.InDoubt, provider.ReasonProviderError,
			"%s: the vendor has taken the request and not yet carried it out", r.what)
	case reply.WalletActive != nil && !*reply.WalletActive:
		// A success that says "not active" is no refusal either: the set may
		// become active without us. Inspect tells which of the two it is.
		return provider.Errorf(provider.InDoubt, provider.ReasonProviderError,
			"%s: the vendor answered that the share set is not active", r.what)
	}
	return nil
}

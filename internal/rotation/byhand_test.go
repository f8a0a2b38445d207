package rotation

import (
	"context"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
)

// hand is what a person does to the only wallet behind the daemon's back.
type hand struct{ swap, commit, abort bool }

// byHand refreshes the only wallet with the vendor and the co-signer alone, as
// far as h says, and returns the new share set.
func (r *rig) byHand(h hand) string {
	r.t.Helper()
	ctx := r.t.Context()
	w := r.truth(0)
	a := provider.Attempt{ID: uuid.New(), OldShareSet: w.ActiveShareSet,
		Wallet: provider.Wallet{ExternalID: w.ID, Address: w.Address, Chain: w.Chain}}
	session, err := r.vendor.Open(ctx, a, func(_ context.Context, pending string, refs provider.Refs) error {
		a.PendingShareSet, a.Refs = pending, refs
		return nil
	})
	r.must(err)
	defer session.Close()
	s, err := r.signer.Start(ctx, cosigner.Ceremony{CeremonyID: a.ID, Provider: "dynamic", Wallet: w.ID, Address: w.Address, Chain: w.Chain,
		RoomID: a.Refs.Room, ShareSetID: a.PendingShareSet, PreviousShareSetID: a.OldShareSet,
		ServerKeygenIDs: a.Refs.ServerKeygenIDs, NewServerKeygenIDs: a.Refs.NewServerKeygenIDs})
	r.must(err)
	if s.State != cosigner.Prepared {
		r.t.Fatalf("the co-signer is %s", s.State)
	}
	if _, err := session.Await(ctx); err != nil {
		r.t.Fatal(err)
	}
	if h.swap {
		r.must(r.vendor.Promote(ctx, a))
	}
	if h.commit {
		_, err := r.signer.Commit(ctx, a.ID, cosigner.Commit{ShareSetID: a.PendingShareSet, Fingerprint: s.Fingerprint})
		r.must(err)
	}
	if h.abort {
		_, err := r.signer.Abort(ctx, a.ID)
		r.must(err)
	}
	return a.PendingShareSet
}

// rotated is a rig whose only wallet was rotated once, by a first replica.
func (r *rig) rotated() *replica {
	r.t.Helper()
	x := r.replica()
	x.claim()
	x.settled()
	return x
}

package cobo

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// nobody is the attempt of a swap that is not on record.
var nobody = uuid.Nil

// Retire deletes the Main Group that an upgrade of ours converted to a Signing
// Group. It refuses unless the group that replaced it, or a later one of ours,
// is the one Valid Main Group under the same root keys, and unless the old one
// is a Signing Group under these keys too. With RefreshOtherGroups it then
// replaces the other groups, see refresh.
//
// It does not promise that a share was destroyed: the vendor says that its own
// is gone, and the customer's is on a TSS node until somebody wipes it.
func (p *Provider) Retire(ctx context.Context, r provider.Retirement) (said string, err error) {
	vaultID := r.Wallet.ExternalID
	if r.OldShareSet == "" || r.NewShareSet == "" || r.OldShareSet == r.NewShareSet {
		return "", provider.Errorf(provider.Terminal, provider.ReasonInternal, "retiring a group of vault %s: old and new are not on record", vaultID)
	}
	refs, _, err := readRefs(r.Refs)
	if err != nil {
		return "", err
	}
	s, err := p.look(ctx, vaultID)
	if err != nil {
		return "", err
	}
	keys, err := s.keys()
	if err != nil {
		return "", err
	}
	if refs.RootKeys != "" && refs.RootKeys != keys.String() {
		return "", mismatch("the root keys of vault %s are not the ones on record: nothing is deleted", vaultID)
	}
	main, err := s.main()
	if err != nil {
		return "", err
	}
	if old, ok := s.find(r.OldShareSet); ok && !p.ended(old) {
		if err := s.succeeded(r, refs, main); err != nil {
			return "", err
		}
		if refs.Attempt == nobody && !s.replacedByUs(r) {
			return "", mismatch("nothing on record tells that rotatord took vault %s from group %s to %s: delete %s in the Portal if nobody needs it, then ask for a retry",
				vaultID, old.ID, r.NewShareSet, old.ID)
		}
		err := p.remove(ctx, vaultID, old, noRequests, func(g group) error { return retirable(vaultID, g, keys) })
		if err != nil || !p.opts.RefreshOtherGroups {
			return "", err
		}
		return "", goOn("group %s of vault %s was deleted", old.ID, vaultID)
	}
	if !p.opts.RefreshOtherGroups {
		return "", nil
	}
	return p.refresh(ctx, r, refs, s)
}

// ended says that nothing is left to be done about the old group, though it is
// listed. Where nothing follows, the delete is asked for all the same.
func (p *Provider) ended(old group) bool {
	return p.opts.RefreshOtherGroups && !old.alive() && (old.Type == signingGroup || p.opts.MainGroupHandling == Invalidate)
}

// replacedByUs judges a swap that a look found, and no attempt has on record: it
// was a call of ours if it was to a group of ours. That one may be gone by now;
// then it was one if the old group is of ours. What a person has converted, a
// person may want to keep.
func (s state) replacedByUs(r provider.Retirement) bool {
	g, listed := s.find(r.NewShareSet)
	if !listed {
		g, _ = s.find(r.OldShareSet)
	}
	_, ours := g.attempt()
	return ours
}

// succeeded refuses a Main Group other than the one that replaced the old one,
// the one that is on record by now, or one that a later rotation of ours made
// and is about to record: with a grace period longer than the time between
// rotations, several old groups wait for their end.
func (s state) succeeded(r provider.Retirement, refs vendorRefs, main group) error {
	if main.ID == r.OldShareSet {
		return mismatch("group %s of vault %s was to be deleted, and is its Main Group: nothing is deleted", main.ID, s.vault.ID)
	}
	if main.ID == r.NewShareSet || main.ID == r.ActiveShareSet {
		return nil
	}
	// Attempt ids are UUIDv7: their order is that of time.
	of, marked := main.attempt()
	if marked && refs.Attempt != nobody && strings.Compare(of.String(), refs.Attempt.String()) > 0 {
		return nil
	}
	return mismatch("the Main Group of vault %s is %s, not %s, which replaced %s: nothing is deleted",
		s.vault.ID, main.ID, r.NewShareSet, r.OldShareSet)
}

// retirable refuses everything but a Signing Group that holds these keys and no
// others. One that is deleted already may list none.
func retirable(vaultID string, g group, keys rootKeys) error {
	if g.Type != signingGroup {
		return mismatch("group %s of vault %s is of type %s, not a Main Group that was converted: it is not deleted", g.ID, vaultID, quoted(g.Type))
	}
	held, err := keysOf(g.Keys, "group "+g.ID)
	if err != nil {
		return err
	}
	if held.String() != keys.String() && (g.alive() || len(held) > 0) {
		return mismatch("group %s of vault %s has not the root keys of the vault: it is not deleted", g.ID, vaultID)
	}
	return nil
}

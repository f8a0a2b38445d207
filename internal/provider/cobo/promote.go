package cobo

import (
	"context"

	"github.com/rotatord/rotatord/internal/provider"
)

// Promote upgrades the pending group to the Main Group, after it has looked at
// everything again: a group that is the Main Group already needs nothing, and
// none is upgraded that is no longer what was verified, or whose nodes are
// offline, because the vault could not sign.
//
// An upgrade that the vendor accepts and does not carry out may wait for
// people's approval. It is asked for again, but rarer and rarer.
func (p *Provider) Promote(ctx context.Context, a provider.Attempt) error {
	what := "upgrading group " + a.PendingShareSet + " of vault " + a.Wallet.ExternalID
	refs, begun, err := readRefs(a.Refs)
	if err != nil {
		return err
	}
	if !begun || a.PendingShareSet == "" || a.PendingShareSet == a.OldShareSet {
		return provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s: no pending group is on record", what)
	}
	done, err := p.promoted(ctx, a, refs)
	if done || err != nil {
		return err
	}
	key := "upgrade/" + a.PendingShareSet
	if since, rests := p.submitted.rests(key, p.now()); rests {
		return notCarriedOut(what, since, provider.InDoubt)
	}
	g, asked := p.upgradeGroup(ctx, a.Wallet.ExternalID, a.PendingShareSet)
	switch {
	case refused(asked):
		// The vendor documents no codes for wrong states; what is so counts.
		if done, err := p.promoted(ctx, a, refs); done || isVerification(err) {
			return err
		}
		return asked
	case asked != nil:
		return asked
	case g.ID != a.PendingShareSet:
		return mismatch("%s: the vendor answered for another group", what)
	case g.Type != mainGroup:
		p.submitted.note(key, p.now())
	}
	return nil
}

// promoted says whether the pending group is the Main Group already; an error
// means that it must not be made it, or cannot be just now.
func (p *Provider) promoted(ctx context.Context, a provider.Attempt, refs vendorRefs) (bool, error) {
	s, err := p.look(ctx, a.Wallet.ExternalID)
	if err != nil {
		return false, err
	}
	m, err := s.main()
	if err != nil {
		return false, err
	}
	switch m.ID {
	case a.PendingShareSet:
		p.submitted.forget("upgrade/" + a.PendingShareSet)
		return true, nil
	case a.OldShareSet:
	default:
		return false, mismatch("the Main Group of vault %s is %s, neither the old one %s nor the pending one %s",
			s.vault.ID, m.ID, a.OldShareSet, a.PendingShareSet)
	}
	g, ok := s.find(a.PendingShareSet)
	if !ok || g.Status != groupValid {
		return false, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"group %s of vault %s was Valid and is not any more", a.PendingShareSet, s.vault.ID)
	}
	_, absent, err := refs.verify(s, g, a.OldShareSet)
	if err == nil && len(absent) > 0 {
		err = provider.Errorf(provider.Retryable, provider.ReasonPartyUnavailable,
			"group %s of vault %s is not upgraded while nodes are not online: %s", g.ID, s.vault.ID, waitingFor(absent))
	}
	return false, err
}

func isVerification(err error) bool {
	class, _ := provider.ClassOf(err)
	return err != nil && class == provider.Verification
}

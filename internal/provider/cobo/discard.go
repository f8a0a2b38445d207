package cobo

import (
	"context"

	"github.com/rotatord/rotatord/internal/provider"
)

// Discard cancels the attempt's TSS request and deletes its group. Both are
// touched only if they carry the attempt's mark, and the group only as long as
// it is a Signing Group: what became the Main Group meanwhile is in use. It
// looks by the mark as well as by the name on record, because an Open of
// unknown outcome had no name to record.
//
// With an attempt that created nothing it does nothing. It does not promise
// that the TSS node or the vendor destroyed its shares.
func (p *Provider) Discard(ctx context.Context, a provider.Attempt) error {
	_, begun, err := readRefs(a.Refs)
	if err != nil {
		return err
	}
	if !begun {
		return nil // the first reference is recorded before the first creation
	}
	vaultID := a.Wallet.ExternalID
	s, err := p.look(ctx, vaultID)
	if err != nil {
		return err
	}
	// Every vault has one. A list without it is no proof that ours is gone.
	if _, err := s.main(); err != nil {
		return err
	}
	p.submitted.forget("upgrade/" + a.PendingShareSet)
	for _, g := range s.groups {
		of, marked := g.attempt()
		ours := marked && of == a.ID
		switch {
		case !ours && g.ID != a.PendingShareSet:
			continue
		case g.Type == mainGroup || g.ID == a.OldShareSet:
			p.log.Warn("the group of an abandoned attempt is a Main Group and is left alone", "vault", vaultID, "group", g.ID)
			continue
		}
		err := p.remove(ctx, vaultID, g, mark(a.ID), func(g group) error { return discardable(vaultID, g, a) })
		if err != nil {
			return err
		}
	}
	return nil
}

// discardable refuses everything but a Signing Group with the attempt's mark.
func discardable(vaultID string, g group, a provider.Attempt) error {
	of, marked := g.attempt()
	switch {
	case g.Type != signingGroup:
		return mismatch("group %s of vault %s, of an abandoned attempt, is of type %s: it is not deleted", g.ID, vaultID, quoted(g.Type))
	case !marked || of != a.ID:
		return mismatch("group %s of vault %s, on record for an abandoned attempt, does not carry its mark: it is not deleted", g.ID, vaultID)
	case g.ID == a.OldShareSet:
		return mismatch("group %s of vault %s is the one that the attempt started from: it is not deleted", g.ID, vaultID)
	}
	return nil
}

package cobo

import (
	"context"
	"slices"

	"github.com/rotatord/rotatord/internal/provider"
)

// Open creates a Signing Group on free TSS nodes and a TSS request that
// reshares the Main Group into it. What it is going to create, the group and
// the request are checkpointed one after the other, each before the next.
//
// The vendor has no idempotency keys. When the outcome of a call is unknown,
// what carries the attempt's mark is looked for before anything else; if it is
// not there, Open ends InDoubt, and whatever appears later is found by Discard
// or by the next attempt.
func (p *Provider) Open(ctx context.Context, a provider.Attempt, checkpoint provider.Checkpoint) (provider.Session, error) {
	if a.OldShareSet == "" {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal,
			"rotating vault %s: no Main Group is on record", a.Wallet.ExternalID)
	}
	s, err := p.look(ctx, a.Wallet.ExternalID)
	if err != nil {
		return nil, err
	}
	pl, err := p.plan(ctx, s, a)
	if err != nil {
		return nil, err
	}
	record := func(groupID string) error {
		refs, err := pl.refs.encode()
		if err != nil {
			return err
		}
		return checkpoint(ctx, groupID, refs)
	}
	if err := record(""); err != nil {
		return nil, err
	}
	g, err := p.openGroup(ctx, s, a, pl)
	if err != nil {
		return nil, err
	}
	if err := record(g.ID); err != nil {
		return nil, err
	}
	if err := pl.fits(g); err != nil {
		return nil, err
	}
	if err := p.noneReplaced(ctx, a.Wallet.ExternalID); err != nil {
		return nil, err
	}
	q, err := p.openRequest(ctx, a, pl, g.ID)
	if err != nil {
		return nil, err
	}
	pl.refs.Request, pl.refs.RequestedAt = q.ID, p.now().UTC()
	if err := record(g.ID); err != nil {
		return nil, err
	}
	return &session{p: p, attempt: a, group: g.ID, refs: pl.refs}, nil
}

// openGroup creates the group, or finds the one that was created.
func (p *Provider) openGroup(ctx context.Context, s state, a provider.Attempt, pl plan) (group, error) {
	g, err := p.createGroup(ctx, s.vault.ID, pl.group)
	if inDoubt(err) {
		found, ok, searching := p.findGroup(ctx, s.vault.ID, pl.refs)
		if searching != nil || !ok {
			return group{}, err // the doubt remains
		}
		g, err = found, nil
	}
	if err != nil {
		return group{}, err
	}
	if _, known := s.find(g.ID); known {
		// Recorded as ours, it might be deleted as ours.
		return group{}, mismatch("the vendor answered with group %s of vault %s, which was there before it was asked for a new one", g.ID, s.vault.ID)
	}
	return g, nil
}

// fits refuses a new group that is not what was asked for, as far as the reply
// tells.
func (pl plan) fits(g group) error {
	nodes := nodesOf(g.customers())
	if g.Type != "" && g.Type != signingGroup || len(g.Keys) > 0 || len(nodes) > 0 && !sameNodes(nodes, pl.refs.Nodes) {
		return mismatch("the vendor created group %s, and not as it was asked for", g.ID)
	}
	return nil
}

// openRequest creates the TSS request, or finds the one that was created.
func (p *Provider) openRequest(ctx context.Context, a provider.Attempt, pl plan, groupID string) (tssRequest, error) {
	q, err := p.createRequest(ctx, a.Wallet.ExternalID, newTSSRequest{
		Type: keyGenFromKeyGroup, Target: groupID, Source: pl.source, Description: mark(a.ID),
	})
	if inDoubt(err) {
		found, ok, searching := p.findRequest(ctx, a.Wallet.ExternalID, groupID, a.ID)
		if searching != nil || !ok {
			return tssRequest{}, err // the doubt remains
		}
		q, err = found, nil
	}
	if notFound(err) {
		return tssRequest{}, provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
			"the vendor no longer knows a group that it has just created: %w", err)
	}
	if err != nil {
		return tssRequest{}, err
	}
	return q, q.belongs(groupID, a.ID)
}

func sameNodes(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

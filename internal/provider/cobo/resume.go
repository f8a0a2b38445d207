package cobo

import (
	"context"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// Resume finds an attempt again by its references, or by its mark where a crash
// came before they were on record. A TSS request goes on without us, so nothing
// is lost with a process but what had not been asked for: without a TSS request
// it is ErrSessionLost, and the group that may be there is on record by then.
func (p *Provider) Resume(ctx context.Context, a provider.Attempt, checkpoint provider.Checkpoint) (provider.Session, error) {
	refs, ok, err := readRefs(a.Refs)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, provider.ErrSessionLost
	}
	groupID := a.PendingShareSet
	if groupID != "" && refs.Request != "" {
		return &session{p: p, attempt: a, group: groupID, refs: refs}, nil
	}
	record := func() error {
		encoded, err := refs.encode()
		if err != nil {
			return err
		}
		return checkpoint(ctx, groupID, encoded)
	}
	if groupID == "" {
		g, found, err := p.findGroup(ctx, a.Wallet.ExternalID, refs)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, provider.ErrSessionLost
		}
		groupID = g.ID
		if err := record(); err != nil {
			return nil, err
		}
	}
	q, found, err := p.findRequest(ctx, a.Wallet.ExternalID, groupID, a.ID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, provider.ErrSessionLost
	}
	refs.Request, refs.RequestedAt = q.ID, p.now().UTC()
	if err := record(); err != nil {
		return nil, err
	}
	return &session{p: p, attempt: a, group: groupID, refs: refs}, nil
}

// findGroup looks for the group of an attempt: by its mark, on its nodes. One
// that is the Main Group by now is found, too: our own record may be older than
// the vendor's.
func (p *Provider) findGroup(ctx context.Context, vaultID string, refs vendorRefs) (found group, ok bool, err error) {
	groups, err := p.listGroups(ctx, vaultID)
	if err != nil {
		return group{}, false, err
	}
	for _, g := range groups {
		of, marked := g.attempt()
		if !marked || of != refs.Attempt || !sameNodes(nodesOf(g.customers()), refs.Nodes) {
			continue
		}
		switch {
		case ok:
			return group{}, false, mismatch("groups %s and %s of vault %s both carry the mark of attempt %s", found.ID, g.ID, vaultID, refs.Attempt)
		case g.Type != signingGroup && g.Type != mainGroup:
			return group{}, false, mismatch("group %s of vault %s carries the mark of attempt %s, and its type is %s", g.ID, vaultID, refs.Attempt, quoted(g.Type))
		}
		found, ok = g, true
	}
	return found, ok, nil
}

// findRequest looks for the TSS request of an attempt.
func (p *Provider) findRequest(ctx context.Context, vaultID, groupID string, attempt uuid.UUID) (found tssRequest, ok bool, err error) {
	requests, err := p.listRequests(ctx, vaultID, groupID)
	if notFound(err) {
		return tssRequest{}, false, nil
	}
	if err != nil {
		return tssRequest{}, false, err
	}
	for _, q := range requests {
		switch {
		case !q.isOf(attempt) || q.Type != keyGenFromKeyGroup || q.Target != groupID:
		case ok:
			return tssRequest{}, false, mismatch("TSS requests %s and %s of vault %s both carry the mark of attempt %s", found.ID, q.ID, vaultID, attempt)
		default:
			found, ok = q, true
		}
	}
	return found, ok, nil
}

// belongs refuses a TSS request that is not the one asked for, as far as the
// reply tells.
func (q tssRequest) belongs(groupID string, attempt uuid.UUID) error {
	if q.Target != "" && q.Target != groupID || q.Type != "" && q.Type != keyGenFromKeyGroup ||
		q.Description != "" && !q.isOf(attempt) {
		return mismatch("TSS request %s is not the one that was asked for", q.ID)
	}
	return nil
}

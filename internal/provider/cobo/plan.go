package cobo

import (
	"context"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/provider"
)

// plan is everything that Open is going to ask for.
type plan struct {
	group  newGroup
	source sourceGroup
	refs   vendorRefs
}

// plan decides what an attempt will ask for, and refuses what must not be begun
// now. Nothing of the attempt exists yet.
func (p *Provider) plan(ctx context.Context, s state, a provider.Attempt) (plan, error) {
	m, err := s.main()
	if err != nil {
		return plan{}, err
	}
	keys, err := s.keys()
	if err != nil {
		return plan{}, err
	}
	pool, err := p.pool(a.Wallet)
	if err != nil {
		return plan{}, err
	}
	if m.ID != a.OldShareSet {
		return plan{}, mismatch("the Main Group of vault %s is %s, not the one on record", s.vault.ID, m.ID)
	}
	if err := p.outlasts(a, m, pool); err != nil {
		return plan{}, err
	}
	if err := s.fit(); err != nil {
		return plan{}, err
	}
	if s, err = p.giveWay(ctx, s); err != nil {
		return plan{}, err
	}
	if err := p.nothingRuns(ctx, s); err != nil {
		return plan{}, err
	}
	if s, err = p.sweep(ctx, s, a); err != nil {
		return plan{}, err
	}
	nodes, err := s.choose(pool)
	if err != nil {
		return plan{}, err
	}
	source, err := p.source(ctx, s.vault.ID, m)
	if err != nil {
		return plan{}, err
	}
	pl := plan{
		group:  newGroup{Type: signingGroup, Participants: m.Participants, Threshold: m.Threshold},
		source: source,
		refs: vendorRefs{
			Attempt: a.ID, Nodes: nodes, Participants: m.Participants, Threshold: m.Threshold, RootKeys: keys.String(),
		},
	}
	for i, h := range m.customers() {
		pl.group.Holders = append(pl.group.Holders, newHolder{
			Name: holderName(a.ID, i), Type: holderAPI, Node: nodes[i], Signer: h.Signer == nil || *h.Signer,
		})
	}
	return pl, nil
}

// nothingRuns refuses a vault with a TSS request under way, whoever made it:
// there must never be two at a time.
func (p *Provider) nothingRuns(ctx context.Context, s state) error {
	q, runs, err := p.underWay(ctx, s)
	if err == nil && runs {
		err = provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
			"TSS request %s of vault %s is under way (%s): there must be one at a time", q.ID, s.vault.ID, quoted(q.Status))
	}
	return err
}

// underWay finds a TSS request that has not ended, whoever made it. Requests are
// listed by group, so all groups are asked but those that are deleted and listed
// all the same, of which there may be one for each past rotation.
func (p *Provider) underWay(ctx context.Context, s state) (q tssRequest, runs bool, err error) {
	for _, g := range s.groups {
		if !g.alive() {
			continue
		}
		running, err := p.running(ctx, s.vault.ID, g.ID) // none, if it was deleted a moment ago
		if err != nil {
			return tssRequest{}, false, err
		}
		if len(running) > 0 {
			return running[0], true, nil
		}
	}
	return tssRequest{}, false, nil
}

// sweep deletes groups that earlier attempts of ours left without a key: their
// creation took effect after they had been given up and looked for. It returns
// the state after that.
func (p *Provider) sweep(ctx context.Context, s state, a provider.Attempt) (state, error) {
	swept := false
	for _, g := range s.groups {
		if !s.stray(g, a) {
			continue
		}
		p.log.Warn("deleting a group that an earlier attempt left behind", "vault", s.vault.ID, "group", g.ID)
		err := p.remove(ctx, s.vault.ID, g, noRequests, func(g group) error {
			if !s.stray(g, a) {
				return mismatch("group %s of vault %s is not what it was a moment ago: it is not deleted", g.ID, s.vault.ID)
			}
			return nil
		})
		if err != nil {
			return s, err
		}
		swept = true
	}
	if !swept {
		return s, nil
	}
	return p.look(ctx, s.vault.ID)
}

// stray says that a group is of another attempt of ours and never had a key.
func (s state) stray(g group, a provider.Attempt) bool {
	of, ok := g.attempt()
	return ok && of != a.ID && g.Type == signingGroup && g.Status == groupNew && len(g.Keys) == 0 && g.ID != a.OldShareSet
}

// source names the nodes that are to use their present shares: the vendor's,
// and as many of the customer's as the threshold asks for. All of them must be
// there, or the TSS request would wait for hours.
func (p *Provider) source(ctx context.Context, vaultID string, m group) (sourceGroup, error) {
	source := sourceGroup{ID: m.ID}
	var absent []string
	need := m.Threshold - 1
	for _, h := range m.customers() {
		switch {
		case need == 0:
		case h.ready():
			source.Nodes = append(source.Nodes, h.Node)
			need--
		default:
			absent = append(absent, h.Node)
		}
	}
	if need > 0 {
		return source, provider.Errorf(provider.Retryable, provider.ReasonPartyUnavailable,
			"TSS nodes of the Main Group %s of vault %s are not online: %s", m.ID, vaultID, strings.Join(absent, ", "))
	}
	cobo, err := p.coboNode(ctx, m)
	if err != nil {
		return source, err
	}
	if cobo == "" {
		source.Nodes = nil // left to the vendor, who knows which of its nodes it is
		return source, nil
	}
	source.Nodes = slices.Insert(source.Nodes, 0, cobo)
	return source, nil
}

// coboNode is the vendor's own node of a group; empty when it is not told and
// cannot be concluded.
func (p *Provider) coboNode(ctx context.Context, m group) (string, error) {
	for _, h := range m.Holders {
		if h.Type == holderCobo && h.Node != "" {
			return h.Node, nil
		}
	}
	nodes, err := p.coboNodes(ctx)
	if err != nil || len(nodes) != 1 {
		return "", err
	}
	return nodes[0], nil
}

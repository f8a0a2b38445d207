package cobo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/provider"
)

// settings is what an operator may say of a vault in wallets.settings.
type settings struct {
	// Nodes replace the provider's for this vault.
	Nodes []string `json:"tss_nodes"`
	// Keep names groups that are not replaced, see Options.RefreshOtherGroups.
	Keep []string `json:"keep_groups"`
}

func readSettings(w provider.Wallet) (s settings, err error) {
	if len(w.Settings) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(w.Settings, &s); err != nil {
		return s, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"reading the settings of vault %s: %w", w.ExternalID, err)
	}
	return s, nil
}

// pool are the TSS nodes that may hold shares of this vault.
func (p *Provider) pool(w provider.Wallet) ([]string, error) {
	s, err := readSettings(w)
	if err != nil {
		return nil, err
	}
	nodes := s.Nodes
	if len(nodes) == 0 {
		nodes = p.opts.Nodes
	}
	if err := checkNodes(nodes); err != nil {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"reading the settings of vault %s: %w", w.ExternalID, err)
	}
	return nodes, nil
}

// choose picks the nodes that take over from those of the Main Group, as many
// as there are now. A node may hold shares of one key of a vault at a time, so
// those of every group that lives are out of the question. Of the rest comes
// first who follows the Main Group's own in the pool: round and round, which
// is whoever was used longest ago, without anything to be remembered.
func (s state) choose(pool []string) ([]string, error) {
	m, err := s.main()
	if err != nil {
		return nil, err
	}
	holding := nodesOf(m.customers())
	able, busy := s.able(pool, holding)
	if len(able) >= len(holding) {
		return able[:len(holding)], nil
	}
	if n := len(slices.DeleteFunc(slices.Clone(pool), func(node string) bool { return slices.Contains(holding, node) })); n < len(holding) {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"vault %s needs %d TSS nodes that are not in its Main Group, and its pool has %d: add to tss_nodes", s.vault.ID, len(holding), n)
	}
	return nil, provider.Errorf(provider.Retryable, provider.ReasonInvalidState,
		"no TSS node is free in vault %s until one of its groups is deleted, such as an old Main Group after its grace period: %s",
		s.vault.ID, busy)
}

// able are the nodes of the pool that are not in any group that lives, in the
// order in which they are to be taken in place of those that hold shares now.
// busy says where the others are.
func (s state) able(pool, holding []string) (able []string, busy string) {
	var resting, why []string
	for _, node := range rotated(pool, holding) {
		switch g, listed := s.groupOf(node); {
		case !listed:
			able = append(able, node)
		case !g.alive():
			// Deleted and listed all the same. Whether that frees the node is not
			// documented, so these come last.
			resting = append(resting, node)
		}
	}
	for _, node := range pool {
		if g, listed := s.groupOf(node); listed && g.alive() {
			why = append(why, fmt.Sprintf("%s is in group %s", node, g.ID))
		}
	}
	return append(able, resting...), strings.Join(why, ", ")
}

// outlasts refuses a pool that is too small for old groups that are kept longer
// than the time between two rotations: each of them keeps its nodes, beside the
// Main Group's and the new group's.
func (p *Provider) outlasts(a provider.Attempt, m group, pool []string) error {
	grace, kept := p.RetireAfter(a.Wallet)
	if !kept || a.Interval <= 0 || grace <= a.Interval {
		return nil
	}
	old := int((grace - 1) / a.Interval)
	if need := (2 + old) * len(m.customers()); len(pool) < need {
		return provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"vault %s is rotated every %s and keeps old groups for a retire_grace of %s: that takes a pool of %d TSS nodes, and it has %d; add to tss_nodes, or make one of the two times longer or shorter",
			a.Wallet.ExternalID, a.Interval, grace, need, len(pool))
	}
	return nil
}

// groupOf finds a group that a node is in, one that lives before any other.
func (s state) groupOf(node string) (found group, ok bool) {
	for _, g := range s.groups {
		if slices.Contains(nodesOf(g.Holders), node) && (!ok || g.alive()) {
			found, ok = g, true
		}
	}
	return found, ok
}

// rotated is the pool from behind the last of the nodes that hold shares now.
func rotated(pool, holding []string) []string {
	for i, node := range pool {
		next := (i + 1) % len(pool)
		if slices.Contains(holding, node) && !slices.Contains(holding, pool[next]) {
			return slices.Concat(pool[next:], pool[:next])
		}
	}
	return pool
}

func nodesOf(holders []holder) []string {
	var nodes []string
	for _, h := range holders {
		nodes = append(nodes, h.Node)
	}
	return nodes
}

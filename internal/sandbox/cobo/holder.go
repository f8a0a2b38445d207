package cobo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// coboHolder is Cobo's own holder of the groups of the vault with this number. The caller holds mu, or
// is New.
func (v *Vendor) coboHolder(number int) *holder {
	i := number % len(v.cobo)
	return &holder{name: fmt.Sprintf("Cobo %d", i+1), kind: HolderCobo, nodeID: v.cobo[i].id, signer: true, status: StatusValid}
}

// listCoboHolders answers a bare array, as the vendor does.
func (v *Vendor) listCoboHolders(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	holders := []holderJSON{}
	for i := range v.cobo {
		if c.hit.Kind != faults.LoseState {
			holders = append(holders, v.holderJSON(v.coboHolder(i), c.hit))
		}
	}
	return holders, nil
}

func (v *Vendor) listHolders(c *call) (any, *refusal) {
	query := c.URL.Query()
	var only []string
	if text := query.Get("key_share_holder_group_ids"); text != "" {
		only = strings.Split(text, ",")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var entries []entry[holderJSON]
	for _, h := range v.holdersOf(c.vault, only) {
		if c.hit.Kind != faults.LoseState {
			entries = append(entries, entry[holderJSON]{len(entries), v.holderJSON(h, c.hit)})
		}
	}
	return paginate(query, entries)
}

func (v *Vendor) getHolder(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, h := range v.holdersOf(c.vault, nil) {
		if h.nodeID == c.PathValue("node") && c.hit.Kind != faults.LoseState {
			return v.holderJSON(h, c.hit), nil
		}
	}
	return nil, notFound("key share holder")
}

// holdersOf lists the holders of a vault's groups, each node once. The caller
// holds mu.
func (v *Vendor) holdersOf(vt *vault, only []string) []*holder {
	var holders []*holder
	for _, g := range vt.groups {
		if !v.shown(g) || only != nil && !slices.Contains(only, g.id) {
			continue
		}
		for _, h := range g.holders {
			if !slices.ContainsFunc(holders, func(other *holder) bool { return other.nodeID == h.nodeID }) {
				holders = append(holders, h)
			}
		}
	}
	return holders
}

// holderJSON under the fault holder_offline shows everyone but Cobo offline.
// The caller holds mu.
func (v *Vendor) holderJSON(h *holder, hit faults.Hit) holderJSON {
	n := v.node(h.nodeID)
	online := n != nil && n.online && (hit.Kind != faults.HolderOffline || h.kind == HolderCobo)
	return holderJSON{Name: h.name, Type: h.kind, TSSNodeID: h.nodeID, Online: online, Signer: h.signer, Status: h.status}
}

package cobo

import (
	"fmt"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
)

// node is a TSS node: a machine that holds key shares, of many vaults perhaps.
type node struct {
	id     string
	online bool
}

// newNode draws an id such as the vendor's: "cobo" and base58.
func newNode(random seed.Source) *node {
	return &node{id: "cobo" + mpc.Base58(random.Bytes(33)), online: true}
}

// Nodes are the ids of the customer's TSS nodes.
func (v *Vendor) Nodes() []string {
	ids := make([]string, len(v.nodes))
	for i, n := range v.nodes {
		ids[i] = n.id
	}
	return ids
}

// SetNode takes a node off the network or brings it back. A TSS request waits
// for nodes that are offline.
func (v *Vendor) SetNode(id string, online bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.node(id)
	if n == nil {
		return fmt.Errorf("no TSS node %q", id)
	}
	n.online = online
	close(v.nodeTurn) // wakes those who wait for it
	v.nodeTurn = make(chan struct{})
	return nil
}

// node of any owner; the caller holds mu.
func (v *Vendor) node(id string) *node {
	for _, pool := range [][]*node{v.nodes, v.cobo, v.others} {
		for _, n := range pool {
			if n.id == id {
				return n
			}
		}
	}
	return nil
}

// isCustomers says whether it is one of the customer's; the caller holds mu.
func (v *Vendor) isCustomers(id string) bool {
	for _, n := range v.nodes {
		if n.id == id {
			return true
		}
	}
	return false
}

// occupied says why a node cannot hold another key of a vault; empty if it can.
// The caller holds mu.
func (v *Vendor) occupied(vt *vault, id string) string {
	for _, g := range vt.groups {
		for _, h := range g.holders {
			switch {
			case h.nodeID != id:
			case !g.deleted:
				return "the TSS node is a key share holder of another key of this vault"
			case len(g.keys) > 0 && v.refusesRetired():
				return "the TSS node was a key share holder of this vault before"
			}
		}
	}
	return ""
}

package cobo

import (
	"maps"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// View is the truth about one vault, all shares included. It is for the
// sandbox's own verdicts and never leaves the process.
type View struct {
	ID          string
	RootPubkeys map[mpc.Curve]string // of the first day
	Generation  int
	Groups      []GroupView // oldest first
}

// GroupView is one group. Without a key it has no shares.
type GroupView struct {
	ID      string
	Main    bool // the Valid Main Group
	WasMain bool // it is, or once was
	Pending bool // an attempt's: neither promoted nor deleted
	Deleted bool // Cobo dropped its share
	Type    string
	Keyed   int      // when it got its shares, to be compared with other groups'
	Nodes   []string // of its holders
	Shares  map[mpc.Curve][]mpc.ThresholdShare
}

// View of one vault; ok is false if there is none.
func (v *Vendor) View(id string) (view View, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	vt := v.byID[id]
	if vt == nil {
		return View{}, false
	}
	return vt.view(), true
}

// Views of all vaults, in the order they were made.
func (v *Vendor) Views() []View {
	v.mu.Lock()
	defer v.mu.Unlock()
	views := make([]View, len(v.vaults))
	for i, vt := range v.vaults {
		views[i] = vt.view()
	}
	return views
}

func (vt *vault) view() View {
	view := View{ID: vt.id, RootPubkeys: maps.Clone(vt.rootPubkeys), Generation: vt.generation}
	current := vt.main()
	for _, g := range vt.groups {
		shares := make(map[mpc.Curve][]mpc.ThresholdShare)
		for curve, key := range g.keys {
			shares[curve] = key.shares
		}
		var nodes []string
		for _, h := range g.holders {
			nodes = append(nodes, h.nodeID)
		}
		view.Groups = append(view.Groups, GroupView{
			ID: g.id, Main: g == current, WasMain: g.wasMain, Pending: vt.pending(g), Deleted: g.deleted,
			Type: g.kind, Keyed: g.keyed, Nodes: nodes, Shares: shares,
		})
	}
	return view
}

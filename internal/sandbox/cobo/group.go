package cobo

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// unknownStatus is one that the vendor's API does not have.
const unknownStatus = "Deleted"

// group is a key share holder group.
type group struct {
	at           int
	id           string
	kind, status string
	threshold    int
	holders      []*holder
	created      time.Time
	keys         map[mpc.Curve]sharing // empty while New
	keyed        int                   // when it got them, in the order of all things

	wasMain   bool // it is, or once was, the Valid Main Group
	promoting bool // an upgrade was accepted and is yet to take effect
	deleted   bool // deleted or invalidated: Cobo dropped its share
	spent     bool // a TSS request for it failed or was cancelled
}

// sharing is the key of one curve; shares are in the order of the holders.
type sharing struct {
	id     string
	shares []mpc.ThresholdShare
}

// holder of a share in one group.
type holder struct {
	name, kind, nodeID string
	signer             bool
	status             string
}

// find returns a vault's group, deleted ones included. The caller holds mu.
func (vt *vault) find(id string) *group {
	for _, g := range vt.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// shown says whether the API shows a group. The caller holds mu.
func (v *Vendor) shown(g *group) bool {
	return g != nil && (!g.deleted || !v.assume.Is(assume.CoboDeletedGroup, assume.NotFound))
}

// drop deletes a group. The caller holds mu.
func (v *Vendor) drop(g *group) {
	g.deleted, g.promoting = true, false
	if v.assume.Is(assume.CoboDeletedGroup, assume.UnknownStatus) {
		g.status = unknownStatus
	} else {
		g.status = StatusUnavailable
	}
}

func (v *Vendor) refusesRetired() bool { return v.assume.Is(assume.CoboRetiredNode, assume.Refused) }

func (v *Vendor) listGroups(c *call) (any, *refusal) {
	query := c.URL.Query()
	kind := query.Get("key_share_holder_group_type")
	if kind != "" && !slices.Contains([]string{MainGroup, SigningGroup, RecoveryGroup}, kind) {
		return nil, invalid("key_share_holder_group_type")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var entries []entry[groupJSON]
	for _, g := range c.vault.groups {
		if v.shown(g) && (kind == "" || g.kind == kind) && c.hit.Kind != faults.LoseState {
			entries = append(entries, entry[groupJSON]{g.at, v.groupJSON(g, c.hit)})
		}
	}
	return paginate(query, entries)
}

func (v *Vendor) getGroup(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := c.vault.find(c.PathValue("group"))
	if !v.shown(g) || c.hit.Kind == faults.LoseState {
		return nil, notFound("key share holder group")
	}
	return v.groupJSON(g, c.hit), nil
}

// groupJSON is what the API tells of a group, with the lies of a fault. The
// caller holds mu.
func (v *Vendor) groupJSON(g *group, hit faults.Hit) groupJSON {
	out := groupJSON{
		ID: g.id, Type: g.kind, Participants: len(g.holders), Threshold: g.threshold, Status: g.status,
		Created: g.created.UnixMilli(), Holders: make([]holderJSON, len(g.holders)),
	}
	for i, h := range g.holders {
		out.Holders[i] = v.holderJSON(h, hit)
	}
	for _, c := range curveNames {
		if key, ok := g.keys[c.curve]; ok {
			out.KeyShareGroups = append(out.KeyShareGroups,
				keyShareGroup{key.id, c.name, told(hit, c.name, key.shares[0].RootPubkey())})
		}
	}
	return out
}

// told is the root key that an answer names: under the fault wrong_public_key,
// on its curve, some other one.
func told(hit faults.Hit, curve, truth string) string {
	if hit.Kind != faults.WrongPublicKey || curve != struckCurve(hit) {
		return truth
	}
	for _, c := range curveNames {
		if c.name == curve {
			if other, err := mpc.GenerateShares(c.curve, 1, 1, rand.Reader); err == nil {
				return other[0].RootPubkey()
			}
		}
	}
	return ""
}

// struckCurve is the curve that wrong_public_key is about. Unless the fault
// names one it is the second in the list, which a check of the first alone
// would miss.
func struckCurve(hit faults.Hit) string {
	if hit.Curve != "" {
		return hit.Curve
	}
	return curveNames[len(curveNames)-1].name
}

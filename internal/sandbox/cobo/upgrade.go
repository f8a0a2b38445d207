package cobo

import (
	"encoding/json"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

type upgradeRequest struct {
	Action   string `json:"update_key_share_holder_group_action"`
	Handling string `json:"original_main_group_handling"`
}

func readUpgrade(body []byte) (upgradeRequest, *refusal) {
	var in upgradeRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return in, invalid("the body is not JSON of this request")
	}
	switch in.Action {
	case "":
		return in, missing("update_key_share_holder_group_action")
	case upgradeToMainGroup:
	default:
		return in, invalid("update_key_share_holder_group_action")
	}
	switch in.Handling {
	case "":
		in.Handling = invalidate // the vendor's default, and the one that cannot be undone
	case invalidate, convertToSigningGroup:
	default:
		return in, invalid("original_main_group_handling")
	}
	return in, nil
}

// upgradeGroup makes a Valid Signing Group the Main Group. Whether its root
// keys are the vault's is not checked: a caller that did not look has to be
// found out.
func (v *Vendor) upgradeGroup(c *call) (any, *refusal) {
	in, refusal := readUpgrade(c.body)
	if refusal != nil {
		return nil, refusal
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	g := c.vault.find(c.PathValue("group"))
	if !v.shown(g) {
		return nil, notFound("key share holder group")
	}
	c.vault.promotions.Of(g.id).Calls++
	switch {
	case g == c.vault.main() && v.assume.Is(assume.CoboRepeatedUpgrade, assume.SameReply):
		return v.groupJSON(g, c.hit), nil
	case g.kind != SigningGroup || g.status != StatusValid || g.deleted:
		return nil, v.wrongState("only a Valid Signing Group can be upgraded")
	case c.vault.busy(g):
		return nil, v.wrongState("a TSS request of this group is running")
	}
	if c.hit.Kind == faults.LoseState {
		lie := v.groupJSON(g, c.hit)
		lie.Type = MainGroup
		return lie, nil
	}
	delay := v.heldUp(c.hit, assume.CoboUpgrade, assume.Upgrades)
	switch {
	case delay == 0 && !g.promoting:
		v.promote(c.vault, g, in.Handling)
	case !g.promoting:
		g.promoting = true
		v.after(delay, func() {
			if g.promoting { // it may have been deleted
				v.promote(c.vault, g, in.Handling)
			}
		})
	}
	return v.groupJSON(g, c.hit), nil
}

// promote is the swap. The caller holds mu.
func (v *Vendor) promote(vt *vault, g *group, handling string) {
	old := vt.main()
	g.kind, g.wasMain, g.promoting = MainGroup, true, false
	vt.generation++
	vt.promotions.Of(g.id).Effects++
	switch {
	case old == nil: // people can do that
	case handling == convertToSigningGroup:
		old.kind = SigningGroup
	default:
		v.drop(old)
	}
}

// heldUp is how long an upgrade or a delete waits before it takes effect:
// because a fault says so, because approvals are assumed for it, or because it
// is assumed to take a moment. The caller holds mu.
func (v *Vendor) heldUp(hit faults.Hit, operation string, approvedFrom string) time.Duration {
	both := v.assume.Is(assume.CoboApprovals, assume.UpgradesAndDeletes)
	switch {
	case hit.Kind == faults.ApprovalDelay:
		return hit.Late
	case both || v.assume.Is(assume.CoboApprovals, approvedFrom):
		return approvalPaces * v.options.Pace
	case v.assume.Is(operation, assume.Delayed):
		return v.options.Pace
	}
	return 0
}

// approvalPaces is how slow people are, compared with machines.
const approvalPaces = 3

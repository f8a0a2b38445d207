package cobo

import (
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// deleteGroup drops a group for good. It refuses the Main Group and nothing
// else: a caller that deletes what is not its own has to be found out.
func (v *Vendor) deleteGroup(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := c.vault.find(c.PathValue("group"))
	switch {
	case !v.shown(g):
		return nil, notFound("key share holder group")
	case g.deleted:
		return nil, v.wrongState("the group is deleted")
	case g == c.vault.main():
		return nil, v.wrongState("the Main Group cannot be deleted")
	case c.vault.busy(g):
		return nil, v.wrongState("a TSS request of this group is running")
	}
	submitted := map[string]bool{"submitted": true}
	if c.hit.Kind == faults.LoseState {
		return submitted, nil
	}
	c.vault.deletions[g.id] = g.kind
	if delay := v.heldUp(c.hit, assume.CoboDelete, assume.UpgradesAndDeletes); delay > 0 {
		v.after(delay, func() {
			if g != c.vault.main() {
				v.drop(g)
			}
		})
	} else {
		v.drop(g)
	}
	return submitted, nil
}

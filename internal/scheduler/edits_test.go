package scheduler

import (
	"testing"
	"time"
)

// A policy that is inserted into a running scheduler, with plain SQL and the
// defaults, rotates its wallets at its next tick.
func TestInsertedPolicyTicks(t *testing.T) {
	r := newRig(t, 8)
	r.start()
	r.eventually("the scheduler is there", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 1 })
	id := r.policy("treasury", "@every 2s")
	wallets := r.wallets(id, 8, 1, 1)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
	enrolled, first := value[time.Time](r, `SELECT schedule_since FROM policy_state`), value[time.Time](r, `SELECT min(tick) FROM rotation_cycles`)
	if rest := first.Sub(enrolled) % (2 * time.Second); rest != 0 || !first.After(enrolled) {
		t.Errorf("first tick %s is not on the grid of %s", first, enrolled)
	}
}

package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPlannedPolicies: a login that may only read sees the same policies as the
// daemon, and counts as the daemon does.
func TestPlannedPolicies(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	id := w.policy("treasury")
	w.exec(`UPDATE rotation_policies SET run_window = '4 hours', max_share_age = '30 days'`)
	w.judge(id)
	ids := w.wallets(id, 5)
	w.exec(`INSERT INTO rotation_policies (name) VALUES ('by-hand')`)
	tick := w.hoursAgo(1)
	w.tick(id, tick)
	w.exec(`UPDATE wallet_state SET cycle_at = $2 WHERE wallet_id = $1`, ids[0], tick)                // satisfied it
	w.exec(`UPDATE wallet_state SET eligible_after = clock_timestamp() WHERE wallet_id = $1`, ids[1]) // joined after it
	w.exec(`UPDATE wallets SET paused_reason = 'lost' WHERE id = $1`, ids[2])                         // is not rotated
	w.claim(id, tick, ids[3])                                                                         // and fails
	w.exec(`UPDATE rotations SET state = 'failed', owner = NULL, error_class = 'terminal', error = 'x', attention = 'terminal', attention_since = now()`)
	w.exec(`UPDATE rotation_control SET paused = true, paused_providers = '{dyn}', reason = 'incident'`)

	r := w.reader("rotatord_readonly")
	all, control, err := r.PlannedPolicies(ctx, "")
	w.ok(err)
	w.same(fmt.Sprintf("%t %v %s", control.Paused, control.PausedProviders, control.Reason), "true [dyn] incident", "control")
	w.same(len(all), 2, "policies")
	w.same(all[0].Name, "by-hand", "the first one")
	if all[0].Cycle != nil || all[0].Schedule != nil || all[0].Wallets != 0 {
		t.Errorf("by-hand is %+v", all[0])
	}
	p := all[1]
	w.same(fmt.Sprint(p.Wallets, p.Left, p.WaitingForAPerson, p.Cycle.Total), "4 2 1 5", "wallets, left, waiting, total")
	if !p.Cycle.Tick.Equal(tick) || p.Cycle.Trigger != Schedule || !p.Cycle.Ends.IsZero() {
		t.Errorf("cycle is %+v, want tick %s", p.Cycle, tick)
	}
	for _, mine := range all {
		theirs, err := w.Policies(ctx)
		w.ok(err)
		for _, p := range theirs {
			if p.ID == mine.ID {
				if diff := cmp.Diff(p, mine.Policy); diff != "" {
					t.Errorf("policy %s (-daemon +plan):\n%s", p.Name, diff)
				}
			}
		}
	}
	w.same(*p.RunWindow, 4*time.Hour, "run_window")

	one, _, err := r.PlannedPolicies(ctx, "by-hand")
	w.ok(err)
	w.same(len(one), 1, "policies of a name")
	if _, _, err := r.PlannedPolicies(ctx, "none"); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("no such policy: %v", err)
	}
}

package store

import (
	"testing"
	"time"
)

// TestNothingIsClaimedOnceTheWindowIsOver, however long the claim stood in line.
func TestNothingIsClaimedOnceTheWindowIsOver(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	ids := w.wallets(p, 2)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, MaxPerMinute: 60, MaxConcurrent: 1}
	claim.Until = w.Now()
	got, err := w.Claim(ctx, claim)
	w.ok(err)
	if len(got.Rotations) != 0 || got.Limited != 0 || got.Stop != "" {
		t.Errorf("at the end of the window: %+v", got)
	}
	w.same(ask[int](w, `SELECT count(*) FROM rotations`)+ask[int](w, `SELECT count(*) FROM cycle_counters`), 0, "what it left")
	claim.Until = w.Now().Add(time.Hour)
	got, err = w.Claim(ctx, claim)
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed before the end of the window")
}

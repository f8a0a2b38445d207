package scheduler

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// inBand makes the wallets so old that their promise of 4 hours comes near.
func (r *rig) inBand(ids ...int64) {
	r.t.Helper()
	r.exec(`UPDATE wallet_state SET cycle_at = date_trunc('minute', now()) - interval '200 minutes' WHERE wallet_id = ANY($1)`, ids)
}

// promised is a policy whose latest tick was half an hour ago, with a window of
// ten minutes and a promise of four hours: its emergency band is an hour wide.
func (r *rig) promised(name string, more ...any) int32 {
	r.t.Helper()
	return r.policy(name, "@every 1h", append([]any{"run_window", "10 minutes", "max_share_age", "4 hours"}, more...)...)
}

// Wallets whose promise comes near rotate outside the window; others do not,
// and those that are paused do not either.
func TestEmergencyBand(t *testing.T) {
	t.Parallel()
	r := newRig(t, 9)
	id, paused := r.promised("treasury"), r.promised("paused", "paused_reason", "audit")
	old, young := r.wallets(id, 3, 1, 1), r.wallets(id, 3, 11, 1)
	still := r.wallets(paused, 3, 21, 1)
	r.ticked(id, time.Hour, 30*time.Minute)
	r.ticked(paused, time.Hour, 30*time.Minute)
	r.exec(`UPDATE wallet_state SET cycle_at = now() - interval '150 minutes'`)
	r.inBand(old...)
	r.inBand(still...)
	r.start()
	r.start()
	r.rotated(1, old...)
	r.settled()
	if got := value[string](r, `SELECT coalesce(string_agg(DISTINCT trigger, ','), '') FROM share_set_history WHERE outcome = 'activated'`); got != "emergency" {
		t.Errorf("triggers %s", got)
	}
	g := r.generations()
	for _, id := range append(young, still...) {
		if g[id] != 0 {
			t.Errorf("wallet %d was rotated %d times", id, g[id])
		}
	}
	for _, id := range old {
		if g[id] != 1 {
			t.Errorf("wallet %d was rotated %d times", id, g[id])
		}
	}
	if n := value[int](r, `SELECT count(*) FROM wallet_state WHERE wallet_id = ANY($1) AND cycle_at < now() - interval '2 minutes'`, old); n > 0 {
		t.Errorf("%d wallets are in the band as before", n)
	}
	r.healthy()
}

// What a running cycle takes anyway is no emergency: canaries come first.
func TestEmergencyLeavesACycleItsCanaries(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	id := r.promised("treasury", "canary", 1, "max_attempts", 1)
	wallets := r.wallets(id, 6, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.inBand(wallets...)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 400})
	r.start()
	r.eventually("the cycle is stopped", func() bool { return r.cycles() == "stopped" })
	if n := value[int](r, `SELECT count(*) FROM rotations WHERE trigger = 'schedule'`); n != 1 {
		t.Errorf("%d canaries", n)
	}
}

// A cycle that takes every worker does not keep emergencies waiting.
func TestEmergencyPassesACycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 32)
	large, id := r.policy("large", "@every 1h", "max_concurrent", 100), r.promised("treasury")
	r.wallets(large, 30, 1, 1)
	old := r.wallets(id, 2, 100, 1)
	r.ticked(large, time.Hour, 10*time.Second)
	r.ticked(id, time.Hour, 30*time.Minute)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 500 * time.Millisecond})
	r.exec(`UPDATE wallet_state SET cycle_at = now() - interval '150 minutes' WHERE policy_id = $1`, id)
	r.start(func(o *Options) { o.Config.Workers = 1 })
	r.eventually("the cycle has begun", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE policy_id = $1`, large) > 0 })
	r.inBand(old...)
	r.rotated(1, old...)
	if n := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1 AND policy_id = $1`, large); n > 25 {
		t.Errorf("%d others came first", n)
	}
	r.stop()
	r.healthy()
}

// Emergencies end with the failure budget, and keep to the limit.
func TestEmergencyWithinBudgetAndLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	id := r.promised("treasury", "failure_budget", 2, "max_concurrent", 2, "max_attempts", 1)
	wallets := r.wallets(id, 20, 1, 1)
	r.ticked(id, time.Hour, 30*time.Minute)
	r.inBand(wallets...)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 400})
	x := r.start()
	r.never("it goes past budget and limit", func() bool { return value[int](r, `SELECT count(*) FROM rotations`) > 2+2 },
		"the budget is used up", func() bool { return x.skipped("treasury", SkipBudget) > 0 })
	if peak := r.sandbox.Stats().Ceremonies.Peak; peak > 2 {
		t.Errorf("%d at a time", peak)
	}
}

// A wallet that failed in the band tries again after a rest.
func TestEmergencyTriesAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.promised("treasury", "max_attempts", 1)
	wallets := r.wallets(id, 1, 1, 1)
	r.ticked(id, time.Hour, 30*time.Minute)
	r.inBand(wallets...)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 503})
	r.start()
	r.eventually("it failed", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'failed'`) == 1 })
	r.breaks()
	// An eighth of the band of an hour has passed.
	r.exec(`UPDATE rotations SET attention_since = now() - interval '8 minutes'`)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

package scheduler

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// A policy that is inserted into a running scheduler, with plain SQL and the
// defaults, rotates its wallets at its next tick.
func TestInsertedPolicyTicks(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	r.start()
	r.eventually("the scheduler is there", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 1 })
	id := r.policy("treasury", "@every 2s")
	wallets := r.wallets(id, 8, 1, 1)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
	since, first := value[time.Time](r, `SELECT schedule_since FROM policy_state`), value[time.Time](r, `SELECT min(tick) FROM rotation_cycles`)
	if rest := first.Sub(since) % (2 * time.Second); rest != 0 || !first.After(since) {
		t.Errorf("first tick %s is not on the grid of %s", first, since)
	}
}

// nextRun is the next announced tick of the only policy; zero: none.
func (r *rig) nextRun() time.Time {
	r.t.Helper()
	return value[time.Time](r, `SELECT coalesce(next_runs[1], '0001-01-01 00:00Z') FROM policy_state`).UTC()
}

func TestEditedScheduleIsAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.start()
	r.policy("treasury", "0 4 * * *")
	r.eventually("04:00 UTC is announced", func() bool { return r.nextRun().Hour() == 4 })
	r.exec(`UPDATE rotation_policies SET timezone = 'Asia/Tokyo'`)
	r.eventually("04:00 in Tokyo is announced", func() bool { return r.nextRun().Hour() == 19 })
	r.exec(`UPDATE rotation_policies SET schedule = NULL`)
	r.eventually("nothing is announced for a policy by hand", func() bool { return r.nextRun().IsZero() })
	r.exec(`UPDATE rotation_policies SET schedule = '30 5 * * *', timezone = 'UTC'`)
	r.eventually("05:30 is announced", func() bool { return r.nextRun().Hour() == 5 && r.nextRun().Minute() == 30 })
	if n := value[int](r, `SELECT count(*) FROM rotation_cycles`); n != 0 {
		t.Errorf("%d ticks fired", n)
	}
}

// Behind a pooler no notification arrives; the poll finds the edit.
func TestUnannouncedEditIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.start(func(o *Options) { o.Config.PollInterval = 200 * time.Millisecond })
	r.policy("treasury", "0 4 * * *")
	r.eventually("04:00 is announced", func() bool { return r.nextRun().Hour() == 4 })
	r.exec(`ALTER TABLE rotation_policies DISABLE TRIGGER rotation_policies_record`)
	r.exec(`UPDATE rotation_policies SET schedule = '0 5 * * *'`)
	r.eventually("05:00 is announced", func() bool { return r.nextRun().Hour() == 5 })
}

// A schedule that is changed does not tick for the time before the change,
// also when the version before it never ran.
func TestChangedScheduleNeverTicksInThePast(t *testing.T) {
	for _, c := range []struct{ name, before string }{
		{"from a good one", "@every 1h"}, {"from a bad one", "@every 1 h"}, {"from none", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			id := r.policy("treasury", c.before)
			r.wallets(id, 1, 1, 1)
			r.ticked(id, 30*time.Minute, 0) // 30 minutes ago: no tick yet
			r.start()
			r.eventually("it was judged", func() bool { return value[int64](r, `SELECT judged_version FROM policy_state`) == 1 })
			edited := time.Now()
			r.exec(`UPDATE rotation_policies SET schedule = '@every 10m'`) // would have ticked 20 and 10 minutes ago
			r.eventually("the edit runs", func() bool { return value[int64](r, `SELECT coalesce(running_version, 0) FROM policy_state`) == 2 })
			r.eventually("it is announced", func() bool { return r.nextRun().After(edited.Add(9 * time.Minute)) })
			r.refused("there is no wallet 99", "rotate", 99, 0) // a look later: ticks fire before requests are answered
			if n := value[int](r, `SELECT count(*) FROM rotation_cycles`); n != 0 {
				t.Errorf("%d ticks fired", n)
			}
		})
	}
}

// An edit of schedule or timezone ends the running cycle; every other edit
// applies to it at once.
func TestEditsOfARunningCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 1)
	r.wallets(id, 12, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: time.Second})
	r.start()
	r.eventually("one is rotated", func() bool {
		return value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'activated'`) >= 1
	})
	if peak := r.sandbox.Stats().Ceremonies.Peak; peak > 1 {
		t.Errorf("%d at a time under max_concurrent 1", peak)
	}
	r.exec(`UPDATE rotation_policies SET max_concurrent = 3, max_attempts = 7, failure_budget = 5, spread = '1 second'`)
	r.eventually("three go on at a time", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE owner IS NOT NULL`) == 3
	})
	if state := r.cycles(); state != "running" {
		t.Errorf("cycle is %s", state)
	}
	r.exec(`UPDATE rotation_policies SET timezone = 'Europe/Berlin'`)
	r.eventually("the cycle is superseded", func() bool { return r.cycles() == "superseded" })
	r.settled()
	done := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'activated'`)
	if done == 12 {
		t.Error("every wallet was rotated all the same")
	}
	r.healthy()
}

// The window and the spread of a running cycle are those of the policy as it
// stands now.
func TestEditOfAWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	id := r.policy("treasury", "@every 1h", "run_window", "50 minutes", "spread", "40 minutes")
	block := late(40*time.Minute, 30*time.Minute)
	r.wallets(id, 4, block*spreadBlock, 1) // their slot is far away
	r.ticked(id, time.Hour, 10*time.Second)
	x := r.start()
	r.eventually("the cycle runs", func() bool { return value[int](r, `SELECT count(*) FROM rotation_cycles WHERE state = 'running'`) == 1 })
	ends := func() time.Duration {
		return value[time.Duration](r, `SELECT coalesce(window_ends - tick, '0') FROM rotation_cycles`)
	}
	if got := ends(); got != 50*time.Minute {
		t.Errorf("window is %s", got)
	}
	r.exec(`UPDATE rotation_policies SET run_window = '45 minutes'`)
	r.eventually("the window is shorter", func() bool { return ends() == 45*time.Minute })
	if n := value[int](r, `SELECT count(*) FROM rotations`) + value[int](r, `SELECT count(*) FROM share_set_history`); n != 0 {
		t.Errorf("%d rotations before their slot", n)
	}
	r.exec(`UPDATE rotation_policies SET spread = '0', max_concurrent = 1, paused_reason = 'almost'`)
	r.eventually("the edit runs", func() bool { return value[int64](r, `SELECT running_version FROM policy_state`) == 3 })
	r.exec(`UPDATE rotation_policies SET run_window = '1 second'`)
	r.eventually("the window is over", func() bool { return r.cycles() == "stopped" })
	r.eventually("four wallets are counted", func() bool { return x.skipped("treasury", SkipWindow) == 4 })
}

// A shorter spread takes effect at once for wallets that were passed over.
func TestEditOfASpread(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	id := r.policy("treasury", "@every 1h", "spread", "40 minutes")
	block := late(40*time.Minute, 30*time.Minute)
	wallets := r.wallets(id, 4, block*spreadBlock, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.start()
	r.eventually("the cycle runs", func() bool { return value[int](r, `SELECT count(*) FROM rotation_cycles WHERE state = 'running'`) == 1 })
	r.exec(`UPDATE rotation_policies SET spread = '0'`)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

// late is a block of wallet ids whose slot lies at least so long after a tick.
func late(spread, atLeast time.Duration) (block int64) {
	s := Spec{Spread: spread}
	for block = 1; s.Slot(block*spreadBlock) < atLeast; block++ {
	}
	return block
}

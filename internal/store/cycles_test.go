package store

import (
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rotatord/rotatord/internal/provider"
)

func TestTickIsRecordedOnce(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	w.wallets(p, 3)
	tick := Tick{PolicyID: p, Version: 1, At: w.hoursAgo(1), Trigger: Schedule, Ends: w.hoursAgo(0)}
	const callers = 8
	first := make([]bool, callers)
	var g errgroup.Group
	for i := range callers {
		g.Go(func() (err error) {
			first[i], err = w.Advance(t.Context(), tick)
			return err
		})
	}
	w.ok(g.Wait())
	n := 0
	for _, f := range first {
		if f {
			n++
		}
	}
	w.same(n, 1, "callers that were first")
	cycles, err := w.RunningCycles(t.Context())
	w.ok(err)
	w.same(len(cycles), 1, "running cycles")
	c := cycles[0]
	if c.PolicyID != p || !c.Tick.Equal(tick.At) || !c.Ends.Equal(tick.Ends) || c.Total != 3 || c.Trigger != Schedule {
		t.Errorf("cycle %+v", c)
	}
	total, err := w.CycleTotal(t.Context(), p, tick.At)
	w.ok(err)
	w.same(total, 3, "total")
	if _, err := w.CycleTotal(t.Context(), p, tick.At.Add(time.Second)); err == nil {
		t.Error("a cycle that never was has a total")
	}
}

func TestAdvanceRefuses(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	at := w.hoursAgo(2)
	w.tick(p, at)
	for name, tick := range map[string]Tick{
		"the same tick":              {PolicyID: p, Version: 1, At: at},
		"an earlier tick":            {PolicyID: p, Version: 1, At: at.Add(-time.Hour)},
		"a tick of another version":  {PolicyID: p, Version: 2, At: at.Add(time.Hour)},
		"a tick before the schedule": {PolicyID: p, Version: 1, At: time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a tick of no policy at all": {PolicyID: 99, Version: 1, At: at.Add(time.Hour)},
	} {
		tick.Trigger = Schedule
		first, err := w.Advance(t.Context(), tick)
		w.ok(err)
		w.same(first, false, "%s recorded", name)
	}
	w.same(ask[int](w, `SELECT count(*) FROM rotation_cycles`), 1, "cycles")
}

func TestNextTickSupersedes(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 3)
	first, second := w.hoursAgo(2), w.hoursAgo(1)
	w.tick(p, first)
	claimed := w.claim(p, first, ids...)
	open, waiting, inHand := claimed[ids[0]], claimed[ids[1]], claimed[ids[2]]
	w.to(open, Ceremony)
	w.park(open, ParkStep{NextCheck: w.Now().Add(time.Hour)})
	backoff := w.Now().Add(time.Hour)
	w.park(waiting, ParkStep{NextCheck: backoff, Class: provider.Retryable, Error: "x"})

	w.tick(p, second)
	w.same(ask[string](w, `SELECT state || ': ' || detail FROM rotation_cycles WHERE tick = $1`, first), "superseded: the next tick came", "first cycle")
	tickOf := func(id int64) time.Time {
		return ask[time.Time](w, `SELECT tick FROM rotations WHERE wallet_id = $1`, id)
	}
	if !tickOf(open.Wallet.ID).Equal(first) {
		t.Error("what was under way lost its tick")
	}
	if !tickOf(inHand.Wallet.ID).Equal(first) {
		t.Error("what is in hand changed under the replica that has it")
	}
	if !tickOf(waiting.Wallet.ID).Equal(second) {
		t.Error("what waited kept the old tick")
	}
	if next := ask[time.Time](w, `SELECT next_check FROM rotations WHERE wallet_id = $1`, waiting.Wallet.ID); !next.Equal(backoff) {
		t.Errorf("the new tick cut the backoff short: next check at %s", next)
	}
}

func TestMissedTickStartsNothing(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	r := w.claim(p, w.hoursAgo(3), w.wallets(p, 1)[0])
	for _, r := range r {
		w.ok(w.Fail(t.Context(), w.epoch, r, provider.Retryable, "x", AttemptsUsedUp, w.Now()))
	}
	first, err := w.Advance(t.Context(), Tick{PolicyID: p, Version: 1, At: w.hoursAgo(2), Trigger: CatchUp, Missed: true})
	w.ok(err)
	w.same(first, true, "recorded")
	cycles, err := w.RunningCycles(t.Context())
	w.ok(err)
	w.same(len(cycles), 0, "running cycles")
	w.same(ask[string](w, `SELECT state FROM rotation_cycles`), Missed, "cycle")
	w.same(ask[string](w, `SELECT state FROM rotations`), Failed, "failed rotation")
}

func TestCompleteWaitsForEverything(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	ids := w.wallets(p, 3)
	w.exec(`UPDATE wallet_state SET eligible_after = now() WHERE wallet_id = $1`, ids[2]) // joined after the tick
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	complete := func(want bool, when string) {
		t.Helper()
		done, err := w.Complete(ctx, p, tick)
		w.ok(err)
		w.same(done, want, "complete %s", when)
	}
	unclaimed := func(want int64) {
		t.Helper()
		n, err := w.Unclaimed(ctx, p, tick)
		w.ok(err)
		w.same(n, want, "unclaimed")
	}
	unclaimed(2)
	complete(false, "with two unclaimed")
	claimed := w.claim(p, tick, ids[:2]...)
	unclaimed(0)
	complete(false, "with two in hand")
	w.ok(w.Fail(ctx, w.epoch, claimed[ids[1]], provider.Terminal, "x", NeedsPerson, w.Now()))
	complete(false, "with one in hand")
	w.to(claimed[ids[0]], Promoted)
	complete(false, "with one that the co-signer has not committed")
	w.committed(claimed[ids[0]])
	complete(true, "with one failed")
	complete(false, "twice")
	w.same(ask[bool](w, `SELECT ended_at IS NOT NULL FROM rotation_cycles`), true, "ended")
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	done, err := w.Stop(t.Context(), p, tick, Stopped, "the run window is over")
	w.ok(err)
	w.same(done, true, "stopped")
	done, err = w.Stop(t.Context(), p, tick, Stopped, "again")
	w.ok(err)
	w.same(done, false, "stopped twice")
	w.same(ask[string](w, `SELECT state || ': ' || detail FROM rotation_cycles`), "stopped: the run window is over", "cycle")
}

func TestResetFailed(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 5)
	claimed := w.claim(p, tick, ids...)
	w.park(claimed[ids[4]], ParkStep{Attention: Drift, Class: provider.Verification})
	long := w.Now().Add(-2 * time.Hour)
	for i, f := range []struct {
		class provider.Class
		at    time.Time
	}{{provider.Retryable, long}, {provider.Terminal, long}, {provider.Retryable, w.Now()}, {provider.InDoubt, long}} {
		w.ok(w.Fail(t.Context(), w.epoch, claimed[ids[i]], f.class, "x", AttemptsUsedUp, f.at))
	}
	w.exec(`UPDATE wallet_state SET cycle_at = $2 WHERE wallet_id = $1`, ids[3], tick) // young enough
	n, err := w.ResetFailed(t.Context(), p, tick, time.Hour)
	w.ok(err)
	w.same(n, 1, "reset")
	taken, err := w.TakeWaiting(t.Context(), w.epoch, p, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].Wallet.ID, ids[0], "wallet")
	w.same(taken[0].Attempt, 0, "attempt")
}

func TestVerdicts(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := ask[int32](w, `INSERT INTO rotation_policies (name, schedule, run_window, max_share_age, spread) VALUES ('treasury', '0 3 * * 0', '2 hours', '1 month', '90 s') RETURNING id`)
	policy := func() Policy {
		t.Helper()
		all, err := w.Policies(ctx)
		w.ok(err)
		w.same(len(all), 1, "policies")
		return all[0]
	}
	got := policy()
	w.same(got.Name, "treasury", "name")
	w.same(*got.Schedule, "0 3 * * 0", "schedule")
	w.same(*got.RunWindow, 2*time.Hour, "run window")
	w.same(*got.MaxShareAge, 30*24*time.Hour, "a month")
	w.same(got.Spread, 90*time.Second, "spread")
	w.same(got.RunningVersion, 0, "running version")
	w.same(got.RunningSpec == nil && got.Tick.IsZero(), true, "never ran")

	runs := []time.Time{w.Now().Add(time.Hour)}
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 1, Spec: []byte(`{"a": 1}`), Restart: true, NextRuns: runs, Warnings: []string{"hm"}}))
	since := policy().ScheduleSince
	w.same(policy().RunningVersion, 1, "running version")
	w.same(string(policy().RunningSpec), `{"a": 1}`, "running spec")
	w.tick(p, since.Add(time.Minute)) // a future tick is the caller's business

	// A bad version: the last good one goes on.
	w.exec(`UPDATE rotation_policies SET schedule = 'gibberish'`)
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 2, Error: "expected 5 fields"}))
	w.same(policy().RunningVersion, 1, "running version")
	w.same(policy().JudgedVersion, 2, "judged version")
	w.same(ask[string](w, `SELECT valid || ' ' || error FROM policy_status`), "false expected 5 fields", "status")

	// A good one with another schedule: ticks count from now, the cycle ends.
	w.exec(`UPDATE rotation_policies SET schedule = '@daily'`)
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 3, Spec: []byte(`{"a": 2}`), Restart: true}))
	if again := policy().ScheduleSince; !again.After(since) {
		t.Errorf("schedule counts from %s, was %s", again, since)
	}
	w.same(ask[string](w, `SELECT state || ': ' || detail FROM rotation_cycles`), "superseded: the schedule was changed", "cycle")
	since = policy().ScheduleSince
	// The same verdict from another replica restarts nothing; an older one is void.
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 3, Spec: []byte(`{"a": 2}`), Restart: true, NextRuns: runs}))
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 2, Error: "late"}))
	w.same(policy().ScheduleSince.Equal(since), true, "restarted once")
	w.same(ask[bool](w, `SELECT valid FROM policy_status`), true, "valid")
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: 99, Version: 1})) // deleted meanwhile

	w.ok(w.SetNextRuns(ctx, p, nil))
	w.same(ask[int](w, `SELECT cardinality(next_runs) FROM policy_state`), 0, "next runs")
	w.ok(w.SetNextRuns(ctx, p, runs))
	w.same(ask[time.Time](w, `SELECT next_runs[1] FROM policy_status`).Equal(runs[0]), true, "next run")
	w.wallets(p, 2)
	n, err := w.WalletCount(ctx, p)
	w.ok(err)
	w.same(n, 2, "wallets")
}

// The longest interval that the schema takes must not break the reading of
// all policies.
func TestLongestIntervals(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO rotation_policies (name, run_window, spread, max_share_age) VALUES ('p', '100 years', '100 years', '100 years')`)
	all, err := w.Policies(t.Context())
	w.ok(err)
	w.same(*all[0].MaxShareAge > 99*365*24*time.Hour, true, "a century")
	_, err = w.Fleet(t.Context())
	w.ok(err)
	w.same(ask[int](w, `SELECT overdue FROM policy_status`), 0, "overdue")
}

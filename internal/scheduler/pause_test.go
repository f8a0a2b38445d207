package scheduler

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// TestPauses: whatever is paused starts nothing and leaves nothing lying about,
// and goes on in the same cycle when the pause ends.
func TestPauses(t *testing.T) {
	for _, c := range []struct{ name, pause, resume string }{
		{"policy", `UPDATE rotation_policies SET paused_reason = 'audit'`, `UPDATE rotation_policies SET paused_reason = NULL`},
		{"policy disabled", `UPDATE rotation_policies SET enabled = false`, `UPDATE rotation_policies SET enabled = true`},
		{"everything", `UPDATE rotation_control SET paused = true, reason = 'audit'`, `UPDATE rotation_control SET paused = false`},
		{"provider", `UPDATE rotation_control SET paused_providers = '{other,dynamic}'`, `UPDATE rotation_control SET paused_providers = '{other}'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 8)
			id := r.policy("treasury", "@every 1h")
			wallets := r.wallets(id, 8, 1, 1)
			r.ticked(id, time.Hour, 10*time.Second)
			r.exec(c.pause)
			x := r.start()
			r.never("a rotation was opened in a pause", func() bool { return value[int](r, `SELECT count(*) FROM rotations`) > 0 },
				"the pause was counted", func() bool { return x.skipped("treasury", SkipPaused) == 8 })
			r.exec(c.resume)
			r.rotated(1, wallets...)
			r.settled()
			r.healthy()
			r.eventually("the cycle is completed", func() bool {
				return r.cycles() == "completed"
			})
		})
	}
}

// TestPausesUnderWay: whatever is paused, a rotation past prepared is finished,
// and one before it is parked with nothing left open, also when its attempt fails
// only in the pause. Both go on after it.
func TestPausesUnderWay(t *testing.T) {
	for _, c := range []struct{ name, pause, resume string }{
		{"wallet", `UPDATE wallets SET paused_reason = 'audit'`, `UPDATE wallets SET paused_reason = NULL`},
		{"policy", `UPDATE rotation_policies SET paused_reason = 'audit'`, `UPDATE rotation_policies SET paused_reason = NULL`},
		{"provider", `UPDATE rotation_control SET paused_providers = '{dynamic}'`, `UPDATE rotation_control SET paused_providers = '{}'`},
		{"everything", `UPDATE rotation_control SET paused = true, reason = 'audit'`, `UPDATE rotation_control SET paused = false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 3)
			id := r.policy("treasury", "@every 1h", "max_attempts", 1000)
			w := r.wallets(id, 3, 1, 1)
			external := func(i int) string { return value[string](r, `SELECT external_id FROM wallets WHERE id = $1`, w[i]) }
			r.ticked(id, time.Hour, 10*time.Second)
			r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 503, Wallet: external(0)},
				faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 503, Wallet: external(1)},
				faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Latency, Delay: 3 * time.Second, Wallet: external(2)},
				faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Status, Status: 503, Wallet: external(2)})
			r.start()
			states := func() string {
				return value[string](r, `SELECT coalesce(string_agg(state, ' ' ORDER BY wallet_id), '') FROM rotations
					WHERE state = 'prepared' OR state = 'waiting' AND error IS NOT NULL
					   OR state = 'ceremony' AND opened_at > clock_timestamp() - interval '1 s'`) // and so will last into the pause
			}
			r.eventually("one is prepared, one has failed, one is in its ceremony", func() bool { return states() == "prepared waiting ceremony" })
			r.exec(c.pause)
			// No backoff of this rig is so long.
			parked := func(i int) bool {
				return value[bool](r, `SELECT owner IS NULL AND state = 'waiting' AND coalesce(next_check > clock_timestamp() + interval '2 s', false) FROM rotations WHERE wallet_id = $1`, w[i])
			}
			r.eventually("the one that failed is parked", func() bool { return parked(1) })
			r.breaks()
			r.rotated(1, w[0])
			r.eventually("the one whose ceremony failed in the pause is parked", func() bool { return parked(2) })
			looked := value[time.Time](r, `SELECT min(next_check) FROM rotations`)
			attempts := value[int](r, `SELECT sum(attempt) FROM rotations`)
			r.never("an attempt was begun in a pause", func() bool { return value[int](r, `SELECT sum(attempt) FROM rotations`) != attempts },
				"both were looked at again", func() bool {
					return value[time.Time](r, `SELECT min(next_check) FROM rotations`).After(looked.Add(pausedLook))
				})
			if got := value[string](r, `SELECT coalesce(string_agg(wallet_id || ' ' || state, ', ' ORDER BY wallet_id), '') FROM rotations`); got != "2 waiting, 3 waiting" {
				t.Errorf("in the pause there are: %s", got)
			}
			for _, x := range r.sandbox.State() {
				if want := map[string]int{external(0): 1}[x.ID]; x.Generation != want || !x.CanSign || x.OldShareSigns {
					t.Errorf("in the pause: %+v, want generation %d", x, want)
				}
			}
			r.exec(c.resume)
			r.rotated(1, w...)
			r.settled()
			r.healthy()
			r.oncePerTick()
		})
	}
}

// Wallets that a walk passed over because their provider was paused are walked
// again at the first look after the pause, not some time later.
func TestResumedProviderIsSweptAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	id := r.policy("treasury", "@every 1h")
	r.wallets(id, 8, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.exec(`UPDATE rotation_control SET paused_providers = '{dynamic}'`)
	d := r.looker()
	d.looks(r)
	if n := value[int](r, `SELECT count(*) FROM rotations`); n != 0 {
		t.Errorf("%d rotations in the pause", n)
	}
	r.exec(`UPDATE rotation_control SET paused_providers = '{}'`)
	d.looks(r)
	if n := value[int](r, `SELECT count(*) FROM rotations`); n != 8 {
		t.Errorf("%d rotations after the pause", n)
	}
}

// A pause in the middle of a cycle lets what is under way end, and starts
// nothing more.
func TestPauseInTheMiddle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 2)
	wallets := r.wallets(id, 12, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 500 * time.Millisecond})
	x := r.start()
	r.eventually("two are rotated", func() bool { return value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1`) >= 2 })
	r.exec(`UPDATE rotation_policies SET paused_reason = 'audit'`)
	r.eventually("the pause was counted", func() bool { return x.skipped("treasury", SkipPaused) > 0 })
	r.eventually("what was under way is over", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state <> 'waiting'`) == 0 })
	if done := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1`); done >= 12 {
		t.Error("the cycle went on to its end")
	}
	r.exec(`UPDATE rotation_policies SET paused_reason = NULL`)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
}

// Wallets that are paused, disabled or moved away while a cycle runs are not
// started in it; a paused one that comes back is.
func TestWalletsLeaveACycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	id, other := r.policy("treasury", "@every 1h"), r.policy("other", "@every 1h")
	w := r.wallets(id, 6, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.exec(`UPDATE rotation_policies SET paused_reason = 'not yet' WHERE id = $1`, id)
	x := r.start()
	r.eventually("the cycle runs", func() bool { return x.skipped("treasury", SkipPaused) == 6 })
	r.exec(`UPDATE wallets SET paused_reason = 'x' WHERE id = $1`, w[0])
	r.exec(`UPDATE wallets SET enabled = false WHERE id = $1`, w[1])
	r.exec(`UPDATE wallets SET policy_id = $2 WHERE id = $1`, w[2], other)
	r.exec(`UPDATE wallets SET paused_reason = 'x' WHERE id = $1`, w[3])
	r.exec(`UPDATE wallets SET paused_reason = NULL WHERE id = $1`, w[3])
	r.exec(`UPDATE rotation_policies SET paused_reason = NULL WHERE id = $1`, id)
	r.rotated(1, w[3:]...)
	r.settled()
	r.eventually("the cycle is completed", func() bool {
		return value[string](r, `SELECT state FROM rotation_cycles WHERE policy_id = $1`, id) == "completed"
	})
	if n := value[int](r, `SELECT sum(generation) FROM wallet_state WHERE wallet_id = ANY($1)`, w[:3]); n != 0 {
		t.Errorf("%d rotations of wallets that had left", n)
	}
	r.healthy()
}

// A policy can be deleted while its cycle runs, once its wallets have left it:
// what is under way ends well, nothing else starts, the rest goes on.
func TestPolicyDeletedInItsCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	id, other := r.policy("treasury", "@every 1h", "max_concurrent", 2), r.policy("other", "@every 1s")
	r.wallets(id, 7, 1, 1)
	going := r.wallets(other, 1, 100, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: time.Second})
	r.start()
	r.eventually("some are under way", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'opening' AND policy_id = $1`, id) > 0
	})
	r.exec(`UPDATE wallets SET policy_id = NULL WHERE policy_id = $1`, id)
	r.exec(`DELETE FROM rotation_policies WHERE id = $1`, id)
	r.eventually("they end", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE policy_id = $1`, id) == 0 })
	done := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation > 0 AND wallet_id < 100`)
	r.rotated(r.generations()[100]+2, going...)
	if n := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation > 0 AND wallet_id < 100`); n != done || n == 7 {
		t.Errorf("%d wallets of the deleted policy were rotated, %d under way", n, done)
	}
	r.stop()
	r.healthy()
}

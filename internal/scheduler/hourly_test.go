package scheduler

import (
	"testing"
	"time"
)

// TestMaxPerHourAcrossReplicas: whatever starts them, and whichever replica
// does, no more rotations begin than the hour allows, and what a person asked
// for gets the next slot.
func TestMaxPerHourAcrossReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, 40)
	// A tenth at once, then one in 3600/90 s: none comes in the time of this test
	// but by hand.
	const perHour, burst, slot = 100, 10, 40 * time.Second
	for i, name := range []string{"a", "b", "c"} {
		id := r.policy(name, "@every 1h", "max_share_age", "3 hours")
		r.wallets(id, 10, int64(100*i+1), 1)
		r.ticked(id, time.Hour, 10*time.Second)
		if name == "c" {
			r.exec(`UPDATE wallet_state SET cycle_at = now() - interval '4 hours' WHERE policy_id = $1`, id)
			r.exec(`UPDATE policy_state SET schedule_since = now() WHERE policy_id = $1`, id) // the emergency band alone
		}
	}
	byHand := r.wallets(r.policy("manual", ""), 10, 1000, 1)
	var replicas []*replica
	for range 3 {
		replicas = append(replicas, r.start(func(o *Options) { o.Config.MaxPerHour = perHour }))
	}
	skipped := func() (n int) {
		for _, x := range replicas {
			for _, name := range []string{"a", "b", "c"} {
				n += x.skipped(name, SkipLimit)
			}
		}
		return n
	}
	began := func() int { return r.sandbox.Stats().Ceremonies.Opened }
	r.never("more began than a tenth of the hour's", func() bool { return began() > burst },
		"all of these ended, and the rest was counted as skipped", func() bool {
			return value[int](r, `SELECT sum(generation) FROM wallet_state`) == burst && skipped() > 0
		})
	for _, w := range byHand {
		r.done("rotate", w, 0)
	}
	r.never("a request passed the limit", func() bool { return began() > burst }, "the requests are parked", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE trigger = 'manual' AND state = 'waiting' AND owner IS NULL
			AND next_check > now() + interval '5 seconds'`) == len(byHand)
	})
	// Three slots have passed.
	r.exec(`UPDATE fleet_state SET started_until = started_until - $1::interval`, 3*slot)
	r.exec(`UPDATE rotations SET next_check = now() WHERE trigger = 'manual'`)
	r.never("more began than slots have passed", func() bool { return began() > burst+3 }, "three more have ended", func() bool {
		return value[int](r, `SELECT sum(generation) FROM wallet_state`) == burst+3
	})
	r.exec(`UPDATE fleet_state SET started_until = NULL`)
	r.exec(`UPDATE rotations SET next_check = now() WHERE state = 'waiting' AND owner IS NULL`)
	r.never("more began than a tenth more", func() bool { return began() > 2*burst+3 }, "they have ended", func() bool {
		return value[int](r, `SELECT sum(generation) FROM wallet_state`) == 2*burst+3
	})
	if n := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'activated' AND trigger = 'manual'`); n < 3 {
		t.Errorf("%d rotations that a person asked for began of 13 that did", n)
	}
	r.stop() // lets them end
	r.healthy()
	r.oncePerTick()
}

// TestRetriesCountOnce: a rotation that needs several attempts takes one slot.
func TestRetriesCountOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.policy("treasury", "@every 1h", "max_attempts", 1000)
	wallets := r.wallets(id, 1, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(refused(3))
	r.start(func(o *Options) { o.Config.MaxPerHour = 1 })
	r.rotated(1, wallets...)
	r.settled()
	if n := r.refreshes(); n != 4 {
		t.Errorf("%d attempts, want three that fail and one that does not", n)
	}
	r.healthy()
}

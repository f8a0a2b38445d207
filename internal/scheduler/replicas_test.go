package scheduler

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// TestThreeReplicas: three replicas on one database make one cycle of a tick or
// a request, rotate each wallet exactly once for it, and keep the limit between
// them.
func TestThreeReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 3)
	wallets := r.wallets(id, 12, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	for range 3 {
		r.start()
	}
	r.eventually("the cycle is completed", func() bool { return r.cycles() == "completed" })
	r.done("run_policy", 0, id)
	r.eventually("the second one is completed", func() bool { return r.cycles() == "completed,completed" })
	r.stop()
	for _, w := range wallets {
		if n := r.generations()[w]; n != 2 {
			t.Errorf("wallet %d was rotated %d times in two cycles", w, n)
		}
	}
	r.healthy()
	r.oncePerTick()
	if n := value[int](r, `SELECT count(*) FROM rotation_cycles c WHERE state = 'completed' AND
		(SELECT count(*) FROM share_set_history h WHERE h.tick = c.tick AND outcome = 'activated') <> 12`); n > 0 {
		t.Errorf("%d completed cycles did not rotate every wallet", n)
	}
	// On a busy machine one of them may have taken all.
	t.Logf("%d replicas took part", value[int](r, `SELECT count(DISTINCT owner) FROM cycle_counters WHERE claimed > 0`))
	if s := r.sandbox.Stats().Ceremonies; s.Peak > 3 || s.Peak < 2 {
		t.Errorf("%d ceremonies at a time under max_concurrent 3", s.Peak)
	}
}

// Starts are paced across replicas: after a burst of a tenth, one slot apart.
func TestPaceAcrossReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	id := r.policy("treasury", "@every 1h", "max_per_minute", 120, "max_concurrent", 20) // a burst of 12, then one in 60/108 s
	wallets := r.wallets(id, 20, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	for range 3 {
		r.start()
	}
	r.rotated(1, wallets...)
	// The id of a rotation tells when it was claimed. A busy machine may take its
	// time between reading the clock and claiming.
	claims := value[[]int64](r, `SELECT array_agg(ms ORDER BY ms) FROM (
		SELECT ('x' || left(replace(rotation_id::text, '-', ''), 12))::bit(48)::bigint AS ms FROM share_set_history WHERE outcome = 'activated') x`)
	const burst, slot, slack = 12, time.Minute / 108, 2 * time.Second
	for i := range claims {
		for k := i + burst; k < len(claims); k++ {
			if gap, least := time.Duration(claims[k]-claims[i])*time.Millisecond, time.Duration(k-i+1-burst)*slot-slack; gap < least {
				t.Errorf("%d starts within %s", k-i+1, gap)
			}
		}
	}
	if n := r.sandbox.Stats().Ceremonies.PeakPerMinute; n > 120 {
		t.Errorf("%d ceremonies within a minute", n)
	}
	r.settled()
	r.healthy()
}

// TestReplicaGivenUp: a replica that finds its epoch gone drops everything at
// once, takes a new epoch, and what it had in hand goes on.
func TestReplicaGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, 16)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 4)
	wallets := r.wallets(id, 16, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Latency, Delay: 200 * time.Millisecond})
	x := r.start()
	r.eventually("some are under way", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'ceremony'`) > 1 })
	epoch := value[int64](r, `SELECT epoch FROM replicas`)
	r.exec(`DELETE FROM replicas`)
	r.eventually("it takes a new epoch", func() bool { return value[bool](r, `SELECT EXISTS (SELECT FROM replicas WHERE epoch <> $1)`, epoch) })
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
	if n := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'abandoned'`); n == 0 {
		t.Error("no attempt was given up: nothing was in hand")
	}
	x.stop()
	if n := value[int](r, `SELECT count(*) FROM replicas`); n != 0 {
		t.Errorf("%d replicas after the last has left", n)
	}
}

// TestTakeover: a replica that is cut off stops acting, another one takes its
// work over, and it comes back under a new epoch.
func TestTakeover(t *testing.T) {
	t.Parallel()
	r := newRig(t, 16)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 8)
	wallets := r.wallets(id, 16, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Latency, Delay: 300 * time.Millisecond})
	line := newLead(t, r.dsn)
	store := r.open(line.dsn)
	quick := func(o *Options) {
		o.Config.HeartbeatTimeout, o.Config.CallTimeout, o.Config.Workers = 2*time.Second, time.Second, 4
	}
	first := r.start(quick, func(o *Options) { o.Store = store })
	r.eventually("it is in the middle of it", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE owner IS NOT NULL AND state IN ('ceremony', 'prepared', 'promoted')`) > 2
	})
	epoch := value[int64](r, `SELECT epoch FROM replicas`)
	line.cut()
	second := r.start(quick)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
	if n := value[int](r, `SELECT count(*) FROM replicas WHERE epoch = $1`, epoch); n != 0 {
		t.Error("the lost replica is still on record")
	}
	if n := second.takeovers(); n != 1 {
		t.Errorf("%d takeovers counted", n)
	}
	line.heal()
	r.eventually("the first one is back", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 2 })
	if n := first.takeovers(); n != 0 {
		t.Errorf("the lost replica counted %d takeovers", n)
	}
	r.healthy()
}

// A tick that a replica still knows from a version of the policy that was
// replaced meanwhile is not fired; it reads the policy again.
func TestTickOfAReplacedVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.policy("treasury", "@every 1h")
	r.wallets(id, 1, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	stale, other := r.looker(), r.looker()
	r.must(stale.read(t.Context()))
	r.exec(`UPDATE rotation_policies SET schedule = '@every 2h'`)
	r.must(other.read(t.Context()))
	r.must(stale.fire(t.Context()))
	if c := r.cycles(); c != "" {
		t.Fatalf("cycle %s", c)
	}
	stale.looks(r)
	if v := stale.policies.get(id).row.RunningVersion; v != 2 {
		t.Errorf("it still knows version %d", v)
	}
	if c := r.cycles(); c != "" {
		t.Fatalf("cycle %s", c)
	}
}

// Nor is a tick judged by the window of a version that was replaced.
func TestTickUnderAReplacedWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.policy("treasury", "@every 1h", "run_window", "1 second")
	r.wallets(id, 1, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	stale, other := r.looker(), r.looker()
	r.must(stale.read(t.Context()))
	r.exec(`UPDATE rotation_policies SET run_window = NULL`)
	r.must(other.read(t.Context()))
	r.must(stale.fire(t.Context()))
	stale.looks(r)
	if c := r.cycles(); c != "running" {
		t.Errorf("cycle %q", c)
	}
}

// A wallet whose row somebody has locked is passed over, and found again.
func TestLockedWalletIsFoundAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	id := r.policy("treasury", "@every 1h")
	wallets := r.wallets(id, 4, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.exec(`BEGIN`)
	r.exec(`SELECT FROM wallet_state WHERE wallet_id = $1 FOR NO KEY UPDATE`, wallets[1])
	r.start()
	r.rotated(1, wallets[0], wallets[2], wallets[3])
	r.exec(`COMMIT`)
	r.rotated(1, wallets...)
	r.settled()
	r.eventually("the cycle is completed", func() bool { return r.cycles() == "completed" })
	r.healthy()
}

// A rotation that is on record as this replica's and that nobody works on, as
// after a claim whose answer was lost, is picked up.
func TestOrphanIsAdopted(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	wallets := r.wallets(r.policy("treasury", "@daily"), 1, 1, 1)
	r.start()
	r.eventually("it has signed on", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 1 })
	r.exec(`INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, owner, claimed_at)
		SELECT $1, gen_random_uuid(), (SELECT id FROM rotation_policies), now(), 'schedule', epoch, now() FROM replicas`, wallets[0])
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

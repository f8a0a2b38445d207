package scheduler

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// refreshes is how many attempts have reached the vendor.
func (r *rig) refreshes() int { return r.sandbox.Stats().Requests["dynamic.refresh"] }

func breaker(failures int, pause time.Duration) func(*Options) {
	return func(o *Options) {
		o.Rotation.Breaker = store.Breaker{Failures: failures, Pause: pause, MaxPause: 4 * pause}
	}
}

// TestCircuitAcrossReplicas: while the vendor is down, what reaches it is what
// opens the circuit, what was under way by then, and one probe for each pause,
// whichever of three replicas sends them. Nothing fails for its tick, and all
// goes on by itself.
func TestCircuitAcrossReplicas(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	const failures, concurrent = 4, 3
	id := r.policy("treasury", "@every 1h", "max_concurrent", concurrent, "max_attempts", 3, "failure_budget", 3)
	wallets := r.wallets(id, 12, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 503})
	var said heard
	quiet := func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&said, nil))
		o.Rotation.Log = o.Log
	}
	var replicas []*replica
	for range 3 {
		replicas = append(replicas, r.start(breaker(failures, 200*time.Millisecond), quiet))
	}
	openings := func() int {
		return value[int](r, `SELECT coalesce(max(openings), 0) FROM provider_state WHERE provider = 'dynamic'`)
	}
	r.never("a rotation failed for its tick, or more reached the vendor than may", func() bool {
		reached := r.refreshes()
		// Read after what it bounds: a probe reaches the vendor before it opens the
		// circuit again.
		return reached > failures+concurrent-1+max(openings()-1, 0)+1 || value[int](r, `SELECT count(*) FROM rotations WHERE state = 'failed'`) > 0
	}, "several probes have failed", func() bool { return openings() >= 5 })
	if n := value[int](r, `SELECT coalesce(max(attempt), 0) FROM rotations`); n >= failures {
		t.Errorf("%d attempts of one rotation counted", n)
	}
	skipped := 0
	for _, x := range replicas {
		skipped += x.skipped("treasury", SkipBreaker)
	}
	if skipped == 0 {
		t.Error("nobody counted wallets that wait for the circuit")
	}
	opened := openings()
	r.breaks()
	r.rotated(1, wallets...)
	r.settled()
	if n := value[int](r, `SELECT count(*) FROM provider_state WHERE open_until IS NOT NULL OR failures > 0`); n > 0 {
		t.Error("the circuit is not closed")
	}
	r.eventually("all have noticed", func() bool { return strings.Count(said.String(), "circuit closed") == 3 })
	if n := strings.Count(said.String(), `level=WARN msg="circuit opened`); n < opened || n > opened+1 {
		t.Errorf("%d openings logged, want %d or one more", n, opened)
	}
	r.healthy()
	r.oncePerTick()
	if c := r.cycles(); c != "completed" && c != "running" {
		t.Errorf("cycle %s", c)
	}
}

// TestOneProbeAtATime: many wallets of three replicas may begin the moment the
// pause is over, and the vendor takes its time: it sees one of them.
func TestOneProbeAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t, 30)
	id := r.policy("treasury", "@every 1h")
	wallets := r.wallets(id, 30, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 3 * time.Second})
	for _, w := range wallets {
		r.exec(`INSERT INTO rotation_requests (action, wallet_id, actor, reason) VALUES ('rotate', $1, 'test', 'test')`, w)
	}
	r.exec(`INSERT INTO provider_state (provider, openings, open_until, opened_at) VALUES ('dynamic', 1, now() + interval '2 seconds', now())`)
	for range 3 {
		r.start(breaker(3, 200*time.Millisecond))
	}
	closed := func() bool {
		return value[bool](r, `SELECT open_until IS NULL FROM provider_state WHERE provider = 'dynamic'`)
	}
	r.never("a second attempt began beside the probe", func() bool {
		reached := r.sandbox.Stats().Requests["dynamic.refresh"]
		return reached > 1 && !closed()
	}, "the probe has closed the circuit", closed)
	r.breaks()
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

// TestCircuitHoldsItsProviderAlone: neither scheduled nor emergency nor manual
// rotations begin where the circuit is open, and all others do.
func TestCircuitHoldsItsProviderAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	id := r.policy("treasury", "@every 1h")
	late := r.policy("late", "@every 1h", "max_share_age", "3 hours")
	wallets := r.wallets(id, 4, 1, 1)
	for i := range 8 {
		r.exec(`INSERT INTO wallets (id, provider, external_id, policy_id) VALUES ($1, 'other', $2, $3)`,
			100+i, fmt.Sprintf("w%d", i), []int32{id, late}[i%2])
	}
	r.ticked(id, time.Hour, 10*time.Second)
	r.ticked(late, time.Hour, 10*time.Second)
	r.exec(`UPDATE wallet_state SET cycle_at = now() - interval '4 hours' WHERE policy_id = $1`, late)
	r.exec(`UPDATE policy_state SET schedule_since = now() WHERE policy_id = $1`, late) // nothing but the band
	r.exec(`INSERT INTO provider_state (provider, openings, open_until, opened_at) VALUES ('other', 1, now() + interval '1 hour', now())`)
	x := r.start(breaker(3, time.Minute), func(o *Options) { o.Rotation.Providers["other"] = r.vendor })
	r.rotated(1, wallets...)
	r.never("a rotation was opened at the provider", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE wallet_id >= 100`) > 0
	}, "both kinds were counted", func() bool {
		return x.skipped("treasury", SkipBreaker) == 4 && x.skipped("late", SkipBreaker) == 4
	})
	r.done("rotate", 100, 0)
	r.eventually("the one that a person asked for is parked", func() bool {
		return value[bool](r, `SELECT EXISTS (SELECT FROM rotations WHERE wallet_id = 100 AND state = 'waiting' AND owner IS NULL
			AND attempt = 0 AND error IS NULL AND next_check > now() + interval '50 minutes')`)
	})
	r.stop()
	r.healthy()
}

// TestCircuitHoldsNothingPastPrepared: swaps that fail open the circuit, and
// when the vendor is back they are finished while it is still open.
func TestCircuitHoldsNothingPastPrepared(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	const failures = 3
	id := r.policy("treasury", "@every 1h", "max_concurrent", 3)
	wallets := r.wallets(id, 8, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 500})
	for range 3 {
		r.start(breaker(failures, time.Hour))
	}
	r.eventually("the circuit is open", func() bool {
		return value[bool](r, `SELECT EXISTS (SELECT FROM provider_state WHERE open_until > now())`)
	})
	before := r.refreshes()
	r.breaks()
	r.eventually("what was prepared has ended", func() bool { return value[int](r, `SELECT sum(generation) FROM wallet_state`) == before })
	r.eventually("nothing is past waiting", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state <> 'waiting'`) == 0 })
	if after := r.refreshes(); after != before || after > failures {
		t.Errorf("%d attempts before it opened, %d after", before, after)
	}
	r.exec(`UPDATE provider_state SET open_until = now()`)
	r.exec(`UPDATE rotations SET next_check = now() WHERE owner IS NULL AND state = 'waiting'`)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

// TestOthersFaultsOpenNoCircuit: neither a co-signer's failures nor a wallet's
// own refusal nor a contradiction nor a rate limit is the provider's fault.
func TestOthersFaultsOpenNoCircuit(t *testing.T) {
	for name, f := range map[string]faults.Fault{
		"co-signer":              {Operation: "cosigner.ceremony", Kind: faults.Status, Status: 500},
		"co-signer's door":       {Operation: "cosigner.ceremony", Kind: faults.Status, Status: 401},
		"a wallet's refusal":     {Operation: "dynamic.refresh", Kind: faults.Status, Status: 404},
		"a broken ceremony":      {Operation: "dynamic.room", Kind: faults.WrongPublicKey},
		"a contradiction":        {Operation: "dynamic.wallet", Kind: faults.WrongPublicKey},
		"a rate limit":           {Operation: "dynamic.refresh", Kind: faults.Status, Status: 429},
		"the provider, if it is": {Operation: "dynamic.refresh", Kind: faults.Status, Status: 500},
		"its door, if it is":     {Operation: "dynamic.refresh", Kind: faults.Status, Status: 403},
		"its silence, if it is":  {Operation: "dynamic.refresh", Kind: faults.LostReply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 6)
			id := r.policy("treasury", "@every 1h", "max_attempts", 2)
			r.wallets(id, 6, 1, 1)
			r.ticked(id, time.Hour, 10*time.Second)
			r.breaks(f)
			r.start(breaker(2, time.Hour))
			want := strings.HasSuffix(name, "if it is")
			r.eventually("it has met with failures", func() bool {
				if want {
					return value[bool](r, `SELECT EXISTS (SELECT FROM provider_state WHERE open_until > now())`)
				}
				return value[int](r, `SELECT count(*) FROM rotations WHERE error_class IS NOT NULL AND owner IS NULL`) >= 6
			})
			if n := value[int](r, `SELECT count(*) FROM provider_state WHERE open_until IS NOT NULL OR failures > 0`); n > 0 != want {
				t.Errorf("the circuit is open or failures are counted: %v, want %v", n > 0, want)
			}
			if n := value[int](r, `SELECT count(*) FROM rotations WHERE state = 'failed'`); want && n > 1 { // the one before it opened
				t.Errorf("%d wallets failed for what is the provider's fault", n)
			}
		})
	}
}

// refused is a vendor that fails so many refreshes.
func refused(times int) faults.Fault {
	return faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 503, Times: times}
}

package scheduler

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func (x *replica) takeovers() int { return int(testutil.ToFloat64(x.Metrics.takeovers)) }

// listening lets a test hear what the scheduler logs.
func (r *rig) listening(h *heard) func(*Options) {
	return func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(h, r.t.Output()), nil))
	}
}

// TestDatabaseOutage: when the database is gone for longer than a lease lives,
// the replica stops all work; when it is back, it goes on under a new epoch.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	wallets := r.wallets(r.policy("treasury", "@every 1s"), 4, 1, 1)
	line := newLead(t, r.dsn)
	store := r.open(line.dsn)
	var log heard
	r.start(r.listening(&log), func(o *Options) { o.Store, o.Config.HeartbeatTimeout = store, 2*time.Second })
	r.rotated(1, wallets...)
	epoch := value[int64](r, `SELECT epoch FROM replicas`)
	line.cut()
	r.eventually("the lease is lost", func() bool { return strings.Contains(log.String(), "lease lost") })
	line.heal()
	r.eventually("it signs on again", func() bool { return value[bool](r, `SELECT EXISTS (SELECT FROM replicas WHERE epoch <> $1)`, epoch) })
	was := 0
	for _, n := range r.generations() {
		was = max(was, n)
	}
	r.rotated(was+2, wallets...)
	r.stop()
	r.healthy()
	r.oncePerTick()
}

// TestHangingConnections: connections that lead nowhere, as after a failover,
// hold nobody up for longer than a lease lives.
func TestHangingConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	line := newLead(t, r.dsn)
	store := r.open(line.dsn)
	var log heard
	r.start(r.listening(&log), func(o *Options) { o.Store, o.Config.HeartbeatTimeout = store, 2*time.Second })
	// The row is there before the daemon has heard of it.
	r.eventually("it has signed on", func() bool { return strings.Contains(log.String(), "signed on") })
	line.Hold()
	r.eventually("the lease is lost", func() bool { return strings.Contains(log.String(), "lease lost") })
	line.Release()
	wallets := r.wallets(r.policy("treasury", "@every 1s"), 2, 1, 1)
	r.rotated(1, wallets...)
	r.stop()
	r.healthy()
}

// A table that somebody has locked holds up what needs it, and nothing else.
func TestLockedTable(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	wallets := r.wallets(r.policy("treasury", "@every 2s"), 3, 1, 1)
	r.start(func(o *Options) { o.Config.HeartbeatTimeout = 2 * time.Second })
	r.rotated(1, wallets...)
	r.exec(`BEGIN`)
	r.exec(`LOCK TABLE rotation_requests IN ACCESS EXCLUSIVE MODE`)
	r.rotated(r.generations()[wallets[0]]+1, wallets...)
	r.exec(`COMMIT`)
	r.stop()
	r.healthy()
}

// TestForEach: one failure keeps nobody else from their turn, unless it is the
// database that is gone.
func TestForEach(t *testing.T) {
	bad := errors.New("bad row")
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"a bad row":       {bad, 3},
		"a lost database": {&pgconn.PgError{Code: "57P01"}, 2},
	} {
		seen := 0
		err := forEach(t.Context(), []int{1, 2, 3}, func(i int) error {
			seen++
			if i == 2 {
				return c.err
			}
			return nil
		})
		if seen != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d had their turn, %v", name, seen, err)
		}
	}
}

// A scheduler can be stopped while the database is away.
func TestStopWithoutADatabase(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	line := newLead(t, r.dsn)
	store := r.open(line.dsn)
	x := r.start(func(o *Options) { o.Store, o.Config.CallTimeout = store, time.Second })
	r.eventually("it has signed on", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 1 })
	line.cut()
	x.stop()
}

// TestStopLetsRotationsEnd: what is under way reaches its end within the grace,
// and nothing is left in hand.
func TestStopLetsRotationsEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	id := r.policy("treasury", "@every 1h", "max_concurrent", 3)
	r.wallets(id, 12, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Latency, Delay: 300 * time.Millisecond})
	x := r.start()
	r.eventually("three are under way", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'ceremony'`) == 3 })
	x.stop()
	if n := value[int](r, `SELECT count(*) FROM rotations WHERE owner IS NOT NULL OR state <> 'waiting'`); n != 0 {
		t.Errorf("%d rotations were left in the middle", n)
	}
	if n := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'abandoned'`); n != 0 {
		t.Errorf("%d attempts were given up", n)
	}
	r.healthy()
}

// TestStopIsBounded: what does not end within the grace is put down, and goes
// on elsewhere.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	id := r.policy("treasury", "@every 1h")
	wallets := r.wallets(id, 4, 1, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: time.Hour})
	patient := map[string]provider.Provider{"dynamic": r.newVendor(time.Hour)}
	x := r.start(func(o *Options) {
		o.Config.ShutdownGrace, o.Config.HeartbeatTimeout = 100*time.Millisecond, time.Hour
		o.Rotation.Timing.Call, o.Rotation.Providers = time.Hour, patient
	})
	r.eventually("they hang", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'opening'`) == 4 })
	began := time.Now()
	x.stop()
	if took := time.Since(began); took > ample {
		t.Errorf("stopping took %s", took)
	}
	r.breaks()
	r.start()
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

// TestStartStop: schedulers that come and go at any moment leave nothing in
// hand, nothing on record and no goroutine behind.
func TestStartStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6)
	wallets := r.wallets(r.policy("treasury", "@every 1s", "max_concurrent", 6), 6, 1, 1)
	r.start()
	for i := range 12 {
		x := r.start()
		if i%3 > 0 {
			r.eventually("it has signed on", func() bool { return value[int](r, `SELECT count(*) FROM replicas`) == 2 })
		}
		if i%3 > 1 {
			n := value[int](r, `SELECT sum(generation) FROM wallet_state`)
			r.eventually("something was rotated", func() bool { return value[int](r, `SELECT sum(generation) FROM wallet_state`) > n })
		}
		x.stop()
	}
	r.rotated(3, wallets...)
	r.stop()
	if n := value[int](r, `SELECT (SELECT count(*) FROM replicas) + (SELECT count(*) FROM rotations WHERE owner IS NOT NULL)`); n != 0 {
		t.Errorf("%d rows of replicas that have left", n)
	}
	r.healthy()
	r.oncePerTick()
}

// TestIdleIsQuiet: a scheduler with nothing to do asks the database a handful
// of questions a second, also in a pause, behind a limit or a far slot.
func TestIdleIsQuiet(t *testing.T) {
	t.Parallel()
	r := newRig(t, 12)
	r.policy("quiet", "@daily", "max_share_age", "30 days")
	paused, spread, held := r.policy("paused", "@every 1h"), r.policy("spread", "@every 1h", "spread", "40 minutes"), r.policy("held", "@every 1h", "failure_budget", 1)
	r.wallets(paused, 4, 1, 1)
	r.wallets(spread, 4, late(40*time.Minute, 30*time.Minute)*spreadBlock, 1)
	r.wallets(held, 4, 100, 1)
	for _, id := range []int32{paused, spread, held} {
		r.ticked(id, time.Hour, 10*time.Second)
	}
	r.exec(`UPDATE rotation_policies SET paused_reason = 'audit' WHERE name = 'paused'`)
	r.exec(`INSERT INTO provider_state (provider, hold_until) VALUES ('dynamic', now() + interval '1 hour')`)
	line := newLead(t, r.dsn)
	store := r.open(line.dsn)
	x := r.start(func(o *Options) { o.Store = store })
	r.eventually("it has looked", func() bool { return x.skipped("paused", SkipPaused) == 4 && x.skipped("held", SkipBreaker) == 4 })
	before, began := line.Statements(), value[time.Time](r, `SELECT clock_timestamp()`)
	const seconds = 4
	r.eventually("some seconds have passed", func() bool {
		return value[bool](r, `SELECT clock_timestamp() > $1::timestamptz + $2 * interval '1 second'`, began, seconds)
	})
	// A look a second, and five heartbeats and looks for the dead each.
	if n := line.Statements() - before; n < seconds*2 || n > seconds*50 {
		t.Errorf("%d statements in %d idle seconds", n, seconds)
	}
}

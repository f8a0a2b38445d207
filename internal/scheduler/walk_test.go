package scheduler

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// overdue is a schedule whose last tick no replica has seen.
func (r *rig) overdue() *Schedule {
	r.t.Helper()
	s, err := ParseSchedule("@every 24h", "UTC", Rules{})
	r.must(err)
	r.exec(`UPDATE reconcile_state SET tick = '2026-01-01'`)
	return s
}

// compared waits until a walk has come to its end after the given time, and
// returns its results.
func (r *rig) compared(after time.Time) store.Counts {
	r.t.Helper()
	var w store.Walked
	s := r.open(r.dsn)
	r.eventually("all wallets are compared", func() bool {
		var err error
		w, err = s.Walked(r.t.Context())
		r.must(err)
		return w.CompletedAt.After(after)
	})
	return w.Results
}

func logInto(h io.Writer) func(*Options) {
	return func(o *Options) { o.Log = slog.New(slog.NewTextHandler(h, nil)) }
}

// TestWalkRunsOnce: on one of two replicas, and not again on a third one that
// is started later; by hand it runs whenever somebody asks.
func TestWalkRunsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.wallets(r.policy("treasury", ""), 3, 1, 10)
	schedule := r.overdue()
	var log heard
	with := func(o *Options) { o.Reconcile.Schedule = schedule }
	r.start(with, logInto(&log))
	r.start(with, logInto(&log))
	if got := r.compared(time.Time{}); got["dynamic"]["no_baseline"] != 3 || len(got) != 1 || len(got["dynamic"]) != 1 {
		t.Errorf("results %v", got)
	}
	r.start(with, logInto(&log))
	before := value[time.Time](r, `SELECT completed_at FROM reconcile_state`)
	id := value[int64](r, `INSERT INTO rotation_requests (action) VALUES ('reconcile') RETURNING id`)
	if state, detail := r.answered(id); state != "done" {
		t.Errorf("%s: %s", state, detail)
	}
	r.compared(before)
	r.stop()
	if n := strings.Count(log.String(), "all wallets compared"); n != 2 {
		t.Errorf("they were compared %d times, want once by schedule and once by hand", n)
	}
	if n := value[int](r, `SELECT count(*) FROM rotation_requests WHERE actor = 'rotatord'`); n != 0 {
		t.Errorf("%d requests were made although all agree", n)
	}
}

// TestWalkGoesOnElsewhere where a replica left it, and counts no wallet twice.
func TestWalkGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	const wallets = walkPage + 10
	r := newRig(t, wallets)
	ids := r.wallets(r.policy("treasury", ""), wallets, 1, 1)
	schedule := r.overdue()
	var asked atomic.Int64
	first := r.start(func(o *Options) {
		o.Reconcile = Reconcile{Schedule: schedule, Pace: func(ctx context.Context, provider string) error {
			if asked.Add(1) <= walkPage {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
	})
	r.eventually("it is stuck in the second page", func() bool {
		return asked.Load() > walkPage && value[int64](r, `SELECT last_wallet FROM reconcile_state`) == ids[walkPage-1]
	})
	first.stop()
	var again atomic.Int64
	r.start(func(o *Options) {
		o.Reconcile = Reconcile{Schedule: schedule, Pace: func(context.Context, string) error { again.Add(1); return nil }}
	})
	if got := r.compared(time.Time{}); got["dynamic"]["no_baseline"] != wallets {
		t.Errorf("results %v, want %d wallets", got, wallets)
	}
	if n := again.Load(); n != wallets-walkPage {
		t.Errorf("the other replica compared %d wallets, want %d", n, wallets-walkPage)
	}
}

// TestWalkHeedsPauses: it waits for the end of one, leaves a paused provider out.
func TestWalkHeedsPauses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.wallets(r.policy("treasury", ""), 1, 1, 1)
	r.exec(`INSERT INTO wallets (id, provider, external_id) VALUES (100, 'elsewhere', 'x')`)
	r.exec(`UPDATE rotation_control SET paused = true, paused_providers = '{elsewhere}', reason = 'a test'`)
	schedule := r.overdue()
	var asked atomic.Int64
	r.start(func(o *Options) {
		o.Reconcile = Reconcile{Schedule: schedule, Pace: func(context.Context, string) error { asked.Add(1); return nil }}
	})
	// By hand, so that it is seen to be there and to be left.
	r.exec(`INSERT INTO rotation_requests (action) VALUES ('reconcile')`)
	beats := value[time.Time](r, `SELECT clock_timestamp()`).Add(3 * walkInterval)
	r.never("a walk ran through a pause", func() bool {
		return asked.Load() > 0 || value[bool](r, `SELECT completed_at IS NOT NULL FROM reconcile_state`)
	}, "the replica has lived for a while", func() bool {
		return value[bool](r, `SELECT coalesce(max(heartbeat), 'epoch') > $1 AND (SELECT running FROM reconcile_state) FROM replicas`, beats)
	})
	r.exec(`UPDATE rotation_control SET paused = false`)
	if got := r.compared(time.Time{}); got["dynamic"]["no_baseline"] != 1 || len(got) != 1 {
		t.Errorf("results %v", got)
	}
}

// TestWalkLeavesAHeldProviderAlone until it may be asked again.
func TestWalkLeavesAHeldProviderAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.wallets(r.policy("treasury", ""), 1, 1, 1)
	s := r.open(r.dsn)
	until := s.Now().Add(3 * time.Second)
	r.must(s.Hold(t.Context(), "dynamic", until, "rate limited"))
	schedule := r.overdue()
	r.start(func(o *Options) { o.Reconcile.Schedule = schedule })
	r.compared(time.Time{})
	if at := value[time.Time](r, `SELECT completed_at FROM reconcile_state`); at.Before(until) {
		t.Errorf("completed at %s, held until %s", at, until)
	}
}

// TestWalkStopsForAPause that begins while it runs, and goes on after it.
func TestWalkStopsForAPause(t *testing.T) {
	t.Parallel()
	const wallets = walkPage + 1
	r := newRig(t, wallets)
	ids := r.wallets(r.policy("treasury", ""), wallets, 1, 1)
	schedule := r.overdue()
	var asked atomic.Int64
	begun, paused := make(chan struct{}), make(chan struct{})
	r.start(func(o *Options) {
		o.Reconcile = Reconcile{Schedule: schedule, Pace: func(ctx context.Context, _ string) error {
			if asked.Add(1) == 1 {
				close(begun)
				select {
				case <-paused:
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		}}
	})
	select {
	case <-begun:
	case <-time.After(patience):
		t.Fatal("no walk began")
	}
	r.exec(`UPDATE rotation_control SET paused = true, reason = 'a test'`)
	close(paused)
	r.eventually("the page is over", func() bool { return value[int64](r, `SELECT last_wallet FROM reconcile_state`) == ids[walkPage-1] })
	beats := value[time.Time](r, `SELECT clock_timestamp()`).Add(3 * walkInterval)
	r.never("it goes on through a pause", func() bool { return asked.Load() > walkPage }, "the replica has lived for a while", func() bool {
		return value[bool](r, `SELECT max(heartbeat) > $1 FROM replicas`, beats)
	})
	r.exec(`UPDATE rotation_control SET paused = false`)
	if got := r.compared(time.Time{}); got["dynamic"]["no_baseline"] != wallets {
		t.Errorf("results %v", got)
	}
}

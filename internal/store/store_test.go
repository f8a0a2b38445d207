package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/migrations"
)

func TestOpenChecksTheSchema(t *testing.T) {
	if _, err := Open(t.Context(), Options{DSN: pgtest.NewEmpty(t)}); !errors.Is(err, migrations.ErrTooOld) {
		t.Errorf("an empty database: %v, want ErrTooOld", err)
	}
	w := newWorld(t)
	w.ok(w.Ready(t.Context()))
	w.exec(`UPDATE rotatord_schema SET compatible_from = 99`)
	if _, err := Open(t.Context(), Options{DSN: w.dsn}); !errors.Is(err, migrations.ErrTooNew) {
		t.Errorf("a newer database: %v, want ErrTooNew", err)
	}
	if err := w.Ready(t.Context()); !errors.Is(err, migrations.ErrTooNew) {
		t.Errorf("ready: %v, want ErrTooNew", err)
	}
}

func TestOpenKeepsThePasswordToItself(t *testing.T) {
	_, err := Open(t.Context(), Options{DSN: "postgres://user:hunter2@host:notaport/db"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("error: %v", err)
	}
}

// TestSettingsThatSafetyRestsOn: the daemon's connections do not inherit a
// server's or role's looser defaults.
func TestSettingsThatSafetyRestsOn(t *testing.T) {
	w := newWorld(t)
	for _, set := range []string{"synchronous_commit = off", "default_transaction_isolation = 'serializable'", "plan_cache_mode = auto", "timezone = 'Asia/Kolkata'"} {
		w.exec(`ALTER DATABASE ` + w.admin.Config().Database + ` SET ` + set)
	}
	s := w.open()
	setting := func(s *Store, name string) (v string) {
		t.Helper()
		w.ok(s.pool.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&v))
		return v
	}
	for name, want := range map[string]string{"synchronous_commit": "on", "default_transaction_isolation": "read committed",
		"plan_cache_mode": "force_generic_plan", "timezone": "UTC", "role": "rotatord_app", "enable_seqscan": "off", "jit": "off"} {
		w.same(setting(s, name), want, "%s", name)
	}
	// Stricter than on stays.
	w.exec(`ALTER DATABASE ` + w.admin.Config().Database + ` SET synchronous_commit = remote_apply`)
	w.same(setting(w.open(), "synchronous_commit"), "remote_apply", "synchronous_commit")
}

func TestNowIsTheDatabasesClock(t *testing.T) {
	w := newWorld(t)
	if now := w.Now(); now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		t.Errorf("now is %s: not in whole microseconds of UTC", now.Format(time.RFC3339Nano))
	}
	// A database that is a day ahead of this machine.
	local := time.Now()
	if skew := w.setClock(local.Add(24*time.Hour), local, local); skew != -24*time.Hour {
		t.Errorf("skew is %s, want 24 h behind", skew)
	}
	if ahead := time.Until(w.Now()); ahead < 24*time.Hour-time.Minute || ahead > 24*time.Hour+time.Minute {
		t.Errorf("now is %s ahead of this machine, want a day", ahead)
	}
	skew, err := w.SyncClock(t.Context())
	w.ok(err)
	if skew.Abs() > time.Minute {
		t.Errorf("the same machine's clock is %s off", skew)
	}
	w.setClock(local.Add(24*time.Hour), local, local)
	if _, err := w.Heartbeat(t.Context(), w.epoch); err != nil {
		t.Fatal(err)
	}
	if off := time.Until(w.Now()).Abs(); off > time.Minute {
		t.Errorf("a heartbeat left the clock %s off", off)
	}
}

func TestHeartbeat(t *testing.T) {
	w := newWorld(t)
	w.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour'`)
	_, err := w.Heartbeat(t.Context(), w.epoch)
	w.ok(err)
	dead, err := w.GiveUp(t.Context(), time.Minute)
	w.ok(err)
	w.same(dead, 0, "given up after a heartbeat")
	w.same(ask[string](w, `SELECT id || ' ' || version FROM replicas`), "test v0", "replica")
}

func TestControl(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c, err := w.Control(ctx)
	w.ok(err)
	w.same(c.Paused || len(c.PausedProviders) > 0 || len(c.HoldUntil) > 0, false, "paused or held")
	w.exec(`UPDATE rotation_control SET paused = true, paused_providers = '{dyn}', reason = 'incident'`)
	until := w.Now().Add(time.Hour)
	w.ok(w.Hold(ctx, "another", until, "rate limited\x00"))
	w.ok(w.Hold(ctx, "another", until.Add(-time.Minute), "sooner")) // another replica heard less
	w.ok(w.Hold(ctx, "old", w.Now().Add(-time.Minute), "over"))
	c, err = w.Control(ctx)
	w.ok(err)
	w.same(c.Paused, true, "paused")
	w.same(c.Reason, "incident", "reason")
	w.same(c.PausedProviders, []string{"dyn"}, "paused providers")
	w.same(len(c.HoldUntil), 1, "held providers")
	if !c.HoldUntil["another"].Equal(until) {
		t.Errorf("held until %s, want %s", c.HoldUntil["another"], until)
	}
}

func TestListen(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 10)
	done := make(chan error, 1)
	go func() { done <- w.Listen(ctx, func(channel string) { heard <- channel }) }()
	next := func() string {
		t.Helper()
		select {
		case channel := <-heard:
			return channel
		case <-time.After(20 * time.Second):
			t.Fatal("heard nothing")
			return ""
		}
	}
	w.same(next(), "", "heard first") // what happened before
	w.policy("treasury")
	w.same(next(), PoliciesChanged, "heard after a policy edit")
	w.exec(`INSERT INTO rotation_requests (action) VALUES ('reconcile')`)
	w.same(next(), RequestsArrived, "heard after a request")
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	if err := <-done; err == nil {
		t.Error("the connection broke and nobody said so")
	}
	go func() { done <- w.Listen(ctx, func(channel string) { heard <- channel }) }()
	w.same(next(), "", "heard after listening again")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("listening ended with %v", err)
	}
}

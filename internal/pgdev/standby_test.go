package pgdev

import (
	"context"
	"errors"
	"testing"
	"time"
)

// write commits one row.
func write(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.exec(ctx, "INSERT INTO rows VALUES (1)"); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t *testing.T, s *Server) string {
	t.Helper()
	return text(t, connect(t, s.URL()), "SELECT count(*)::text FROM rows")
}

// inStep waits until the standby has everything.
func inStep(t *testing.T, s *Server, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.AwaitStandby(ctx, name); err != nil {
		t.Fatal(err)
	}
}

func pair(t *testing.T, dir string) (primary, standby *Server) {
	t.Helper()
	primary, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { primary.Stop() })
	if err := primary.exec(t.Context(), "CREATE TABLE rows (i int)"); err != nil {
		t.Fatal(err)
	}
	standby, err = primary.Standby(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { standby.Stop() })
	inStep(t, primary, "b")
	return primary, standby
}

func TestSynchronousStandbyHasWhatWasCommitted(t *testing.T) {
	dir := openDir(t)
	a, b := pair(t, dir)
	if err := a.Synchronous(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		write(t, a)
	}
	if err := a.Restart(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	write(t, a) // the standby is back, or this would not end
	if err := b.exec(t.Context(), "INSERT INTO rows VALUES (1)"); err == nil {
		t.Error("the standby takes writes")
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, b); n != "21" {
		t.Errorf("%s rows have survived, want 21", n)
	}
	write(t, b) // it waits for nobody: the setting has not come along
	c, err := b.Standby(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	inStep(t, b, "c")
	if n := rowsOf(t, c); n != "22" {
		t.Errorf("%s rows are on the standby's standby, want 22", n)
	}
	for _, s := range []*Server{b, c} {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t, dir)
}

// Commits wait for a synchronous standby that is not there.
func TestSynchronousWaits(t *testing.T) {
	a, b := pair(t, openDir(t))
	if err := a.Synchronous(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, a.URL())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := conn.Exec(ctx, "INSERT INTO rows VALUES (1)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit without the standby: %v", err)
	}
	if err := a.Synchronous(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	write(t, a)
}

func TestDetachedStandbyLosesWhatFollows(t *testing.T) {
	a, b := pair(t, openDir(t))
	write(t, a)
	inStep(t, a, "b")
	if err := b.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It lets go in a moment.
	conn := connect(t, a.URL())
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for text(t, conn, "SELECT count(*)::text FROM pg_stat_replication") != "0" {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the standby goes on listening")
		}
	}
	write(t, a)
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, b); n != "1" {
		t.Errorf("%s rows have survived, want 1", n)
	}
}

func TestStandbyRefusals(t *testing.T) {
	a, err := Start(t.Context(), Options{Dir: openDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	theirs, err := Start(t.Context(), Options{URL: a.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Stop()
	if _, err := theirs.Standby(t.Context(), "b"); !errors.Is(err, ErrNotOurs) {
		t.Errorf("a standby of a server that is not ours: %v", err)
	}
	if err := theirs.Promote(t.Context()); !errors.Is(err, ErrNotOurs) {
		t.Errorf("promoting a server that is not ours: %v", err)
	}
	if err := a.Promote(t.Context()); err == nil {
		t.Error("a primary was promoted")
	}
	if err := theirs.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"promoting": a.Promote(t.Context()), "detaching": a.Detach(t.Context()), "making synchronous": a.Synchronous(t.Context(), "b"),
	} {
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%s a stopped server: %v", what, err)
		}
	}
}

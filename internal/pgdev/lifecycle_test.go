package pgdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Run as root this covers root, run as anybody else it covers them.
func TestStartAndStop(t *testing.T) {
	dir := openDir(t)
	var log strings.Builder
	began := time.Now()
	s, err := Start(t.Context(), Options{Dir: dir, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began))
	defer s.Stop()
	if owner := ownerOf(t, s.own.data()); owner == 0 {
		t.Error("PostgreSQL runs as root")
	}
	conn := connect(t, s.URL())
	if got := text(t, conn, "SELECT current_database() || ' ' || pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = current_database()"); got != "postgres UTF8 C" {
		t.Errorf("maintenance database: %s", got)
	}
	for _, want := range []string{fmt.Sprintf("127.0.0.1:%d", s.own.port), s.own.socket(), s.PsqlCommand(s.URL())} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log.String())
		}
	}
	if len(processesOf(t, dir)) < 2 {
		t.Fatal("the test does not see the server's processes, so it cannot see them end")
	}

	for range 2 { // the second time does nothing
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t, dir)
	if _, err := s.CreateDatabase(t.Context(), "late", ""); !errors.Is(err, ErrStopped) {
		t.Errorf("creating a database on a stopped server: %v", err)
	}
	if err := s.Restart(t.Context(), true); !errors.Is(err, ErrStopped) {
		t.Errorf("restarting a stopped server: %v", err)
	}
}

func TestStartsAsOrdinaryUser(t *testing.T) {
	as := ordinary(t)
	c := startChild(t, "stop", as)
	r := c.report(t)
	if r.Answer != superuser {
		t.Errorf("the child's server knows it as %q", r.Answer)
	}
	want := os.Geteuid()
	if as != nil {
		want = int(as.uid)
	}
	if got := ownerOf(t, r.Folder); got != want || got == 0 {
		t.Errorf("the folder belongs to user %d, want %d", got, want)
	}
	c.stdin.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, c.dir)
}

func TestNothingIsLeftHoweverItsProcessEnds(t *testing.T) {
	ends := map[string]func(c *child) error{
		"sigint":  func(c *child) error { return c.cmd.Process.Signal(syscall.SIGINT) },
		"sigterm": func(c *child) error { return c.cmd.Process.Signal(syscall.SIGTERM) },
		"sigkill": func(c *child) error { return c.cmd.Process.Kill() },
		"group":   func(c *child) error { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) },
		"panic":   func(c *child) error { return c.stdin.Close() },
		"exit":    func(c *child) error { return c.stdin.Close() },
	}
	for how, endChild := range ends {
		t.Run(how, func(t *testing.T) {
			accounts := []*account{nil}
			if how == "sigkill" { // when we are root, the others as well
				accounts = append(accounts, ordinary(t))
			}
			for _, as := range accounts {
				c := startChild(t, how, as)
				segment := sharedMemory(t, c.report(t).Folder)
				if err := endChild(c); err != nil {
					t.Fatal(err)
				}
				if err := c.cmd.Wait(); err == nil && how != "exit" {
					t.Fatal("the child ended in order")
				}
				nothingLeft(t, c.dir)
				if sharedMemoryExists(t, segment) {
					t.Error("its shared memory is left")
				}
			}
		})
	}
}

// A process can be killed at any moment of the start as well.
func TestNothingIsLeftOfAKilledStart(t *testing.T) {
	moments := []string{"", "server.log", "data/PG_VERSION", "data/global/pg_control", "data/pg_hba.conf", "data/postmaster.pid", ".s.PGSQL.*"}
	for _, moment := range moments {
		t.Run(strings.ReplaceAll("at "+moment, "/", "_"), func(t *testing.T) {
			c := startChild(t, "stop", nil)
			eventually(t, moment+" is there", func() bool {
				found, err := filepath.Glob(filepath.Join(c.dir, "rotatord-pg-*", moment))
				return err == nil && len(found) > 0
			})
			c.cmd.Process.Kill()
			c.cmd.Wait()
			nothingLeft(t, c.dir)
		})
	}
}

// The guard may be killed instead; then the server is still stopped in order.
func TestStopWithoutItsGuard(t *testing.T) {
	dir := openDir(t)
	s, err := Start(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.own.guard.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Without a guard there is something to complain about, and still no
	// reason to leave anything.
	if err := s.Stop(); err == nil {
		t.Log("the guard had not ended yet when it was told the news")
	}
	nothingLeft(t, dir)
}

func TestTwoAtOnce(t *testing.T) {
	type result struct {
		s   *Server
		err error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			s, err := Start(t.Context(), Options{})
			results <- result{s, err}
		}()
	}
	a, b := <-results, <-results
	for _, r := range []result{a, b} {
		if r.err != nil {
			t.Fatal(r.err)
		}
		defer r.s.Stop()
	}
	if a.s.own.port == b.s.own.port || a.s.own.dir == b.s.own.dir {
		t.Fatalf("two servers share a port or a folder: %s %s", a.s.URL(), b.s.URL())
	}
	if err := a.s.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := text(t, connect(t, b.s.URL()), "SELECT 'alive'"); got != "alive" {
		t.Fatal(got)
	}
}

func TestTakenPortIsNotTheEnd(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	chosen := 0
	s := start(t, Options{port: func() (int, error) {
		if chosen++; chosen == 1 {
			return taken, nil
		}
		return freePort()
	}})
	if chosen != 2 || s.own.port == taken {
		t.Fatalf("chose %d ports and runs on %d, with %d taken", chosen, s.own.port, taken)
	}
}

func TestRestartKeepsWhatWasCommitted(t *testing.T) {
	s := start(t, Options{})
	dsn, err := s.CreateDatabase(t.Context(), "ledger", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, dsn).Exec(t.Context(), "CREATE TABLE entries (n int)"); err != nil {
		t.Fatal(err)
	}
	for i, immediate := range []bool{false, true} {
		conn := connect(t, dsn)
		if _, err := conn.Exec(t.Context(), "INSERT INTO entries VALUES ($1)", i); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(t.Context(), immediate); err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Errorf("a connection outlived the restart (immediate: %v)", immediate)
		}
		if got := text(t, connect(t, dsn), "SELECT string_agg(n::text, ',') FROM entries"); !strings.HasSuffix(got, fmt.Sprint(i)) {
			t.Errorf("after the restart (immediate: %v) there are %s", immediate, got)
		}
		log, err := os.ReadFile(s.own.logFile())
		if err != nil {
			t.Fatal(err)
		}
		if crashed := strings.Contains(string(log), "automatic recovery in progress"); crashed != immediate {
			t.Errorf("immediate: %v, recovered: %v", immediate, crashed)
		}
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	for _, moment := range []string{"data/PG_VERSION", "data/postmaster.pid"} {
		dir := openDir(t)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			s, err := Start(ctx, Options{Dir: dir})
			if err == nil {
				s.Stop()
			}
			failed <- err
		}()
		eventually(t, moment+" is there", func() bool {
			found, err := filepath.Glob(filepath.Join(dir, "rotatord-pg-*", moment))
			return err == nil && len(found) > 0
		})
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled start at %s: %v", moment, err)
		}
		nothingLeft(t, dir)
	}
}

func TestOnlyTheSuperuserNeedsAPassword(t *testing.T) {
	s := start(t, Options{})
	conn := connect(t, s.URL())
	if _, err := conn.Exec(t.Context(), "CREATE ROLE clerk LOGIN"); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres sslmode=disable ", s.own.port)
	if got := text(t, connect(t, address+"user=clerk"), "SELECT current_user"); got != "clerk" {
		t.Error(got)
	}
	stranger, err := pgx.Connect(t.Context(), address+"user="+superuser)
	if err == nil {
		stranger.Close(t.Context())
		t.Error("anybody on the machine can become superuser, and run programs as us")
	}
}

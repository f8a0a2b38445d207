package pgtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// badTest runs TestOfAnotherProcess alone, in a process of its own where it
// ends badly: "fails", "panics" or is "killed". It returns what it said.
func badTest(t *testing.T, how, databaseURL, tmp string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestOfAnotherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "PGTEST_END="+how, "DATABASE_URL="+databaseURL, "TMPDIR="+tmp)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the test passed:\n%s", out)
	}
	return string(out)
}

func TestOfAnotherProcess(t *testing.T) {
	how := os.Getenv("PGTEST_END")
	conn := connect(t, pgtest.New(t))
	fmt.Println("psql:", pgtest.Server(t).PsqlCommand(conn.Config().ConnString()))
	switch how {
	case "":
		return // run with the others it is an ordinary test
	case "fails":
		t.Fatal("as asked")
	case "panics":
		panic("as asked")
	case "killed":
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
}

// shortDir is an empty folder whose path leaves room for a socket's, open to
// the user that PostgreSQL runs as when we are root.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNothingIsLeftOfABadTest(t *testing.T) {
	for _, how := range []string{"fails", "panics", "killed"} {
		t.Run(how, func(t *testing.T) {
			dir := shortDir(t)
			out := badTest(t, how, "", dir)
			if !strings.Contains(out, "psql -h "+dir) {
				t.Fatalf("the server was not in %s:\n%s", dir, out)
			}
			deadline := time.After(30 * time.Second)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				left, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				if len(left) == 0 {
					return
				}
				select {
				case <-tick.C:
				case <-deadline:
					t.Fatalf("%v is left in %s", left, dir)
				}
			}
		})
	}
}

func TestDatabaseURLIsUsedAndLeftClean(t *testing.T) {
	s, err := pgdev.Start(t.Context(), pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	dir := shortDir(t)
	out := badTest(t, "fails", s.URL(), dir)
	if !strings.Contains(out, "psql -h 127.0.0.1") || !strings.Contains(out, "rotatord_dev_") {
		t.Errorf("the test did not use the server of DATABASE_URL:\n%s", out)
	}
	conn := connect(t, s.URL())
	if n := count(t, conn, "SELECT count(*) FROM pg_database WHERE datname LIKE 'rotatord_dev_%'"); n != 0 {
		t.Errorf("%d databases are left", n)
	}
}

// Several test processes may share one DATABASE_URL, and each creates the roles
// of the schema, which belong to the server.
func TestProcessesShareAServer(t *testing.T) {
	s, err := pgdev.Start(t.Context(), pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		out []byte
		err error
	}
	results := make(chan result)
	for range 3 {
		go func() {
			cmd := exec.Command(self, "-test.run=^TestNewIsMigratedAndFresh$")
			cmd.Env = append(os.Environ(), "DATABASE_URL="+s.URL())
			out, err := cmd.CombinedOutput()
			results <- result{out, err}
		}()
	}
	for range 3 {
		if r := <-results; r.err != nil {
			t.Errorf("%v:\n%s", r.err, r.out)
		}
	}
}

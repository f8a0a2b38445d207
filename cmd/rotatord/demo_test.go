package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rotatord/rotatord/internal/demo"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// folder of the demo's own PostgreSQL, as the printed psql command has it.
var folder = regexp.MustCompile(`psql -h (\S*rotatord-pg-\S+) `)

// wantNoServerLeft looks for the demo's PostgreSQL on disk and among the
// processes.
func (p *program) wantNoServerLeft() {
	p.t.Helper()
	found := folder.FindStringSubmatch(p.stdout.String() + p.stderr.String())
	if found == nil {
		p.t.Fatalf("the demo did not say how to reach its database:\n%s", p.stdout.String())
	}
	// After a death in a hurry the guard needs a moment.
	eventually(p.t, "the server's folder is gone", func() bool {
		_, err := os.Stat(found[1])
		return os.IsNotExist(err)
	})
	eventually(p.t, "the server's processes are gone", func() bool { return !processMentions(p.t, found[1]) })
	p.wantNothingLeft()
}

// processMentions says whether a process has the text in its command line.
func processMentions(t *testing.T, text string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Fatalf("no processes are to be seen: %v", err)
	}
	for _, f := range files {
		if line, err := os.ReadFile(f); err == nil && strings.Contains(string(line), text) {
			return true
		}
	}
	return false
}

func TestDemo(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "--for", "5s", "--wallets", "12")
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	out := p.stdout.String()
	for _, want := range []string{"/metrics", "/_sandbox/state", "OLD SHARES DEAD", "treasury", "custody", "under way",
		"ok      every wallet signs under its original public key\n", "ok      no old share signs\n",
		"ok      vendor, co-signer and record agree on every active share set\n",
		"ok      nothing that an attempt opened is left at the vendor\n", "Everything held."} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("it moves the cursor although nobody watches")
	}
	if err := p.stderr.String(); err != "" {
		t.Errorf("standard error is %q, want nothing", err)
	}
	if t.Failed() {
		t.Log(out)
	}
	p.wantNoServerLeft()
}

// TestDemoOnAGivenServer prints nothing but JSON, and drops its database.
func TestDemoOnAGivenServer(t *testing.T) {
	server := pgtest.Server(t)
	databases := func() (n int) {
		if err := connect(t, server.URL()).QueryRow(t.Context(), `SELECT count(*) FROM pg_database WHERE datname LIKE 'rotatord\_dev\_%demo'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := databases()
	var stderr said
	var stdout said
	env := func(key string) (string, bool) { return server.URL(), key == "DATABASE_URL" }
	ended := make(chan int, 1)
	go func() {
		ended <- execute(t.Context(), &cli{stdout: &stdout, stderr: &stderr, lookupEnv: env}, strings.Fields("demo --for 5s --wallets 5 --vaults 3 --listen 127.0.0.1:0 -o json"))
	}()
	eventually(t, "the demo has a database", func() bool { return databases() > before })
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d and %q, want 0", code, stderr.String())
	}
	var s demo.Summary
	if err := json.Unmarshal([]byte(stdout.String()), &s); err != nil {
		t.Fatalf("%v: %q", err, stdout.String())
	}
	wallets, rotations := 0, 0
	for _, p := range s.Policies {
		wallets += p.Wallets
		rotations += p.Rotations
	}
	if !s.OK || s.Interrupted || len(s.Checks) == 0 || wallets != 8 || rotations < 8 {
		t.Errorf("got %+v", s)
	}
	if n := databases(); n != before {
		t.Errorf("there are %d databases of demos, want %d as before", n, before)
	}
}

func TestDemoTakesAnyPortUnlessToldOne(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	l, err := listenDemo(taken.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := listenDemo(taken.Addr().String(), true); err == nil {
		t.Error("a port that was asked for and is taken was replaced silently")
	}
}

// rotated is a status line of a demo that has got somewhere.
var rotated = regexp.MustCompile(`[1-9]\d* rotations`)

// TestInterruptedDemo tells how far it got and leaves nothing behind.
func TestInterruptedDemo(t *testing.T) {
	for name, c := range map[string]struct {
		signals []syscall.Signal
		code    int
		table   bool
	}{
		"SIGTERM":      {[]syscall.Signal{syscall.SIGTERM}, 128 + 15, true},
		"SIGINT":       {[]syscall.Signal{syscall.SIGINT}, 128 + 2, true},
		"SIGINT twice": {[]syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 128 + 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "demo", "--for", "10m", "--wallets", "8", "--listen", "127.0.0.1:0")
			eventually(t, "wallets have rotated", func() bool { return rotated.MatchString(p.stdout.String()) })
			for i, s := range c.signals {
				if i > 0 {
					eventually(t, "the first signal is heeded", func() bool { return strings.Contains(p.stdout.String(), "stopping early") })
				}
				p.Process.Signal(s)
			}
			if code := p.code(); code != c.code {
				t.Errorf("exit code %d, want %d; standard error %q", code, c.code, p.stderr.String())
			}
			if table := strings.Contains(p.stdout.String(), "OLD SHARES DEAD"); table != c.table {
				t.Errorf("table: %v, want %v; it said:\n%s", table, c.table, p.stdout.String())
			}
			if strings.Contains(p.stdout.String(), "\nFAILED") {
				t.Errorf("a check failed:\n%s", p.stdout.String())
			}
			p.wantNoServerLeft()
		})
	}
}

// TestDemoInterruptedWhileItStarts says nothing more and leaves nothing.
func TestDemoInterruptedWhileItStarts(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "--listen", "127.0.0.1:0")
	eventually(t, "the demo begins", func() bool { return strings.Contains(p.stdout.String(), "starting PostgreSQL") })
	p.Process.Signal(os.Interrupt)
	if code := p.code(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if err := p.stderr.String(); err != "" {
		t.Errorf("standard error is %q, want nothing", err)
	}
	p.wantNothingLeft()
}

// TestDemoVerdict: a failed check is a failure, also of a demo that was
// interrupted; the table has told why.
func TestDemoVerdict(t *testing.T) {
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{syscall.SIGTERM})
	for name, c := range map[string]struct {
		ctx     context.Context
		summary *demo.Summary
		err     error
		code    int
	}{
		"all well":               {t.Context(), &demo.Summary{OK: true}, nil, 0},
		"a check failed":         {t.Context(), &demo.Summary{}, nil, 1},
		"stopped, all well":      {stopped, &demo.Summary{OK: true}, nil, 143},
		"stopped, and one fails": {stopped, &demo.Summary{}, nil, 1},
		"stopped at the start":   {stopped, nil, context.Canceled, 143},
		"could not be run":       {t.Context(), nil, errors.New("no PostgreSQL"), 1},
	} {
		err := demoVerdict(c.ctx, c.summary, c.err)
		code := 0
		if coded := new(exit); errors.As(err, &coded) {
			code = coded.code
		} else if err != nil {
			code = codeFailed // as runs has it
		}
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", name, code, c.code)
		}
	}
}

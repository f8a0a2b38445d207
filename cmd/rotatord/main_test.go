package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// asProgram makes a copy of the test binary the program itself.
const asProgram = "ROTATORD_TEST_RUN_MAIN"

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(pgtest.Around(m))
}

// patience is far above what anything here takes.
const patience = time.Minute

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// said takes what a command prints, while it runs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// result of a command line.
type result struct {
	code           int
	stdout, stderr string
}

// rotatord runs a command line inside this process, until it ends or ctx does.
func rotatord(ctx context.Context, env map[string]string, args ...string) result {
	var stdout, stderr said
	code := execute(ctx, &cli{stdout: &stdout, stderr: &stderr, lookupEnv: func(key string) (string, bool) {
		v, ok := env[key]
		return v, ok
	}}, args)
	return result{code, stdout.String(), stderr.String()}
}

// program is the command line as a process of its own.
type program struct {
	*exec.Cmd
	t              *testing.T
	tmp            string // its TMPDIR
	stdout, stderr said
}

// start runs the program with a temporary folder of its own and no
// DATABASE_URL.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...), t: t, tmp: t.TempDir()}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DATABASE_URL=") && !strings.HasPrefix(v, "TMPDIR=") {
			p.Env = append(p.Env, v)
		}
	}
	p.Env = append(p.Env, asProgram+"=1", "TMPDIR="+p.tmp)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Cmd.Wait()
		}
	})
	return p
}

// code waits for the end and returns the exit code; -1 for a death by signal.
func (p *program) code() int {
	p.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Cmd.Wait() // the exit code says how it went
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		p.Process.Kill()
		<-ended
		p.t.Errorf("still there after %s", patience)
	}
	return p.ProcessState.ExitCode()
}

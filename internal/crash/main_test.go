//go:build crash

package crash

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

var (
	every = flag.Bool("every", false, "die at every point of the matrix")
	race  bool // this test looks for data races, so its daemons do too
)

// patience is far above what anything here takes on an idle machine.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	// Nearly all of the time the tests wait for heartbeats to run out.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(around{m})
}

// around removes the daemon's binary after the tests.
type around struct{ m *testing.M }

func (a around) Run() int {
	code := pgtest.Around(a.m).Run()
	if binary.dir != "" {
		if err := os.RemoveAll(binary.dir); err != nil {
			fmt.Fprintln(os.Stderr, "removing the daemon's binary:", err)
			code = max(code, 1)
		}
	}
	return code
}

var binary struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// rotatord is the daemon with failpoints, built once per test process.
func rotatord(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "crash-rotatord-*"); binary.err != nil {
			return
		}
		binary.path = filepath.Join(binary.dir, "rotatord")
		args := []string{"build", "-tags", "failpoint", "-o", binary.path}
		if race {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "github.com/rotatord/rotatord/cmd/rotatord")...)
		var said bytes.Buffer
		build.Stdout, build.Stderr = &said, &said
		if err := build.Run(); err != nil {
			binary.err = fmt.Errorf("building the daemon with failpoints: %w\n%s", err, said.String())
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
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

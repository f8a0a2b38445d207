//go:build crash

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/failpoint"
)

// point is where a daemon dies or stops. The zero point is nowhere.
type point struct {
	name string
	do   string // failpoint.Kill or failpoint.Stop
	hit  int    // which passing; 0 is the first
}

func dieAt(name string) point  { return point{name: name, do: failpoint.Kill} }
func stopAt(name string) point { return point{name: name, do: failpoint.Stop} }

var nowhere point

// daemon is a child process.
type daemon struct {
	t       *testing.T
	world   *world
	command *exec.Cmd
	passed  string // the file with the points that it passed
	stderr  string // the file with its log
	ended   chan struct{}
	err     error // how it ended; read it after ended
}

// start runs a daemon of this world until it is killed, stopped, or the test
// ends.
func (w *world) start(at point) *daemon {
	w.t.Helper()
	w.daemons++
	file := func(kind string) string { return filepath.Join(w.dir, fmt.Sprintf("%d.%s", w.daemons, kind)) }
	d := &daemon{t: w.t, world: w, passed: file("points"), stderr: file("log"), ended: make(chan struct{})}
	log, err := os.Create(d.stderr)
	w.must(err)
	defer log.Close()
	d.command = exec.Command(rotatord(w.t), "serve", "--config", w.config)
	d.command.Stderr = log
	d.command.Env = append(os.Environ(), failpoint.Log+"="+d.passed, "GOTRACEBACK=all")
	if at.name != "" {
		d.command.Env = append(d.command.Env, failpoint.At+"="+at.name, failpoint.Do+"="+at.do,
			fmt.Sprintf("%s=%d", failpoint.Hit, max(at.hit, 1)))
	}
	w.must(d.command.Start())
	go func() {
		d.err = d.command.Wait()
		close(d.ended)
	}()
	w.t.Cleanup(func() {
		d.signal(syscall.SIGKILL)
		<-d.ended
		d.healthy()
	})
	return d
}

// healthy: whatever happens around it, a daemon neither panics nor races.
func (d *daemon) healthy() {
	log, err := os.ReadFile(d.stderr)
	if err != nil {
		d.t.Error(err)
	}
	for _, trouble := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
		if bytes.Contains(log, []byte(trouble)) {
			d.t.Errorf("the daemon's log has %q", trouble)
		}
	}
	if d.t.Failed() {
		d.t.Logf("%s:\n%s\nthe points that it passed:\n%s", filepath.Base(d.stderr), log, strings.Join(d.points(), "\n"))
	}
}

func (d *daemon) signal(s syscall.Signal) {
	if err := d.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Error(err)
	}
}

// dies waits until the daemon has been killed by the point it was given.
func (d *daemon) dies() {
	d.t.Helper()
	d.world.until("the daemon comes to the point where it is to die", func() bool {
		select {
		case <-d.ended:
			return true
		default:
			return false
		}
	})
	var exit *exec.ExitError
	if !errors.As(d.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		d.t.Fatalf("the daemon ended by itself: %v", d.err)
	}
}

// lastPoints is the time for the points that come when everything is settled.
const lastPoints = 5 * time.Second

// diesOrSettles is dies for a daemon that may pass its point by. It says whether
// it died.
func (d *daemon) diesOrSettles() bool {
	d.t.Helper()
	var settled time.Time
	d.world.until("the daemon comes to the point where it is to die, or to the end", func() bool {
		select {
		case <-d.ended:
			return true
		default:
		}
		switch {
		case ask[string](d.world, open) != "":
			settled = time.Time{}
		case settled.IsZero():
			settled = time.Now()
		}
		return !settled.IsZero() && time.Since(settled) > lastPoints
	})
	select {
	case <-d.ended:
		d.dies()
		return true
	default:
		d.quits()
		return false
	}
}

// kill ends the daemon as a crash does.
func (d *daemon) kill() {
	d.t.Helper()
	d.signal(syscall.SIGKILL)
	d.dies()
}

// quits asks the daemon to end, and insists that it does so in order.
func (d *daemon) quits() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("the daemon does not end")
	}
	if d.err != nil {
		d.t.Fatalf("the daemon ended with %v", d.err)
	}
}

// points that the daemon has passed, in their order, each once.
func (d *daemon) points() []string {
	d.t.Helper()
	text, err := os.ReadFile(d.passed)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
	var names []string
	for name := range strings.Lines(string(text)) {
		if name = strings.TrimSuffix(name, "\n"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// reaches waits until the daemon has come to a point.
func (d *daemon) reaches(name string) {
	d.t.Helper()
	d.world.until("the daemon comes to "+name, func() bool {
		select {
		case <-d.ended:
			d.t.Fatalf("the daemon ended before it came to %q: %v", name, d.err)
		default:
		}
		return slices.Contains(d.points(), name)
	})
}

//go:build trouble

package trouble

import (
	"runtime"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/line"
)

// What a daemon may use, by its configuration.
const (
	// perRotation goroutines: its own; reading and writing of the connection it
	// waits on, and the two that dial and watch a dial.
	perRotation = 5
	// kept goroutines of a connection that answers, in use or not: reading and
	// writing here, those of the line, and two of the sandbox, which is of this
	// process.
	kept = 2 + line.Goroutines + 2
	// perConnection to the database: the one that watches for a call's end, and
	// those of the line in between.
	perConnection = 1 + line.Goroutines
	// looks in a second, without anything to do: lookInterval, and once more for
	// what wakes the dispatcher.
	looksPerSecond = 2
	// perLook is the most statements that one look and its transactions take with
	// one policy and one cycle; a look takes about 20.
	perLook = 40
	// perEnd is the most that the end of an attempt takes, and the next one's
	// beginning, when no other ends at the same time: a look for work, and its
	// own steps.
	perEnd = perLook + 20
	// orphanInterval is the scheduler's: how soon a rotation is taken up again
	// whose step could not be recorded.
	orphanInterval = 5 * time.Second
	// perWallet and perHand bytes of heap: a place in the look ahead, with its
	// garbage; a rotation in hand, with the buffers of its connections.
	perWallet, perHand = 4 << 10, 256 << 10
	// spareHeap is for what does not grow with the fleet: pools, the log of the
	// test, which is in memory, and what a collector has not got to yet.
	spareHeap = 24 << 20
)

func goroutines() int { return runtime.NumGoroutine() }

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// usage is what was seen from one moment on.
type usage struct {
	r          *rig
	since      time.Time
	idle       int // goroutines before
	idleHeap   uint64
	statements int64
	connected  int64
	vendor     int64
	cosigner   int64
	requests   int

	goroutines int // the most
	heap       uint64
}

// watch begins to count.
func (r *rig) watch(idle int, idleHeap uint64) *usage {
	return &usage{r: r, since: time.Now(), idle: idle, idleHeap: idleHeap, statements: r.database.Statements(),
		connected: r.database.Accepted(), vendor: r.vendor.Accepted(), cosigner: r.cosigner.Accepted(), requests: r.asked()}
}

// asked is how many requests the sandbox has had.
func (r *rig) asked() int {
	n := 0
	for _, of := range r.box.Stats().Requests {
		n += of
	}
	return n
}

// until polls like eventually, and notes the most that was in use.
func (u *usage) until(what string, done func() bool) {
	u.r.t.Helper()
	polls := 0
	eventually(u.r.t, what, func() bool {
		u.goroutines = max(u.goroutines, goroutines())
		if polls++; polls%100 == 0 {
			u.heap = max(u.heap, heap())
		}
		return done()
	})
	u.heap = max(u.heap, heap())
}

func (u *usage) seconds() float64 { return time.Since(u.since).Seconds() }

// wantSmall: no more goroutines and memory than the rotations in hand need,
// whatever the size of the fleet. more is what each of them may have beside the
// call that hangs.
func (u *usage) wantSmall(more int) {
	u.r.t.Helper()
	c := u.r.cfg
	most := u.idle + c.Scheduler.Workers*(perRotation+more) + c.Database.MaxConnections*perConnection
	if u.goroutines > most {
		u.r.t.Errorf("%d goroutines, %d of them before; %d workers may have %d together", u.goroutines, u.idle, c.Scheduler.Workers, most)
	}
	fleet := len(u.r.box.State())
	heap := u.idleHeap + uint64(c.Scheduler.Workers*perHand+fleet*perWallet+spareHeap)
	if u.heap > heap {
		u.r.t.Errorf("%d MiB of heap, %d of them before; want at most %d", u.heap>>20, u.idleHeap>>20, heap>>20)
	}
	u.r.t.Logf("goroutines %d (before %d, allowed %d), heap %d MiB (before %d, allowed %d)", u.goroutines, u.idle, most, u.heap>>20, u.idleHeap>>20, heap>>20)
}

// wantCalm: no more statements than looks and ends of attempts account for.
func (u *usage) wantCalm(attemptsPerSecond float64) {
	u.r.t.Helper()
	took := u.seconds()
	did := float64(u.r.database.Statements() - u.statements)
	beats := took / u.r.cfg.Scheduler.HeartbeatInterval.Seconds()
	if most := (took+1)*(looksPerSecond*perLook+attemptsPerSecond*perEnd) + 10*beats; did > most {
		u.r.t.Errorf("%.0f statements in %.1f s, want at most %.0f", did, took, most)
	} else {
		u.r.t.Logf("%.0f statements in %.1f s, allowed %.0f", did, took, most)
	}
}

// hanging is how many attempts can end in a second when each waits for a call
// that is never answered.
func hanging(c *config.Config) float64 {
	return float64(c.Scheduler.Workers) / c.Rotation.CallTimeout.Seconds()
}

// wantReady asks as a load balancer does.
func (r *rig) wantReady() {
	r.t.Helper()
	if status, body := r.get("/readyz"); status != 200 {
		r.t.Errorf("/readyz: %d %s", status, body)
	}
	r.wantHealthy()
}

// wantHealthy: nobody restarts a daemon for what a restart does not mend.
func (r *rig) wantHealthy() {
	r.t.Helper()
	if status, body := r.get("/healthz"); status != 200 {
		r.t.Errorf("/healthz: %d %s", status, body)
	}
}

// wantUnready asks until the answer is a refusal that says this.
func (r *rig) wantUnready(says string) {
	r.t.Helper()
	eventually(r.t, "/readyz says why it is not ready", func() bool {
		status, body := r.get("/readyz")
		return status == 503 && strings.Contains(body, says)
	})
	r.wantHealthy()
}

// metric is the sum of a metric's series whose labels have these values.
func (r *rig) metric(name string, values ...string) (sum float64) {
	r.t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if has(m, values) {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func has(m *dto.Metric, values []string) bool {
	for _, want := range values {
		found := false
		for _, l := range m.Label {
			found = found || l.GetValue() == want
		}
		if !found {
			return false
		}
	}
	return true
}

// settled waits until the daemon has nothing to do, and returns what it then
// uses.
func (r *rig) settled() (idle int, idleHeap uint64) {
	r.t.Helper()
	eventually(r.t, "the daemon has signed on", func() bool { return ask[int64](r, `SELECT count(*) FROM replicas`) == 1 })
	return goroutines(), heap()
}

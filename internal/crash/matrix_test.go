//go:build crash

package crash

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestMatrix runs every route to learn its points, then once for each point,
// where the daemon dies by SIGKILL. Another one is started, and must settle
// what the first left behind.
func TestMatrix(t *testing.T) {
	var mu sync.Mutex
	passed := map[string][]string{} // by vendor and route
	t.Run("learn", func(t *testing.T) {
		for _, r := range routes {
			t.Run(r.vendor+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				points := r.learn(t)
				mu.Lock()
				defer mu.Unlock()
				passed[r.vendor+"/"+r.name] = points
			})
		}
	})
	if t.Failed() {
		return
	}
	list(t, passed)
	t.Run("die", func(t *testing.T) {
		seen := map[string]bool{} // points that an earlier route has
		for _, r := range routes {
			points := passed[r.vendor+"/"+r.name]
			for _, name := range points {
				new := !seen[r.vendor+name]
				seen[r.vendor+name] = true
				if !new && !r.again(points, name) || !*every && !r.always(name) {
					continue
				}
				t.Run(r.vendor+"/"+r.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					r.dies(t, name)
				})
			}
		}
	})
}

// again: the daemon that dies is working on what another one left behind, so
// that a point means something else than on a straight route: from when it took
// that over until it begins an attempt of its own. Reads are left out there; to
// die beside one is to die after the change before it.
func (r route) again(points []string, name string) bool {
	at, takeover, own := slices.Index(points, name), slices.Index(points, "before record GiveUp"), slices.Index(points, "after record Opening")
	return strings.HasPrefix(r.name, "taken over") && !strings.Contains(name, " GET ") && at >= takeover && (own < 0 || at < own)
}

// always is the part of the matrix that every run of the tests does: on the
// straight routes, when something has just become durable, and around the calls
// that swap.
func (r route) always(name string) bool {
	return r.name == "straight" &&
		(strings.HasPrefix(name, "after record ") || strings.HasSuffix(name, locationsCall) || strings.HasSuffix(name, upgradeCall))
}

// learn runs a route without a death, twice, and returns the points that were
// passed both times: on a busy machine a call may time out for once, or a
// rotation be taken up again by another loop.
func (r route) learn(t *testing.T) []string {
	first, second := r.passed(t), r.passed(t)
	return slices.DeleteFunc(first, func(name string) bool { return !slices.Contains(second, name) })
}

func (r route) passed(t *testing.T) []string {
	w := r.begin(t)
	d := w.start(nowhere)
	w.settles()
	points := r.points(d)
	w.whole(r.rotations())
	d.quits()
	return points
}

// tries to come to a point that a route has most of the time.
const tries = 5

func (r route) dies(t *testing.T, name string) {
	w := r.begin(t)
	for left := tries - 1; !w.start(parsePoint(name)).diesOrSettles(); left-- {
		if left == 0 {
			t.Fatalf("in %d runs the daemon never came to %s", tries, name)
		}
		w = r.begin(t)
	}
	f := w.fate()
	d := w.start(nowhere)
	w.settles()
	w.whole(r.rotations())
	w.follows(f, r.undone)
	// It is as good as new.
	w.person = nil
	w.mended()
	w.rotate()
	w.settles()
	w.whole(r.rotations() + 1)
	d.quits()
}

// list says how many points there are, and insists on those that are passed more
// than once.
func list(t *testing.T, passed map[string][]string) {
	t.Helper()
	for _, r := range routes {
		key := r.vendor + "/" + r.name
		for name, n := range r.twice {
			if !slices.Contains(passed[key], name) {
				t.Errorf("%s: %s is not passed %d times", key, name, n)
			}
		}
		t.Logf("%s: %d points", key, len(passed[key]))
	}
}

//go:build crash

package crash

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/store"
)

// route is a way through a rotation. The matrix lets a daemon die at every
// point of every route.
type route struct {
	name    string
	vendor  string
	options options
	// arrange brings the world to where the daemon that is to die begins. Nil:
	// a rotation is asked for.
	arrange func(*world)
	// person is what people do meanwhile. It is called again and again.
	person func(*world)
	// undone: the rotation is not to be carried out.
	undone bool
	// before is how many rotations were carried out by arrange.
	before int
	// twice are the points that are passed more than once, each time in another
	// situation, and how often.
	twice map[string]int
}

var routes = slices.Concat(dynamicRoutes, coboRoutes)

// begin makes the world of a route.
func (r route) begin(t *testing.T) *world {
	w := newWorld(t, r.vendor, r.options)
	if r.arrange != nil {
		r.arrange(w)
	} else {
		w.rotate()
	}
	if r.person != nil {
		w.person = func() { r.person(w) }
	}
	return w
}

// rotations that the history of a settled world tells of.
func (r route) rotations() int {
	if r.undone {
		return r.before
	}
	return r.before + 1
}

// byTime are points that every daemon passes again and again, whether there is
// a rotation or not. After them nothing has changed; where something has, there
// is another point.
var byTime = []string{"before record TakeRetirements", "before record ReleaseRetirements"}

// points of a route: those that a daemon passes from its first moment until
// everything is settled. One that is to be passed several times is there so
// often, with a number.
func (r route) points(d *daemon) (all []string) {
	for _, name := range d.points() {
		if slices.Contains(byTime, name) {
			continue
		}
		all = append(all, name)
		for n := 2; n <= r.twice[name]; n++ {
			all = append(all, fmt.Sprintf("%s, %d", name, n))
		}
	}
	return all
}

// parsePoint is the point where a daemon dies.
func parsePoint(text string) point {
	p := dieAt(text)
	if name, number, ok := strings.Cut(text, ", "); ok {
		p.name = name
		if _, err := fmt.Sscan(number, &p.hit); err != nil {
			panic(err)
		}
	}
	return p
}

// fate is where the record says that a rotation was when its daemon died.
type fate struct {
	State   store.State
	Attempt string
}

// fate of the only wallet; the zero fate if nothing was open.
func (w *world) fate() (f fate) {
	w.t.Helper()
	return fate{
		State:   store.State(ask[string](w, `SELECT coalesce((SELECT state FROM rotations), '')`)),
		Attempt: ask[string](w, `SELECT coalesce((SELECT attempt_id::text FROM rotations), '')`),
	}
}

// follows asserts that what the record promised when the daemon died is what
// the history tells in the end: an attempt past the commit point was carried
// out, one before it was given up, or went on where the vendor can do that.
func (w *world) follows(f fate, undone bool) {
	w.t.Helper()
	var want []string
	switch {
	case f.State == store.Promoted || f.State == store.Prepared && w.person == nil:
		want = []string{"activated"}
	case f.State == store.Opening || f.State == store.Ceremony:
		want = []string{"abandoned", "rejected"}
		if w.vendor == atCobo && !undone {
			want = append(want, "activated")
		}
	default:
		return
	}
	got := ask[string](w, `SELECT coalesce(string_agg(outcome, ' '), 'nothing') FROM share_set_history WHERE attempt_id::text = $1`, f.Attempt)
	if !slices.Contains(want, got) {
		w.t.Errorf("the daemon died in %s, and of that attempt the history tells %s, not %s", f.State, got, strings.Join(want, " or "))
	}
}

package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// sweep is the walk over the wallets of one running cycle. It holds a look
// ahead, never the fleet, and nothing that another look could not find again.
type sweep struct {
	tick time.Time
	// What the walk was begun under; it starts over when either changes.
	version int64    // of the policy
	paused  []string // providers

	cursor store.Cursor
	ahead  []store.Cursor // discovered, not claimed yet
	over   bool           // the walk has reached the end
	// again is when the walk starts over, because wallets were passed whose
	// slot in the spread had not come, or whose row was locked; zero: not at
	// all.
	again time.Time

	endLook time.Time // when the window's end was acted on last
}

const (
	// spreadWalks is how often at most a cycle is walked to find wallets whose
	// slot has come.
	spreadWalks = 200
	// rewalk is how long after a complete walk it is repeated, if the cycle has
	// not ended by then: a wallet whose row was locked was passed over.
	rewalk = 5 * time.Second
	// sweepSlice is the longest that one cycle keeps the dispatcher from
	// everything else: edits, pauses, commits and other cycles.
	sweepSlice = 100 * time.Millisecond
)

// readCycles reads which cycles run.
func (d *dispatcher) readCycles(ctx context.Context) error {
	cycles, err := d.Store.RunningCycles(ctx)
	if err != nil {
		return err
	}
	d.cycles = cycles
	running := map[int32]bool{}
	for _, c := range cycles {
		running[c.PolicyID] = true
		if w := d.sweeps[c.PolicyID]; w == nil || !w.tick.Equal(c.Tick) {
			d.sweeps[c.PolicyID] = &sweep{tick: c.Tick}
		}
	}
	for id := range d.sweeps {
		if !running[id] {
			delete(d.sweeps, id)
		}
	}
	return nil
}

// sweepAll claims due wallets of all running cycles while workers are free.
// Each time another cycle comes first, so that a large one does not take every
// worker; replicas begin with different ones, so that they do not all stand in
// line at the same.
func (d *dispatcher) sweepAll(ctx context.Context) error {
	n := len(d.cycles)
	if n == 0 {
		return nil
	}
	d.turn++
	first := int((d.lease.epoch + d.turn) % int64(n))
	return forEach(ctx, slices.Concat(d.cycles[first:], d.cycles[:first]), func(c store.Cycle) error {
		w, p := d.sweeps[c.PolicyID], d.policies.get(c.PolicyID)
		if w == nil || p == nil || !p.runs {
			return nil
		}
		return d.sweepCycle(ctx, p, c, w)
	})
}

func (d *dispatcher) sweepCycle(ctx context.Context, p *policy, c store.Cycle, w *sweep) error {
	if over, err := d.windowOver(ctx, p, c, w); over || err != nil {
		return err
	}
	control := d.policies.control()
	if pausedBy(control, p, "") != "" {
		return d.passOver(ctx, p, c)
	}
	now := d.Store.Now()
	if w.version != p.row.RunningVersion || !slices.Equal(w.paused, control.PausedProviders) ||
		w.over && !w.again.IsZero() && !now.Before(w.again) {
		*w = sweep{tick: w.tick, version: p.row.RunningVersion, paused: control.PausedProviders, endLook: w.endLook}
	}
	for began := time.Now(); d.free() > 0 && !w.over; {
		more, err := d.claim(ctx, p, c, w)
		if err != nil || !more {
			return err
		}
		if time.Since(began) > sweepSlice {
			poke(d.wakeup) // the others first
			return nil
		}
	}
	return nil
}

// claim takes one batch in hand. more is false when the sweep has to wait.
func (d *dispatcher) claim(ctx context.Context, p *policy, c store.Cycle, w *sweep) (more bool, err error) {
	if len(w.ahead) == 0 {
		return d.discover(ctx, p, c, w)
	}
	ids, more, err := d.startable(ctx, p, w)
	if err != nil || len(ids) == 0 {
		return more, err
	}
	end, _ := windowEnd(p, c)
	claimed, err := d.Store.Claim(ctx, store.Claim{Owner: d.lease.epoch, PolicyID: c.PolicyID, Tick: c.Tick, Before: c.Tick,
		Trigger: c.Trigger, Until: end, WalletIDs: ids, MaxConcurrent: p.spec.MaxConcurrent, MaxPerMinute: p.spec.MaxPerMinute,
		MaxPerHour: d.Config.MaxPerHour, FailureBudget: p.spec.FailureBudget, Canary: p.spec.Canary})
	if err != nil {
		return false, err
	}
	if claimed.Stop != "" {
		return false, d.stop(ctx, p, c, claimed.Stop)
	}
	d.submit(claimed.Rotations)
	if claimed.Limited == 0 {
		// Those that the claim refused are claimed already, or locked.
		w.drop(func(id int64) bool { return slices.Contains(ids, id) })
		return true, nil
	}
	why := SkipLimit
	if claimed.CanaryWaits {
		why = SkipCanary
	}
	d.count(p, why, claimed.Limited)
	w.drop(func(id int64) bool {
		return slices.ContainsFunc(claimed.Rotations, func(r *store.Rotation) bool { return r.Wallet.ID == id })
	})
	return false, nil
}

func (w *sweep) drop(gone func(walletID int64) bool) {
	w.ahead = slices.DeleteFunc(w.ahead, func(x store.Cursor) bool { return gone(x.WalletID) })
}

// discover reads the next wallets of the walk, without those whose slot in the
// spread has not come, and remembers when to walk again for these.
func (d *dispatcher) discover(ctx context.Context, p *policy, c store.Cycle, w *sweep) (more bool, err error) {
	page, err := d.Store.Discover(ctx, c.PolicyID, c.Tick, w.cursor, d.Config.LookAhead)
	if err != nil {
		return false, err
	}
	if len(page) == 0 {
		w.over = true
		return false, nil
	}
	w.cursor = page[len(page)-1]
	w.ahead = page
	if c.Trigger == store.Manual {
		return true, nil
	}
	now := d.Store.Now()
	moment := Moment{Now: now, Tick: c.Tick, CatchUp: c.Trigger == store.CatchUp}
	w.ahead = slices.DeleteFunc(page, func(x store.Cursor) bool {
		due := Due(Wallet{ID: x.WalletID, CycleAt: x.CycleAt}, &p.spec, moment)
		if !due.Due || due.Trigger == store.Emergency {
			return true // emergencies are claimed as such, see there
		}
		if !due.NotBefore.After(now) {
			return false
		}
		at := latest(due.NotBefore, now.Add(max(p.spec.Spread/spreadWalks, sweepSlice)))
		if w.again.IsZero() || at.Before(w.again) {
			w.again = at
		}
		return true
	})
	return true, nil
}

// completeAll ends the cycles that were walked to their end, when nothing is
// left of them.
func (d *dispatcher) completeAll(ctx context.Context) error {
	return forEach(ctx, d.cycles, func(c store.Cycle) error {
		w := d.sweeps[c.PolicyID]
		if w == nil || !w.over {
			return nil
		}
		done, err := d.complete(ctx, c)
		if err == nil && !done && w.again.IsZero() {
			w.again = d.Store.Now().Add(rewalk)
		}
		return err
	})
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

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
	tick   time.Time
	cursor store.Cursor
	ahead  []store.Cursor // discovered, not claimed yet
	over   bool           // the walk has reached the end
	ended  bool           // the cycle was ended by this replica
	// again is when the walk starts over, because wallets were passed whose
	// slot in the spread had not come; zero: not at all.
	again time.Time
	// looked bounds how often the same obstacle is counted as a skip.
	looked time.Time
}

const (
	// spreadWalks is how often at most a cycle is walked to find wallets whose
	// slot has come.
	spreadWalks = 200
	// rewalk is how long after a complete walk it is repeated, if the cycle has
	// not ended by then: a wallet whose row was locked was passed over.
	rewalk = 5 * time.Second
)

// readCycles reads which cycles run. Each replica begins with another one, so
// that they do not all stand in line at the first.
func (d *dispatcher) readCycles(ctx context.Context) error {
	cycles, err := d.Store.RunningCycles(ctx)
	if err != nil {
		return err
	}
	if n := len(cycles); n > 0 {
		at := int(d.lease.epoch) % n
		cycles = slices.Concat(cycles[at:], cycles[:at])
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
func (d *dispatcher) sweepAll(ctx context.Context) error {
	for _, c := range d.cycles {
		w, p := d.sweeps[c.PolicyID], d.policies.get(c.PolicyID)
		if w == nil || p == nil || !p.runs {
			continue
		}
		if err := d.sweepCycle(ctx, p, c, w); err != nil {
			return err
		}
	}
	return nil
}

func (d *dispatcher) sweepCycle(ctx context.Context, p *policy, c store.Cycle, w *sweep) error {
	now := d.Store.Now()
	if w.ended {
		return nil
	}
	if !c.Ends.IsZero() && !now.Before(c.Ends) {
		w.ended = true
		return d.windowOver(ctx, p, c)
	}
	if pausedBy(d.policies.control(), p, "") != "" {
		return d.passOver(ctx, p, c, w)
	}
	if w.over && !w.again.IsZero() && !now.Before(w.again) {
		*w = sweep{tick: w.tick, looked: w.looked}
	}
	for d.free() > 0 && !w.over && !w.ended {
		more, err := d.claim(ctx, p, c, w)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// claim takes one batch in hand. more is false when the sweep has to wait.
func (d *dispatcher) claim(ctx context.Context, p *policy, c store.Cycle, w *sweep) (more bool, err error) {
	if len(w.ahead) == 0 {
		if w.ahead, err = d.Store.Discover(ctx, c.PolicyID, c.Tick, w.cursor, d.Config.LookAhead); err != nil {
			return false, err
		}
		if len(w.ahead) == 0 {
			w.over = true
			return false, nil
		}
		w.cursor = w.ahead[len(w.ahead)-1]
	}
	d.holdBack(p, c, w)
	n := min(len(w.ahead), d.free(), claimBatch)
	if n == 0 {
		return true, nil
	}
	batch := w.ahead[:n]
	ids := make([]int64, n)
	for i, x := range batch {
		ids[i] = x.WalletID
	}
	slices.Sort(ids) // every replica locks in the same order
	claimed, err := d.Store.Claim(ctx, store.Claim{Owner: d.lease.epoch, PolicyID: c.PolicyID, Tick: c.Tick, Before: c.Tick,
		Trigger: c.Trigger, WalletIDs: ids, MaxConcurrent: p.spec.MaxConcurrent, MaxPerMinute: p.spec.MaxPerMinute,
		FailureBudget: p.spec.FailureBudget, Canary: p.spec.Canary})
	if err != nil {
		return false, err
	}
	if claimed.Stop != "" {
		w.ended = true
		d.count(p, w, SkipBudget, len(w.ahead))
		if done, err := d.Store.Stop(ctx, c.PolicyID, c.Tick, store.Stopped, claimed.Stop); err != nil || !done {
			return false, err
		}
		d.Log.Error("cycle stopped", "policy", p.row.Name, "tick", c.Tick, "reason", claimed.Stop)
		return false, nil
	}
	d.submit(claimed.Rotations)
	if claimed.Limited == 0 {
		w.ahead = w.ahead[n:]
		return true, nil
	}
	why := SkipLimit
	if claimed.CanaryWaits {
		why = SkipCanary
	}
	d.count(p, w, why, claimed.Limited)
	// Those kept back come again; so do those taken, whom the claim refuses.
	w.ahead = slices.DeleteFunc(w.ahead, func(x store.Cursor) bool {
		return slices.ContainsFunc(claimed.Rotations, func(r *store.Rotation) bool { return r.Wallet.ID == x.WalletID })
	})
	return false, nil
}

// holdBack takes wallets out of the look ahead whose slot in the spread has
// not come, and remembers when to walk again.
func (d *dispatcher) holdBack(p *policy, c store.Cycle, w *sweep) {
	if p.spec.Spread == 0 || c.Trigger == store.Manual {
		return
	}
	now := d.Store.Now()
	w.ahead = slices.DeleteFunc(w.ahead, func(x store.Cursor) bool {
		at := c.Tick.Add(p.spec.Slot(x.WalletID))
		if !at.After(now) {
			return false
		}
		at = latest(at, now.Add(max(p.spec.Spread/spreadWalks, 100*time.Millisecond)))
		if w.again.IsZero() || at.Before(w.again) {
			w.again = at
		}
		return true
	})
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// completeAll ends the cycles that were walked to their end, when nothing is
// left of them.
func (d *dispatcher) completeAll(ctx context.Context) error {
	for _, c := range d.cycles {
		w := d.sweeps[c.PolicyID]
		if w == nil || !w.over || w.ended {
			continue
		}
		done, err := d.Store.Complete(ctx, c.PolicyID, c.Tick)
		if err != nil {
			return err
		}
		if done {
			w.ended = true
			d.Log.Info("cycle completed", "policy_id", c.PolicyID, "tick", c.Tick)
		} else if w.again.IsZero() {
			w.again = d.Store.Now().Add(rewalk)
		}
	}
	return nil
}

// windowOver ends a cycle whose time to start rotations is over. What is under
// way goes on; what has not started waits for the next tick.
func (d *dispatcher) windowOver(ctx context.Context, p *policy, c store.Cycle) error {
	left, err := d.Store.Unclaimed(ctx, c.PolicyID, c.Tick)
	if err != nil {
		return err
	}
	if left == 0 {
		_, err := d.Store.Complete(ctx, c.PolicyID, c.Tick)
		return err
	}
	done, err := d.Store.Stop(ctx, c.PolicyID, c.Tick, store.Stopped, "the run window is over")
	if err != nil || !done {
		return err
	}
	d.Metrics.skip(p.row.Name, SkipWindow, int(left))
	d.Log.Warn("run window over", "policy", p.row.Name, "tick", c.Tick, "wallets_left", left)
	return nil
}

// passOver counts the wallets of a cycle that a pause keeps from starting.
func (d *dispatcher) passOver(ctx context.Context, p *policy, c store.Cycle, w *sweep) error {
	if !w.looked.IsZero() {
		return nil // counted once for this cycle
	}
	left, err := d.Store.Unclaimed(ctx, c.PolicyID, c.Tick)
	if err != nil {
		return err
	}
	d.count(p, w, SkipPaused, int(left))
	return nil
}

// count counts wallets that were passed over, at most once per look interval.
func (d *dispatcher) count(p *policy, w *sweep, why Skip, n int) {
	if now := time.Now(); now.Sub(w.looked) >= lookInterval {
		w.looked = now
		d.Metrics.skip(p.row.Name, why, n)
	}
}

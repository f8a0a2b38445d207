package scheduler

import (
	"context"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// windowEnd is when the last rotation of a cycle may start, as the policy says
// now: an edit moves it. ok is false when it is open until the next tick.
func windowEnd(p *policy, c store.Cycle) (end time.Time, ok bool) {
	if c.Trigger == store.Manual {
		return time.Time{}, false
	}
	return p.spec.WindowEnd(c.Tick)
}

// windowOver ends a cycle whose time to start rotations is over. What is under
// way goes on; what has not started waits for the next tick.
func (d *dispatcher) windowOver(ctx context.Context, p *policy, c store.Cycle, w *sweep) (over bool, err error) {
	end, bounded := windowEnd(p, c)
	if !bounded {
		end = time.Time{}
	}
	if !end.Equal(c.Ends) {
		if err := d.Store.MoveWindow(ctx, c.PolicyID, c.Tick, end); err != nil {
			return false, err
		}
	}
	if !bounded || d.Store.Now().Before(end) {
		return false, nil
	}
	if time.Since(w.endLook) < lookInterval {
		return true, nil
	}
	w.endLook = time.Now()
	left, err := d.Store.Unclaimed(ctx, c.PolicyID, c.Tick)
	if err != nil {
		return true, err
	}
	if left == 0 {
		_, err := d.complete(ctx, c)
		return true, err
	}
	done, err := d.Store.Stop(ctx, c.PolicyID, c.Tick, store.Stopped, "the run window is over")
	if err != nil {
		return true, err
	}
	d.forget(c)
	if done {
		d.Metrics.skip(p.row.Name, SkipWindow, int(left))
		d.Log.Warn("run window over", "policy", p.row.Name, "tick", c.Tick, "wallets_left", left)
	}
	return true, nil
}

// passOver counts the wallets of a cycle that a pause keeps from starting.
func (d *dispatcher) passOver(ctx context.Context, p *policy, c store.Cycle) error {
	if !d.uncounted(p, SkipPaused) {
		return nil
	}
	left, err := d.Store.Unclaimed(ctx, c.PolicyID, c.Tick)
	if err != nil {
		return err
	}
	d.count(p, SkipPaused, int(left))
	return nil
}

// stop ends a cycle because too many of its wallets failed.
func (d *dispatcher) stop(ctx context.Context, p *policy, c store.Cycle, why string) error {
	left, err := d.Store.Unclaimed(ctx, c.PolicyID, c.Tick)
	if err != nil {
		return err
	}
	done, err := d.Store.Stop(ctx, c.PolicyID, c.Tick, store.Stopped, why)
	if err != nil {
		return err
	}
	d.forget(c)
	if done {
		d.Metrics.skip(p.row.Name, SkipBudget, int(left))
		d.Log.Error("cycle stopped", "policy", p.row.Name, "tick", c.Tick, "reason", why, "wallets_left", left)
	}
	return nil
}

// complete ends a cycle if nothing of it is left.
func (d *dispatcher) complete(ctx context.Context, c store.Cycle) (done bool, err error) {
	if done, err = d.Store.Complete(ctx, c.PolicyID, c.Tick); err != nil || !done {
		return false, err
	}
	d.forget(c)
	d.Log.Info("cycle completed", "policy_id", c.PolicyID, "tick", c.Tick)
	return true, nil
}

// forget lets go of a cycle that has ended, until the cycles are read again.
func (d *dispatcher) forget(c store.Cycle) { delete(d.sweeps, c.PolicyID) }

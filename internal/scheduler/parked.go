package scheduler

import (
	"context"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

const (
	// orphanInterval is how often the dispatcher looks for rotations that are on
	// record as its own and that nobody works on, because a step could not be
	// recorded.
	orphanInterval = 5 * time.Second
	// claimBatch bounds one claim.
	claimBatch = 500
	// pausedLook is how soon a rotation that may not begin is looked at again.
	pausedLook = 5 * time.Second
	// lateLook is the same for one whose run window is over: the next tick may
	// come a moment after it was asked.
	lateLook = time.Minute
)

// resume takes parked rotations that are past waiting, whose time has come.
// They go on even when all workers are busy: a commit that waited for a free
// worker would wait for new work.
func (d *dispatcher) resume(ctx context.Context) error {
	underWay, err := d.Store.TakeUnderWay(ctx, d.lease.epoch, claimBatch)
	if err != nil {
		return err
	}
	d.submit(underWay)
	d.waiting, err = d.Store.WaitingPolicies(ctx)
	return err
}

// takeWaiting takes parked rotations that wait for their first or next attempt.
// They come before new claims: what was begun, or asked for by a person, would
// else wait until a large cycle is through.
func (d *dispatcher) takeWaiting(ctx context.Context) error {
	return forEach(ctx, d.waiting, func(id int32) error {
		n := min(d.free(), claimBatch)
		if n == 0 {
			return nil
		}
		var maxConcurrent int32
		if p := d.policies.get(id); p != nil {
			maxConcurrent = p.spec.MaxConcurrent
		}
		taken, err := d.Store.TakeWaiting(ctx, d.lease.epoch, id, maxConcurrent, n)
		d.submit(taken)
		return err
	})
}

// adopt picks up rotations that are this replica's on record and that nobody
// here works on. It runs on the goroutine that claims, so a fresh claim cannot
// be mistaken for an orphan.
func (d *dispatcher) adopt(ctx context.Context) error {
	if time.Now().Before(d.orphansAt) {
		return nil
	}
	ids, err := d.Store.Owned(ctx, d.lease.epoch)
	if err != nil {
		return err
	}
	d.orphansAt = time.Now().Add(orphanInterval)
	var orphans []int64
	for _, id := range ids {
		if !d.engine.Has(id) {
			orphans = append(orphans, id)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	rotations, err := d.Store.Load(ctx, d.lease.epoch, orphans)
	if err != nil {
		return err
	}
	d.submit(rotations)
	return nil
}

// held says until when no attempt may be begun for a rotation, by what was read
// last. It is called by the engine's goroutines. Where a circuit is open the
// database has the last word, when this has let an attempt pass.
func (d *dispatcher) held(r *store.Rotation) time.Time {
	now := d.Store.Now()
	control := d.policies.control()
	p := d.policies.get(r.PolicyID)
	if pausedBy(control, p, r.Wallet.Provider) != "" {
		return now.Add(pausedLook)
	}
	if until := control.HoldUntil[r.Wallet.Provider]; until.After(now) {
		return until
	}
	if c, open := control.Circuits[r.Wallet.Provider]; open && c.OpenUntil.After(now) {
		return c.OpenUntil
	}
	if p == nil || !p.runs {
		return time.Time{}
	}
	return p.spec.heldUntil(r, now)
}

// interval is the shortest time between two ticks of a rotation's policy.
func (d *dispatcher) interval(r *store.Rotation) time.Duration {
	if p := d.policies.get(r.PolicyID); p != nil && p.runs && !p.spec.ByHand() {
		return p.spec.Schedule.Interval()
	}
	return 0
}

// heldUntil keeps a scheduled rotation that has not begun to its slot and its
// window, as when it was claimed: it may have waited through a pause since, or
// have been carried over to another tick. One that has begun goes on.
func (s *Spec) heldUntil(r *store.Rotation, now time.Time) time.Time {
	if r.Attempt > 0 || (r.Trigger != store.Schedule && r.Trigger != store.CatchUp) {
		return time.Time{}
	}
	due := Due(Wallet{ID: r.Wallet.ID, CycleAt: r.Head.CycleAt}, s, Moment{Now: now, Tick: r.Tick})
	switch {
	case due.Due && due.NotBefore.After(now):
		return due.NotBefore
	case due.Reason == ReasonWindow:
		return now.Add(lateLook)
	}
	return time.Time{}
}

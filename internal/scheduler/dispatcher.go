package scheduler

import (
	"context"
	"time"

	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/store"
)

const (
	// lookInterval is how often the dispatcher looks for parked rotations,
	// requests and ends of cycles when nothing wakes it.
	lookInterval = time.Second
	// orphanInterval is how often it looks for rotations that are on record as
	// its own and that nobody works on, because a step could not be recorded.
	orphanInterval = 5 * time.Second
	// claimBatch bounds one claim.
	claimBatch = 500
)

// dispatcher takes work in hand under one lease. All its state belongs to the
// goroutine of run, but for the snapshot that engines read.
type dispatcher struct {
	*Scheduler
	lease  *lease
	engine *rotation.Engine
	clock  *wakeClock

	policies policies // shared with the engine
	cycles   []store.Cycle
	sweeps   map[int32]*sweep
	rescue   map[int32]store.Cursor // walks through the emergency band
	// When the rarer looks are due.
	reloadAt, orphansAt, rescueAt time.Time
}

func newDispatcher(s *Scheduler, l *lease, working context.Context) *dispatcher {
	d := &dispatcher{Scheduler: s, lease: l, sweeps: map[int32]*sweep{}, rescue: map[int32]store.Cursor{}, clock: newWakeClock(s.Store.Now, func() { poke(s.wakeup) })}
	o := s.Rotation
	o.Store, o.Lease, o.Held = s.Store, l, d.held
	d.engine = rotation.New(working, o)
	return d
}

// run looks until ctx ends. A look that fails is logged and repeated at the
// next occasion: nothing it does depends on an earlier look.
func (d *dispatcher) run(ctx context.Context) {
	d.clock.start()
	defer d.clock.stop()
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	d.look(ctx, d.everything())
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wakeup:
			d.look(ctx, d.everything())
		case <-ticker.C:
			d.look(ctx, d.everything())
		case <-d.engine.Idle():
			// Workers become free a thousand times a second; only what they wait
			// for is looked at, until there is nothing left for them.
			if d.engine.InHand() == 0 {
				d.look(ctx, d.everything())
			} else {
				d.look(ctx, []task{{"sweeping cycles", d.sweepAll}})
			}
		}
	}
}

// task is a part of a look.
type task struct {
	what string
	do   func(context.Context) error
}

func (d *dispatcher) everything() []task {
	return []task{
		{"reading policies", d.reload},
		{"firing ticks", d.fire},
		{"answering requests", d.answer},
		{"taking parked rotations", d.resume},
		{"reading cycles", d.readCycles},
		{"sweeping cycles", d.sweepAll},
		{"ending cycles", d.completeAll},
		{"looking at the emergency band", d.emergencies},
	}
}

func (d *dispatcher) look(ctx context.Context, tasks []task) {
	for _, step := range tasks {
		if err := step.do(ctx); err != nil {
			if ctx.Err() == nil {
				d.Log.Error("a look at the policies failed", "step", step.what, "error", err)
			}
			return
		}
	}
	d.Metrics.lastTick.Set(float64(time.Now().Unix()))
}

// free is how many more rotations this replica may take in hand.
func (d *dispatcher) free() int { return max(0, d.Config.Workers-d.engine.InHand()) }

// resume takes parked rotations whose time has come, those under way first.
func (d *dispatcher) resume(ctx context.Context) error {
	if time.Now().After(d.orphansAt) {
		d.orphansAt = time.Now().Add(orphanInterval)
		if err := d.adopt(ctx); err != nil {
			return err
		}
	}
	// What is past waiting goes on even when all workers are busy: a commit
	// that waits for a free worker would wait for new work.
	underWay, err := d.Store.TakeUnderWay(ctx, d.lease.epoch, claimBatch)
	if err != nil {
		return err
	}
	d.submit(underWay)
	if d.free() == 0 {
		return nil
	}
	waiting, err := d.Store.WaitingPolicies(ctx)
	if err != nil {
		return err
	}
	for _, id := range waiting {
		n := min(d.free(), claimBatch)
		if n == 0 {
			break
		}
		var maxConcurrent int32
		if p := d.policies.get(id); p != nil {
			maxConcurrent = p.spec.MaxConcurrent
		}
		taken, err := d.Store.TakeWaiting(ctx, d.lease.epoch, id, maxConcurrent, n)
		if err != nil {
			return err
		}
		d.submit(taken)
	}
	return nil
}

// adopt picks up rotations that are this replica's on record and that nobody
// here works on. It runs on the goroutine that claims, so a fresh claim cannot
// be mistaken for an orphan.
func (d *dispatcher) adopt(ctx context.Context) error {
	ids, err := d.Store.Owned(ctx, d.lease.epoch)
	if err != nil {
		return err
	}
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

func (d *dispatcher) submit(rotations []*store.Rotation) {
	for _, r := range rotations {
		d.engine.Submit(r)
	}
}

// pausedLook is how soon a rotation that may not begin is looked at again.
const pausedLook = 5 * time.Second

// held says until when no attempt may be begun for a rotation. It is called by
// the engine's goroutines.
func (d *dispatcher) held(r *store.Rotation) time.Time {
	control := d.policies.control()
	p := d.policies.get(r.PolicyID)
	if pausedBy(control, p, r.Wallet.Provider) != "" {
		return d.Store.Now().Add(pausedLook)
	}
	if until := control.HoldUntil[r.Wallet.Provider]; until.After(d.Store.Now()) {
		return until
	}
	return time.Time{}
}

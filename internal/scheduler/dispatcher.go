package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/store"
)

// lookInterval is how often the dispatcher looks for ticks, parked rotations,
// requests and ends of cycles when nothing wakes it.
const lookInterval = time.Second

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
	turn     int64                  // which cycle is swept first
	waiting  []int32                // policies (0: none) with rotations that may be taken
	rescue   map[int32]store.Cursor // walks through the emergency band
	counted  map[obstacle]time.Time // when skips were counted last
	probed   map[string]bool        // providers that were given a wallet to probe since circuits were read
	// When the rarer looks are due.
	reloadAt, orphansAt, rescueAt time.Time
}

func newDispatcher(s *Scheduler, l *lease, working context.Context) *dispatcher {
	d := &dispatcher{Scheduler: s, lease: l, sweeps: map[int32]*sweep{}, rescue: map[int32]store.Cursor{},
		counted: map[obstacle]time.Time{}, probed: map[string]bool{}, clock: newWakeClock(s.Store.Now, func() { poke(s.wakeup) })}
	o := s.Rotation
	o.Store, o.Lease, o.Held, o.Interval, o.MaxPerHour = s.Store, l, d.held, d.interval, s.Config.MaxPerHour
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
				d.look(ctx, d.work())
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
	return append([]task{
		{"reading policies", d.reload},
		{"firing ticks", d.fire},
		{"answering requests", d.answer},
		{"adopting orphans", d.adopt},
		{"taking rotations under way", d.resume},
		{"reading cycles", d.readCycles},
	}, append(d.work(), task{"ending cycles", d.completeAll})...)
}

// work is what workers become free for, the most urgent first.
func (d *dispatcher) work() []task {
	return []task{
		{"taking waiting rotations", d.takeWaiting},
		{"looking at the emergency band", d.emergencies},
		{"sweeping cycles", d.sweepAll},
	}
}

// look does each task. One that fails does not keep the others from being
// done, unless it is the database that is out of reach. A task that takes
// longer than a lease lives is stuck, on a connection that leads nowhere or
// behind somebody's lock.
func (d *dispatcher) look(ctx context.Context, tasks []task) {
	complete := true
	for _, t := range tasks {
		doing, cancel := context.WithTimeout(ctx, d.Config.HeartbeatTimeout)
		err := t.do(doing)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		complete = false
		d.Log.Error("a look at the policies failed", "step", t.what, "error", err)
		if store.IsRetryable(err) {
			return
		}
	}
	if complete {
		d.Metrics.lastTick.Set(float64(time.Now().Unix()))
	}
}

// forEach does f for each item. A failure with one does not keep the others
// from their turn, unless it is the database that is out of reach.
func forEach[T any](ctx context.Context, items []T, f func(T) error) error {
	var errs []error
	for _, x := range items {
		if err := f(x); err != nil {
			if errs = append(errs, err); ctx.Err() != nil || store.IsRetryable(err) {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// free is how many more rotations this replica may take in hand.
func (d *dispatcher) free() int { return max(0, d.Config.Workers-d.engine.InHand()) }

func (d *dispatcher) submit(rotations []*store.Rotation) {
	for _, r := range rotations {
		d.engine.Submit(r)
	}
}

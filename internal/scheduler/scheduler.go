package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/store"
)

// Config of a scheduler; all values must be positive, but for MaxPerHour.
type Config struct {
	// MinInterval is the smallest interval that a schedule may have.
	MinInterval time.Duration
	// PollInterval is how long an edit that no notification announced may go
	// unnoticed.
	PollInterval time.Duration
	// HeartbeatInterval and HeartbeatTimeout keep the lease. CallTimeout is the
	// longest that one call to a vendor lasts: a dead replica's work is taken
	// over after both.
	HeartbeatInterval, HeartbeatTimeout, CallTimeout time.Duration
	// LookAhead is how many due wallets of a policy are known at a time.
	LookAhead int
	// Workers is how many rotations this replica works on at a time.
	Workers int
	// MaxPerHour is how many rotations may begin in an hour, of everything, on
	// all replicas together; zero: no limit.
	MaxPerHour int32
	// ShutdownGrace is how long running rotations may take to end.
	ShutdownGrace time.Duration
}

// Options of New.
type Options struct {
	Store *store.Store
	// ReplicaID and Version are for people, in the table replicas.
	ReplicaID, Version string
	Config             Config
	// Rotation is what each engine is made of; Store, Lease and Held are filled
	// in here.
	Rotation rotation.Options
	// Reconcile is when and how fast all wallets are compared.
	Reconcile Reconcile
	Metrics   *Metrics
	Log       *slog.Logger
}

// Scheduler runs the policies of a database.
type Scheduler struct {
	Options
	wakeup chan struct{} // capacity 1
	edited chan struct{} // capacity 1: policies or control may have changed
}

// New makes a scheduler; Run starts it.
func New(o Options) *Scheduler {
	return &Scheduler{Options: o, wakeup: make(chan struct{}, 1), edited: make(chan struct{}, 1)}
}

// registerRetry is the pause before this replica tries again to sign on.
const registerRetry = time.Second

// Run works until ctx ends, and returns when everything has wound down. A
// database that is down, or a lease that was lost, is waited out.
func (s *Scheduler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		l, err := register(ctx, s.Store, s.ReplicaID, s.Version, s.Config.HeartbeatTimeout)
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Error("signing on failed", "error", err)
			}
			s.sleep(ctx, registerRetry)
			continue
		}
		s.Log.Info("signed on", "epoch", l.epoch, "replica", s.ReplicaID)
		if lost := s.serve(ctx, l); lost != nil {
			s.Store.Reconnect()
		}
	}
	return nil
}

// serve works under one lease until ctx ends, or it is lost and why is
// returned.
func (s *Scheduler) serve(ctx context.Context, l *lease) (lost error) {
	// Work outlives ctx by the shutdown grace, and never the lease.
	working, lose := context.WithCancelCause(context.WithoutCancel(ctx))
	defer lose(nil)
	d := newDispatcher(s, l, working)

	var heart, loops sync.WaitGroup
	keeping, stopKeeping := context.WithCancel(working)
	heart.Go(func() {
		if err := l.keep(keeping, s.Store, s.Config.HeartbeatInterval, func(skew time.Duration) {
			s.Metrics.skew.Set(skew.Seconds())
		}, s.Log); err != nil {
			s.Log.Error("lease lost: all work in hand is dropped and goes on under a new epoch", "epoch", l.epoch, "error", err)
			lose(err)
		}
	})
	accepting, stopAccepting := context.WithCancel(ctx)
	defer stopAccepting()
	stopWatching := context.AfterFunc(working, stopAccepting)
	defer stopWatching()
	loops.Go(func() { s.listen(accepting) })
	loops.Go(func() { s.bury(accepting, l) })
	loops.Go(func() { s.retire(accepting, l, d.engine) })
	loops.Go(func() { s.walks(accepting, d) })
	loops.Go(func() { d.run(accepting) })
	loops.Wait()

	grace, cancel := context.WithTimeout(working, s.Config.ShutdownGrace)
	d.engine.Stop(grace)
	cancel()
	stopKeeping()
	heart.Wait()
	s.leave(l)
	return context.Cause(working)
}

// leave parks what is still in hand for the others. Without it they would find
// out by themselves, later.
func (s *Scheduler) leave(l *lease) {
	ctx, cancel := context.WithTimeout(context.Background(), s.Config.CallTimeout)
	defer cancel()
	if err := s.Store.Leave(ctx, l.epoch); err != nil {
		s.Log.Warn("signing off failed", "epoch", l.epoch, "error", err)
	}
}

// listen wakes the dispatcher when somebody edited a spec table or asked for
// something. What it misses, the poll finds.
func (s *Scheduler) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.Store.Listen(ctx, func(channel string) {
			if channel != store.RequestsArrived {
				poke(s.edited)
			}
			poke(s.wakeup)
		})
		if ctx.Err() == nil {
			s.Log.Warn("listening for edits failed; the poll goes on", "error", err)
			s.sleep(ctx, registerRetry)
		}
	}
}

// bury gives up replicas that have stopped sending heartbeats. It waits for
// their timeout and for the longest call that they may have begun before it.
func (s *Scheduler) bury(ctx context.Context, l *lease) {
	for s.sleep(ctx, s.Config.HeartbeatInterval) {
		burying, cancel := context.WithTimeout(ctx, s.Config.HeartbeatTimeout)
		dead, err := s.Store.GiveUp(burying, s.Config.HeartbeatTimeout+s.Config.CallTimeout)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Warn("looking for dead replicas failed", "error", err)
			}
			continue
		}
		if dead > 0 {
			s.Metrics.takeovers.Add(float64(dead))
			s.Log.Warn("replicas given up for dead; their work goes on here or elsewhere", "replicas", dead, "epoch", l.epoch)
			poke(s.wakeup)
		}
	}
}

const (
	// retireInterval is how often old share sets whose grace is over are looked
	// for.
	retireInterval = time.Second
	// releaseInterval is how often clean-ups are put back that this replica took
	// and could not put back when it was done.
	releaseInterval = time.Minute
)

func (s *Scheduler) retire(ctx context.Context, l *lease, engine *rotation.Engine) {
	releaseAt := time.Now().Add(releaseInterval)
	for s.sleep(ctx, retireInterval) {
		retiring, cancel := context.WithTimeout(ctx, s.Config.HeartbeatTimeout+s.Config.CallTimeout)
		_, err := engine.Retire(retiring)
		if err == nil && time.Now().After(releaseAt) {
			releaseAt = time.Now().Add(releaseInterval)
			_, err = s.Store.ReleaseRetirements(retiring, l.epoch) // none is in hand now
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("looking for due retirements failed", "error", err)
		}
	}
}

// sleep returns false when ctx ended.
func (s *Scheduler) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// poke leaves a message that something is to be looked at; one is enough.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

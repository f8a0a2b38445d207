package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// Lease is a replica's right to act. When its context ends, the replica has
// been given up, or signs off.
type Lease interface {
	// Epoch that every write carries.
	Epoch() int64
	// Until is the moment before which nobody takes over, on the local
	// monotonic clock. Heartbeats move it on.
	Until() time.Time
}

// Timing are the durations of a rotation. All must be positive.
type Timing struct {
	// Call is the longest that one call to a vendor or co-signer may take.
	Call time.Duration
	// Ceremony is the longest from the open room to both parties' completion.
	Ceremony time.Duration
	// Approval is how long a vendor's answer "not yet" is borne in all.
	Approval time.Duration
	// Quiet is how long nothing is opened for a wallet after an Open of unknown
	// outcome, so that a late effect of it cannot meet the next attempt.
	Quiet time.Duration
	// CommitAttention is how long a commit at the co-signer, or a doubt, may
	// last before a person is called.
	CommitAttention time.Duration
	// BackoffInitial and BackoffMax bound the wait between attempts.
	BackoffInitial, BackoffMax time.Duration
}

// Options of an Engine.
type Options struct {
	Store *store.Store
	Lease Lease
	// Providers by their names in the configuration.
	Providers map[string]provider.Provider
	// CoSigner finds the one of a wallet: named is the wallet's own choice,
	// empty for its provider's default. Nil when there is none of that name.
	CoSigner func(provider, named string) *cosigner.Client
	Timing   Timing
	// Held says until when no attempt may be begun for this rotation, because
	// it is paused or its provider asked for rest; zero: one may.
	Held func(*store.Rotation) time.Time
	// Interval is the shortest time between two ticks of the rotation's policy;
	// zero: it has no schedule.
	Interval func(*store.Rotation) time.Duration
	// Breaker of the providers' circuits, the same on all replicas.
	Breaker store.Breaker
	// MaxPerHour is how many rotations may begin in an hour, of everything, on
	// all replicas together; zero: no limit.
	MaxPerHour int32
	Metrics    *Metrics
	Log        *slog.Logger
}

// Engine runs rotations, each in a goroutine of its own while it is in hand.
// It lives as long as one lease.
type Engine struct {
	Options

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	running  map[int64]struct{}
	draining bool
	drained  chan struct{} // closed when draining and nothing runs
	idle     chan struct{} // a rotation has ended; capacity 1

	commits *gate
	pace    pace

	admit      *recorder[store.AdmitStep]
	opening    *recorder[store.OpeningStep]
	retreat    *recorder[store.RetreatStep]
	checkpoint *recorder[store.CheckpointStep]
	prepared   *recorder[store.PreparedStep]
	promoted   *recorder[store.PromotedStep]
	committed  *recorder[store.CommittedStep]
	abandon    *recorder[store.AbandonStep]
	baseline   *recorder[store.BaselineStep]
	park       *recorder[store.ParkStep]
}

// New makes an engine. Its rotations end when ctx does, or at Stop.
func New(ctx context.Context, o Options) *Engine {
	ctx, cancel := context.WithCancel(ctx)
	s := o.Store
	e := &Engine{
		Options: o, ctx: ctx, cancel: cancel,
		running: map[int64]struct{}{}, drained: make(chan struct{}), idle: make(chan struct{}, 1),
		commits: newGate(),
		pace:    defaultPace,
		admit: newRecorder(func(ctx context.Context, owner int64, steps []store.AdmitStep) (map[int64]bool, error) {
			return s.Admit(ctx, owner, steps, o.MaxPerHour)
		}, func(x store.AdmitStep) int64 { return x.WalletID }),
		opening:    newRecorder(s.Opening, func(x store.OpeningStep) int64 { return x.WalletID }),
		retreat:    newRecorder(s.Retreat, func(x store.RetreatStep) int64 { return x.WalletID }),
		checkpoint: newRecorder(s.Checkpoint, func(x store.CheckpointStep) int64 { return x.WalletID }),
		prepared:   newRecorder(s.Prepared, func(x store.PreparedStep) int64 { return x.WalletID }),
		promoted:   newRecorder(s.Promoted, func(x store.PromotedStep) int64 { return x.Entry.Row.WalletID }),
		committed:  newRecorder(s.Committed, func(x store.CommittedStep) int64 { return x.WalletID }),
		abandon:    newRecorder(s.Abandon, func(x store.AbandonStep) int64 { return x.Entry.Row.WalletID }),
		baseline:   newRecorder(s.RecordBaseline, func(x store.BaselineStep) int64 { return x.Entry.Row.WalletID }),
		park:       newRecorder(s.Park, func(x store.ParkStep) int64 { return x.WalletID }),
	}
	o.Metrics.coSigners.watch(e.commits)
	return e
}

// Submit takes a rotation that belongs to this replica and works on it until
// it is closed or parked. It does nothing for a wallet that is in hand
// already, or after Stop.
func (e *Engine) Submit(r *store.Rotation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.running[r.Wallet.ID]; ok || e.draining {
		return
	}
	e.running[r.Wallet.ID] = struct{}{}
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		defer e.release(r.Wallet.ID)
		e.run(e.ctx, r)
	}()
}

func (e *Engine) release(walletID int64) {
	e.mu.Lock()
	delete(e.running, walletID)
	if e.draining && len(e.running) == 0 {
		close(e.drained)
	}
	e.mu.Unlock()
	select {
	case e.idle <- struct{}{}:
	default:
	}
}

// InHand is how many rotations are being worked on.
func (e *Engine) InHand() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.running)
}

// Has says whether a wallet's rotation is being worked on.
func (e *Engine) Has(walletID int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.running[walletID]
	return ok
}

// Idle tells when a rotation has ended and there is room for another one.
func (e *Engine) Idle() <-chan struct{} { return e.idle }

// Stop begins nothing new, lets what is under way reach its end until ctx
// ends, then cancels the rest. What was cancelled is on record and goes on
// elsewhere.
func (e *Engine) Stop(ctx context.Context) {
	e.mu.Lock()
	if !e.draining {
		e.draining = true
		if len(e.running) == 0 {
			close(e.drained)
		}
	}
	e.mu.Unlock()
	select {
	case <-e.drained:
	case <-ctx.Done():
	}
	e.cancel()
	e.wg.Wait()
}

func (e *Engine) stopping() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.draining
}

// reloads bounds how often a rotation that is not where this replica left it
// is read again, before it is left to the next look.
const reloads = 3

// run works on one rotation until it is closed, parked or no longer ours.
func (e *Engine) run(ctx context.Context, r *store.Rotation) {
	j := &job{Engine: e, r: r, log: e.Log.With("wallet_id", r.Wallet.ID, "provider", r.Wallet.Provider,
		"external_id", r.Wallet.ExternalID, "rotation_id", r.RotationID, "policy", r.Policy)}
	defer j.closeSession()
	for left := reloads; ; {
		done, err := j.advance(ctx)
		switch {
		case err == nil && done:
			return
		case err == nil:
		case (errors.Is(err, store.ErrNotRecorded) || errors.Is(err, errUnclear)) && left > 0:
			left--
			// Somebody else has it, a person wished for something, or a step was
			// recorded whose answer was lost: the record knows.
			again, err := e.Store.Load(ctx, e.Lease.Epoch(), []int64{r.Wallet.ID})
			if err != nil || len(again) == 0 {
				j.log.Info("rotation is no longer in hand", "state", r.State, "error", err)
				return
			}
			*r = *again[0]
			// What is on record now need not follow from what was known here: our
			// database may have been set back.
			j.closeSession()
			j.fresh = false
		default:
			// Nothing can be recorded, so nothing may be done. The rotation stays
			// ours on record and is picked up again by the next look at it.
			if ctx.Err() == nil {
				j.log.Error("rotation interrupted", "state", r.State, "error", err)
			}
			return
		}
	}
}

// job is one rotation in hand.
type job struct {
	*Engine
	r       *store.Rotation
	log     *slog.Logger
	session provider.Session
	// known is what Inspect said last in this process.
	known provider.Inspection
	// fresh: prepared was entered a moment ago, in this process, and the vendor
	// was looked at in the same attempt.
	fresh bool
}

// advance takes the rotation one step on. done: closed or parked. An error
// means that something could not be recorded; failures of vendors and
// co-signers are handled inside.
func (j *job) advance(ctx context.Context) (done bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	p := j.Providers[j.r.Wallet.Provider]
	if p == nil {
		return true, j.strayed(fmt.Errorf("provider %s is not in the configuration of this daemon", j.r.Wallet.Provider))
	}
	switch j.r.State {
	case store.Waiting:
		return j.wait(ctx, p)
	case store.Opening, store.Ceremony:
		return j.ceremony(ctx, p)
	case store.Prepared:
		return j.promote(ctx, p)
	case store.Promoted:
		return j.commit(ctx, p)
	}
	return true, fmt.Errorf("rotation of wallet %d is in state %s, where nothing is to be done", j.r.Wallet.ID, j.r.State)
}

func (j *job) closeSession() {
	if j.session != nil {
		if err := j.session.Close(); err != nil {
			j.log.Warn("closing a ceremony failed", "error", err)
		}
		j.session = nil
	}
}

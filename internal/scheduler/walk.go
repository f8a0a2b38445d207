package scheduler

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/store"
)

const (
	// walkInterval is how often it is looked whether a walk is due, or was left
	// by another replica.
	walkInterval = time.Second
	// walkPage is how many wallets are compared between two records of how far
	// the walk is: what a replica that dies leaves to be done twice. It is also
	// how soon a pause is heeded.
	walkPage = 50
	// walkWorkers is how many wallets are compared at a time. The pace decides;
	// this only keeps one slow answer from holding all others up.
	walkWorkers = 4
	// walkActor stands in the requests that a walk makes.
	walkActor  = "rotatord"
	walkReason = "the comparison of all wallets found a difference"
)

// Reconcile is the comparison of all wallets that the daemon does by itself.
type Reconcile struct {
	// Schedule of the walks; nil: only when somebody requests one. "@every"
	// counts from 1970-01-01 UTC, so that all replicas agree.
	Schedule *Schedule
	// Pace waits until one more wallet of the provider may be asked for; nil: at
	// once.
	Pace func(ctx context.Context, provider string) error
}

// walks compares all wallets whenever that is due, on one replica at a time.
// Who has a walk in hand is on record like everything else, so that a restart,
// or another replica, neither repeats nor loses it.
func (s *Scheduler) walks(ctx context.Context, d *dispatcher) {
	for s.sleep(ctx, walkInterval) {
		w, mine, err := s.nextWalk(ctx, d.lease)
		if err == nil && mine {
			err = s.walk(ctx, d, w)
		}
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, store.ErrNotRecorded):
			s.Log.Info("the comparison of all wallets went on without this replica", "tick", w.Tick)
		default:
			s.Log.Warn("comparing all wallets failed; it goes on where it was", "error", err)
		}
	}
}

// nextWalk takes a walk that another replica has left, or this one could not go
// on with, or begins one. Of several ticks that were missed only the last one
// counts.
func (s *Scheduler) nextWalk(ctx context.Context, l *lease) (w store.Walk, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Config.HeartbeatTimeout)
	defer cancel()
	control, err := s.Store.Control(ctx)
	if err != nil || control.Paused {
		return w, false, err
	}
	walked, err := s.Store.Walked(ctx)
	switch {
	case err != nil:
		return w, false, err
	case walked.Running:
		return s.Store.TakeWalk(ctx, l.epoch)
	case s.Reconcile.Schedule == nil:
		return w, false, nil
	}
	tick, due := s.Reconcile.Schedule.Latest(walked.Tick, s.Store.Now(), time.Unix(0, 0))
	if !due {
		return w, false, nil
	}
	return s.Store.BeginWalk(ctx, l.epoch, tick)
}

// walk goes through the wallets in the order of their ids. What differs becomes
// a request, as if a person had asked: an engine looks again under its lease,
// and then follows the vendor or calls a person.
func (s *Scheduler) walk(ctx context.Context, d *dispatcher, w store.Walk) error {
	began := time.Now()
	s.Log.Info("comparing all wallets with vendors and co-signers", "tick", w.Tick, "after_wallet", w.LastWallet)
	compare := &rotation.Comparer{Store: s.Store, Providers: s.Rotation.Providers, CoSigner: s.Rotation.CoSigner,
		Call: s.Rotation.Timing.Call, Workers: walkWorkers,
		Pace: func(ctx context.Context, provider string) error { return s.pace(ctx, d, provider) }}
	for {
		control, err := s.Store.Control(ctx)
		if err != nil {
			return err
		}
		if control.Paused {
			if !s.sleep(ctx, walkInterval) {
				return ctx.Err()
			}
			continue
		}
		page, err := s.Store.Standings(ctx, store.StandingFilter{}, w.LastWallet, walkPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		w.LastWallet = page[len(page)-1].Wallet.ID
		page = slices.DeleteFunc(page, func(x store.Standing) bool { return pausedBy(control, nil, x.Wallet.Provider) != "" })
		found, err := compare.Wallets(ctx, page)
		if err != nil {
			return err
		}
		if err := s.Store.StepWalk(ctx, d.lease.epoch, w, s.differing(w, found), walkActor, walkReason); err != nil {
			return err
		}
	}
	if err := s.Store.EndWalk(ctx, d.lease.epoch, w); err != nil {
		return err
	}
	s.Log.Info("all wallets compared", "tick", w.Tick, "took", time.Since(began).Round(time.Millisecond), "wallets", w.Counts)
	return nil
}

// differing counts what was found, and picks the wallets that a request is of
// use for.
func (s *Scheduler) differing(w store.Walk, found []rotation.Comparison) (walletIDs []int64) {
	for _, c := range found {
		w.Counts.Add(c.Provider, string(c.Result), 1)
		if c.Fine() || c.Result == rotation.Unreachable {
			continue
		}
		s.Log.Warn("vendor, co-signer and record do not agree", "wallet_id", c.WalletID, "provider", c.Provider, "external_id", c.ExternalID,
			"result", c.Result, "detail", c.Detail, "attention", c.Attention)
		if c.Request() {
			walletIDs = append(walletIDs, c.WalletID)
		}
	}
	return walletIDs
}

// pace leaves a provider alone while it asked for rest, and below its limits
// else: rotations come first.
func (s *Scheduler) pace(ctx context.Context, d *dispatcher, provider string) error {
	for {
		rest := d.policies.control().HoldUntil[provider].Sub(s.Store.Now())
		if rest <= 0 {
			break
		}
		if !s.sleep(ctx, min(rest, walkInterval)) { // it may be moved
			return ctx.Err()
		}
	}
	if s.Reconcile.Pace == nil {
		return nil
	}
	return s.Reconcile.Pace(ctx, provider)
}

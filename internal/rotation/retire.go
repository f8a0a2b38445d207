package rotation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

const (
	// retireBatch is how many old share sets are cleaned up at a time; there is
	// no hurry.
	retireBatch = 16
	// retireAttempts is how often a clean-up is tried before a person hears of
	// it; it is tried on.
	retireAttempts = 5
)

// Retire cleans up the old share sets whose grace period is over (rule 7), and
// returns how many it tried.
func (e *Engine) Retire(ctx context.Context) (int, error) {
	due, err := e.Store.TakeRetirements(ctx, e.Lease.Epoch(), retireBatch)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	for _, d := range due {
		wg.Go(func() {
			if err := e.retireOne(ctx, d); err != nil {
				e.Log.Error("recording a retirement failed", "wallet_id", d.Wallet.ID, "error", err)
			}
		})
	}
	wg.Wait()
	return len(due), nil
}

func (e *Engine) retireOne(ctx context.Context, d store.Retirement) error {
	said, err := e.cleanUp(ctx, d)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	// What the vendor has answered goes on record, also while this replica
	// winds down; the epoch guards it as ever.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err == nil {
		said = cmp.Or(said, "the vendor accepted the clean-up")
		e.Log.Info("old share set retired", "wallet_id", d.Wallet.ID, "share_set", d.OldShareSet, "vendor_said", said)
		return persist(ctx, func() error { return e.Store.RetirementDone(ctx, e.Lease.Epoch(), d, said) })
	}
	if wait := (*provider.NotYet)(nil); errors.As(err, &wait) {
		e.Log.Debug("a clean-up goes on at the vendor", "wallet_id", d.Wallet.ID, "share_set", d.OldShareSet, "state", wait.Error())
		return persist(ctx, func() error {
			return e.Store.RetirementWaits(ctx, e.Lease.Epoch(), d, e.Store.Now().Add(wait.CheckAgain), wait.Error(), whoWaits(wait))
		})
	}
	class, reason := provider.ClassOf(err)
	e.Metrics.failures.WithLabelValues(d.Wallet.Provider, string(reason)).Inc()
	next := e.Store.Now().Add(max(provider.RetryAfter(err), backoff(e.Timing, d.Attempts+1)))
	var a store.Attention
	switch {
	case class == provider.Verification:
		// Something is not as it should be where we were about to delete.
		a, next = store.Mismatch, time.Time{}
	case class == provider.Terminal:
		a, next = store.NeedsPerson, time.Time{}
	case d.Attempts+1 >= retireAttempts:
		a = store.NeedsPerson
	}
	e.Log.Warn("retiring an old share set failed", "wallet_id", d.Wallet.ID, "share_set", d.OldShareSet, "class", class, "error", err)
	return persist(ctx, func() error {
		return e.Store.RetirementFailed(ctx, e.Lease.Epoch(), d, next, err.Error(), a)
	})
}

// whoWaits: waiting is not failure. Nobody hears of it until the provider says
// that somebody should.
func whoWaits(n *provider.NotYet) store.Attention {
	switch {
	case n.Person:
		return store.NeedsPerson
	case n.WaitsFor != "":
		return store.WaitsForApproval
	}
	return ""
}

// cleanUp asks the vendor to clean up, after it has said once more that it
// does not use the old set. The provider looks again for itself.
func (e *Engine) cleanUp(ctx context.Context, d store.Retirement) (said string, err error) {
	p := e.Providers[d.Wallet.Provider]
	if p == nil {
		return "", fmt.Errorf("provider %s is not in the configuration of this daemon", d.Wallet.Provider)
	}
	w := provider.Wallet{ID: d.Wallet.ID, ExternalID: d.Wallet.ExternalID, Address: d.Wallet.Address,
		Chain: d.Wallet.Chain, Settings: d.Wallet.Settings}
	looking, cancel := context.WithTimeout(ctx, e.Timing.Call)
	defer cancel()
	switch v, err := p.Inspect(looking, w); {
	case v.ActiveShareSet == d.OldShareSet:
		return "", mismatch("the vendor uses share set %s, which was to be cleaned up", d.OldShareSet)
	case v.ActiveShareSet == "" && err == nil:
		return "", mismatch("the vendor names no active share set for this wallet")
	case v.ActiveShareSet == "":
		return "", fmt.Errorf("looking at the wallet: %w", err)
	}
	calling, cancel := context.WithTimeout(ctx, e.Timing.Call)
	defer cancel()
	calling, cancel = context.WithDeadline(calling, e.Lease.Until())
	defer cancel()
	return p.Retire(calling, provider.Retirement{Wallet: w, OldShareSet: d.OldShareSet, NewShareSet: d.NewShareSet,
		ActiveShareSet: d.ActiveShareSet, Earlier: d.Earlier, Later: d.Later, Refs: d.Refs})
}

// persist repeats a write until the database has taken or refused it: nobody
// else will take a retirement up while it is on record as ours.
func persist(ctx context.Context, write func() error) error {
	for {
		if err := write(); err == nil || !store.IsRetryable(err) || !pause(ctx, recordRetry) {
			return err
		}
	}
}

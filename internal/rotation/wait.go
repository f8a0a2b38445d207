package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// wait handles a rotation that is waiting: it finishes what an abandoned
// attempt left behind, ends the rotation if its fate is sealed, and else
// begins the next attempt as soon as it may.
func (j *job) wait(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	j.closeSession()
	if r.DiscardPending {
		if err := j.discard(ctx, p); err != nil {
			return j.undiscarded(err)
		}
		if err := j.Store.Discarded(ctx, j.Lease.Epoch(), r.Wallet.ID, r.AttemptID); err != nil {
			return false, err
		}
		r.DiscardPending = false
	}
	if r.Wish == store.WishAbort {
		return true, j.aborted(ctx)
	}
	if r.Wish == store.WishReconcile {
		return j.onlyLook(ctx, p)
	}
	if attention, sealed := j.sealed(); sealed {
		return true, j.fail(ctx, attention)
	}
	if now := j.Store.Now(); r.NextCheck.After(now) {
		return true, j.parkUntil(r.NextCheck)
	}
	if until := j.mayNotBegin(); !until.IsZero() {
		return true, j.parkUntil(until)
	}
	switch until, err := j.admitted(ctx); {
	case err != nil:
		return false, err
	case !until.IsZero():
		return true, j.parkUntil(until)
	}
	if err := j.look(ctx, p); err != nil {
		return j.failed(err)
	}
	return j.begin(ctx, p)
}

// sealed says whether the last failure was the last one of this rotation.
func (j *job) sealed() (store.Attention, bool) {
	switch r := j.r; {
	case r.ErrorClass == provider.Terminal:
		return store.NeedsPerson, true
	case r.ErrorClass == provider.Verification:
		if r.Attention != "" {
			return r.Attention, true
		}
		return store.Mismatch, true
	case r.ErrorClass != "" && r.Attempt >= r.MaxAttempts:
		// Time may mend it; the next tick tries again without a person.
		return store.AttemptsUsedUp, true
	}
	return "", false
}

// pausedCheck is how often a rotation that may not begin is looked at again.
const pausedCheck = 5 * time.Second

// mayNotBegin says until when no new attempt may be begun; zero: it may.
func (j *job) mayNotBegin() time.Time {
	if j.stopping() || j.r.Wallet.Off {
		return j.Store.Now().Add(pausedCheck)
	}
	if until := j.Held(j.r); until.After(j.Store.Now()) {
		return until
	}
	return time.Time{}
}

// discard tells co-signer and vendor of an attempt that is abandoned on record
// already. Both may be told more than once.
func (j *job) discard(ctx context.Context, p provider.Provider) error {
	if p.CoSigned() {
		c, err := j.coSigner()
		if err != nil {
			return err
		}
		ctx, cancel, err := j.call(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		_, err = c.Abort(ctx, j.r.AttemptID)
		switch {
		case err == nil, errors.Is(err, errUnknown):
			// That it never heard of the ceremony is as good as an abort.
		case errors.Is(err, cosigner.ErrConflict):
			// It has committed the share, which nobody here asked for. No abort will
			// change that; the look before the next attempt judges what it means.
			j.log.Warn("the co-signer refuses to abort", "attempt_id", j.r.AttemptID, "error", err)
		default:
			return fmt.Errorf("telling the co-signer of the abandoned attempt: %w", err)
		}
	}
	ctx, cancel, err := j.call(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	attempt := j.attempt()
	attempt.PendingShareSet = j.r.Refs.ShareSet
	if err := p.Discard(ctx, attempt); err != nil {
		return fmt.Errorf("telling the vendor of the abandoned attempt: %w", err)
	}
	return nil
}

// begin records the intent, then opens.
func (j *job) begin(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	// An intent that cannot be followed would cost an attempt.
	if err := j.leased(); err != nil {
		return false, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return false, fmt.Errorf("making an attempt id: %w", err)
	}
	now := j.Store.Now()
	first := r.OpenedAt.Before(r.Tick) // else this tick has seen an attempt
	if err := j.opening.record(ctx, j.Lease.Epoch(), store.OpeningStep{
		WalletID: r.Wallet.ID, AttemptID: id, OldShareSet: r.Head.ActiveShareSet, At: now,
	}); err != nil {
		return false, err
	}
	r.State, r.AttemptID, r.OldShareSet, r.OpenedAt = store.Opening, id, r.Head.ActiveShareSet, now
	r.Attempt++
	r.Refs, r.ErrorClass, r.Error, r.Attention = provider.Refs{}, "", "", ""
	if first {
		j.Metrics.begun(r)
	}
	j.log.Info("attempt begun", "attempt_id", id, "attempt", r.Attempt, "old_share_set", r.OldShareSet)
	return j.open(ctx, p)
}

// aborted closes a rotation because a person asked for it.
func (j *job) aborted(ctx context.Context) error {
	if err := j.Store.Drop(ctx, j.Lease.Epoch(), j.r); err != nil {
		return err
	}
	j.log.Info("rotation aborted", "actor", j.r.WishActor)
	j.Metrics.result(j.r, "aborted")
	return nil
}

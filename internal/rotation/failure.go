package rotation

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// unrecorded is an error of our own record, not of a vendor or co-signer:
// nothing may be decided from it.
type unrecorded struct{ err error }

func (u *unrecorded) Error() string { return u.err.Error() }
func (u *unrecorded) Unwrap() error { return u.err }

func recording(err error) error { return &unrecorded{err} }

// needsPerson is a failure that waits for a person, and why.
type needsPerson struct {
	attention store.Attention
	err       error
}

func (n *needsPerson) Error() string { return n.err.Error() }
func (n *needsPerson) Unwrap() error { return n.err }

func attention(a store.Attention, err error) error { return &needsPerson{a, err} }

func attentionOf(err error) store.Attention {
	var n *needsPerson
	if errors.As(err, &n) {
		return n.attention
	}
	return ""
}

// passOn says whether err must stop the work instead of being put on record
// as a failure: the record itself failed, or this replica is ending.
func (j *job) passOn(err error) (error, bool) {
	var u *unrecorded
	if errors.As(err, &u) {
		return u.err, true
	}
	if ended := j.ctx.Err(); ended != nil {
		return ended, true
	}
	return nil, false
}

// failed takes an attempt that has failed back to waiting, on record before
// anybody is told. What comes next (discard, back off, or the end of the
// rotation) is decided there.
func (j *job) failed(err error) (done bool, stop error) {
	if stop, yes := j.passOn(err); yes {
		return false, stop
	}
	r := j.r
	now := j.Store.Now()
	class, reason := provider.ClassOf(err)
	counted := r.Attempt
	if r.State == store.Waiting {
		counted++ // a look that failed is an attempt too
	}
	next := now.Add(backoff(j.Timing, counted))
	switch class {
	case provider.RateLimited:
		// Not the wallet's fault: the attempt does not count, and the provider
		// is left alone on all replicas.
		counted = max(0, counted-1)
		next = now.Add(max(provider.RetryAfter(err), j.Timing.BackoffInitial))
		if err := j.Store.Hold(j.ctx, r.Wallet.Provider, next, "rate limited"); err != nil {
			return false, err
		}
	case provider.InDoubt:
		next = now.Add(max(next.Sub(now), j.Timing.Quiet))
	}
	j.Metrics.failure(r, reason)
	j.log.Warn("attempt failed", "state", r.State, "attempt_id", r.AttemptID, "attempt", counted, "class", class, "reason", reason, "error", err)

	switch {
	case r.State == store.Waiting:
		// Parked or failed by wait, which records it.
	case r.State == store.Opening && class != provider.InDoubt && r.Refs.Room == "" && r.Refs.Vendor == nil:
		// The vendor certainly opened nothing.
		if err := j.retreat.record(j.ctx, j.Lease.Epoch(), store.RetreatStep{WalletID: r.Wallet.ID, AttemptID: r.AttemptID,
			NextCheck: next, Class: class, Error: err.Error(), Attempt: counted}); err != nil {
			return false, err
		}
	default:
		if err := j.abandonAttempt(class, err, next, counted, now); err != nil {
			return false, err
		}
	}
	r.State, r.Attempt, r.NextCheck = store.Waiting, counted, next
	r.ErrorClass, r.Error, r.Attention = class, err.Error(), attentionOf(err)
	return false, nil
}

// abandonAttempt puts on record that the pending set will never be adopted.
func (j *job) abandonAttempt(class provider.Class, cause error, next time.Time, counted int32, now time.Time) error {
	r := j.r
	outcome := store.Abandoned
	if class == provider.Verification {
		outcome = store.Rejected
	}
	e := store.Follow(r.Head, store.HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID,
		Outcome: outcome, Trigger: r.Trigger, Tick: r.Tick, OpenedAt: r.OpenedAt, DecidedAt: now,
		RotationID: r.RotationID, AttemptID: r.AttemptID, ShareSet: r.PendingShareSet, Replaced: r.OldShareSet,
		KeyFingerprint: store.KeyFingerprint(r.Head.PublicKey), Actor: cmp.Or(r.WishActor, r.Actor), VendorSaid: cause.Error()})
	if err := j.abandon.record(j.ctx, j.Lease.Epoch(), store.AbandonStep{Entry: e, From: r.State, NextCheck: next,
		Class: class, Error: cause.Error(), Attempt: counted}); err != nil {
		return err
	}
	r.Head = e.Head(r.Head)
	r.Refs.ShareSet = r.PendingShareSet
	if r.Wish == store.WishDiscard {
		r.Wish = ""
	}
	r.DiscardPending, r.PendingShareSet, r.Fingerprint, r.InDoubtSince = true, "", "", time.Time{}
	return nil
}

// stay parks a rotation that is past the commit point, in the state it is in.
func (j *job) stay(err error) (done bool, stop error) {
	if stop, yes := j.passOn(err); yes {
		return false, stop
	}
	r := j.r
	now := j.Store.Now()
	class, reason := provider.ClassOf(err)
	since := r.PreparedAt
	retry := time.Minute
	if r.State == store.Promoted {
		since, retry = r.PromotedAt, commitRetryMax
	}
	if class == provider.InDoubt && r.InDoubtSince.IsZero() {
		r.InDoubtSince = now
	}
	step := store.ParkStep{Class: class, Error: err.Error(), Attention: attentionOf(err), InDoubt: !r.InDoubtSince.IsZero()}
	if step.Attention == "" {
		// Time may mend it; a person hears of it when it takes long.
		wait := min(max(now.Sub(since)/4, commitRetryMin), retry)
		step.NextCheck = now.Add(max(wait, provider.RetryAfter(err)))
		if now.Sub(since) >= j.Timing.CommitAttention {
			step.Attention = overdue(r)
		}
	}
	j.Metrics.failure(r, reason)
	j.log.Warn("rotation cannot go on", "state", r.State, "attempt_id", r.AttemptID, "class", class, "reason", reason,
		"attention", step.Attention, "error", err)
	return true, j.recordPark(step)
}

const (
	commitRetryMin = time.Second
	commitRetryMax = 5 * time.Second
)

// overdue is what a person is told about a rotation that stays past the
// commit point for long.
func overdue(r *store.Rotation) store.Attention {
	switch {
	case r.State == store.Promoted:
		return store.CommitPending
	case !r.InDoubtSince.IsZero():
		return store.DoubtRemains
	}
	return store.PromotionStuck
}

// fail ends the rotation for its tick.
func (j *job) fail(ctx context.Context, a store.Attention) error {
	r := j.r
	if err := j.Store.Fail(ctx, j.Lease.Epoch(), r, r.ErrorClass, r.Error, a, j.Store.Now()); err != nil {
		return err
	}
	j.log.Error("rotation failed", "class", r.ErrorClass, "attention", a, "attempt", r.Attempt, "error", r.Error)
	j.Metrics.result(r, "failed")
	return nil
}

// parkUntil parks a waiting rotation with what is known of its last failure.
func (j *job) parkUntil(next time.Time) error {
	return j.recordPark(store.ParkStep{NextCheck: next, Class: j.r.ErrorClass, Error: j.r.Error})
}

// parkFor parks a rotation because of something that is not its own failure.
func (j *job) parkFor(d time.Duration, why error) error {
	if stop, yes := j.passOn(why); yes {
		return stop
	}
	j.log.Warn("rotation put back", "state", j.r.State, "error", why)
	class := j.r.ErrorClass
	if class == "" {
		class = provider.Retryable
	}
	return j.recordPark(store.ParkStep{NextCheck: j.Store.Now().Add(d), Class: class, Error: why.Error()})
}

func (j *job) recordPark(step store.ParkStep) error {
	step.WalletID, step.State, step.Attempt, step.At = j.r.Wallet.ID, j.r.State, j.r.Attempt, j.Store.Now()
	return j.park.record(j.ctx, j.Lease.Epoch(), step)
}

// backoff is the wait after the n-th attempt: it doubles, and is spread by a
// quarter so that wallets that failed together do not return together.
func backoff(t Timing, n int32) time.Duration {
	d := t.BackoffInitial
	for range min(max(n-1, 0), 30) {
		if d *= 2; d >= t.BackoffMax {
			break
		}
	}
	d = min(d, t.BackoffMax)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// call gives one call to a vendor or co-signer its time: never longer than
// this replica may act, so that nothing it sent is still under way when
// another replica takes over.
func (j *job) call(ctx context.Context) (context.Context, context.CancelFunc, error) {
	left := time.Until(j.Lease.Until())
	if left <= 0 {
		return nil, nil, recording(store.ErrGivenUp)
	}
	ctx, cancel := context.WithTimeout(ctx, min(left, j.Timing.Call))
	return ctx, cancel, nil
}

// coSigner finds the wallet's co-signer.
func (j *job) coSigner() (*cosigner.Client, error) {
	w := j.r.Wallet
	if c := j.CoSigner(w.Provider, w.CoSigner); c != nil {
		return c, nil
	}
	if w.CoSigner != "" {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonCoSigner, "co-signer %s is not in the configuration of this daemon", w.CoSigner)
	}
	return nil, provider.Errorf(provider.Terminal, provider.ReasonCoSigner, "provider %s has no co-signer in the configuration of this daemon", w.Provider)
}

// wallet is what the provider is told about it.
func (j *job) wallet() provider.Wallet {
	w := j.r.Wallet
	address := w.Address
	if address == "" {
		address = j.known.Address
	}
	return provider.Wallet{ID: w.ID, ExternalID: w.ExternalID, Address: address, Chain: w.Chain, Settings: w.Settings}
}

func (j *job) attempt() provider.Attempt {
	r := j.r
	return provider.Attempt{ID: r.AttemptID, Wallet: j.wallet(), OldShareSet: r.OldShareSet, PendingShareSet: r.PendingShareSet, Refs: r.Refs}
}

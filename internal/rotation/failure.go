package rotation

import (
	"cmp"
	"errors"
	"time"

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
// rotation) is decided there. Past opening nobody knows what is left of an
// attempt, so its share set is abandoned by name, or without one.
func (j *job) failed(err error) (done bool, stop error) {
	return j.back(err, j.abandonAttempt)
}

// retreated is failed for an attempt of which the vendor said that it opened
// nothing: there is no share set whose fate would have to be told.
func (j *job) retreated(err error) (done bool, stop error) {
	return j.back(err, func(f failedAttempt) error {
		return j.retreat.record(j.ctx, j.Lease.Epoch(), store.RetreatStep{WalletID: j.r.Wallet.ID, AttemptID: j.r.AttemptID,
			NextCheck: f.next, Class: f.class, Error: f.cause.Error(), Attempt: f.counted})
	})
}

// failedAttempt is what goes on record of it.
type failedAttempt struct {
	cause   error
	class   provider.Class
	counted int32 // attempts so far
	at      time.Time
	next    time.Time // not before this
}

func (j *job) back(err error, record func(failedAttempt) error) (done bool, stop error) {
	if stop, yes := j.passOn(err); yes {
		return false, stop
	}
	r := j.r
	class, reason := provider.ClassOf(err)
	f := failedAttempt{cause: err, class: class, counted: r.Attempt, at: j.Store.Now()}
	if r.State == store.Waiting {
		f.counted++ // a look that failed is an attempt too
	}
	f.next = f.at.Add(max(backoff(j.Timing, f.counted), provider.RetryAfter(err)))
	if err := j.excuse(&f); err != nil {
		return false, err
	}
	switch {
	case class == provider.RateLimited && reason != provider.ReasonCoSigner:
		// Not the wallet's fault: the attempt does not count.
		f.counted = max(0, f.counted-1)
		if err := j.rest(f.next); err != nil {
			return false, err
		}
	case class == provider.InDoubt || !r.InDoubtSince.IsZero():
		f.next = f.at.Add(max(f.next.Sub(f.at), j.Timing.Quiet))
	}
	j.Metrics.failure(r, reason)
	j.log.Warn("attempt failed", "state", r.State, "attempt_id", r.AttemptID, "attempt", f.counted, "class", class, "reason", reason, "error", err)
	if r.State != store.Waiting { // else it is parked or failed by wait, which records it
		if err := record(f); err != nil {
			return false, err
		}
	}
	r.State, r.Attempt, r.NextCheck = store.Waiting, f.counted, f.next
	r.ErrorClass, r.Error, r.Attention = f.class, err.Error(), attentionOf(err)
	return false, nil
}

// rest leaves the provider alone on all replicas, because it asked for that.
func (j *job) rest(until time.Time) error {
	return j.Store.Hold(j.ctx, j.r.Wallet.Provider, until, "rate limited")
}

// abandonAttempt puts on record that the pending set will never be adopted.
func (j *job) abandonAttempt(f failedAttempt) error {
	r := j.r
	outcome := store.Abandoned
	if f.class == provider.Verification {
		outcome = store.Rejected
	}
	e := store.Follow(r.Head, store.HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID,
		Outcome: outcome, Trigger: r.Trigger, Tick: r.Tick, OpenedAt: r.OpenedAt, DecidedAt: f.at,
		RotationID: r.RotationID, AttemptID: r.AttemptID, ShareSet: r.PendingShareSet, Replaced: r.OldShareSet,
		KeyFingerprint: store.KeyFingerprint(r.Head.PublicKey), Actor: cmp.Or(r.WishActor, r.Actor), VendorSaid: f.cause.Error()})
	if err := j.abandon.record(j.ctx, j.Lease.Epoch(), store.AbandonStep{Entry: e, From: r.State, NextCheck: f.next,
		Class: f.class, Error: f.cause.Error(), Attempt: f.counted}); err != nil {
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

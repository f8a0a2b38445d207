package rotation

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// pace bounds the wait before a rotation that stayed is looked at again.
type pace struct {
	min, max time.Duration
	commit   time.Duration // max in promoted: until the co-signer commits, signing may fail
}

var defaultPace = pace{min: time.Second, max: time.Minute, commit: 5 * time.Second}

// stay parks a rotation in the state it is in, because it is not to go
// backwards: it is past the commit point, or what is under way cannot be asked
// about.
func (j *job) stay(err error) (done bool, stop error) {
	if stop, yes := j.passOn(err); yes {
		return false, stop
	}
	r := j.r
	now := j.Store.Now()
	class, reason := provider.ClassOf(err)
	if class == provider.InDoubt && r.InDoubtSince.IsZero() {
		r.InDoubtSince = now
	}
	step := store.ParkStep{Class: class, Error: err.Error(), Attention: attentionOf(err)}
	if step.Attention == "" {
		// Time may mend it; a person hears of it when it takes long.
		step.NextCheck = j.pace.until(r, now, provider.RetryAfter(err))
		switch {
		case class == provider.Verification:
			step.Attention = store.Mismatch
		case step.NextCheck.Sub(entered(r)) >= j.Timing.CommitAttention:
			step.Attention = overdue(r)
		}
	}
	if class == provider.RateLimited && reason != provider.ReasonCoSigner {
		if err := j.rest(now.Add(max(provider.RetryAfter(err), j.pace.min))); err != nil {
			return false, err
		}
	}
	if r.ErrorClass == "" { // else this rotation has been counted in this state
		if _, err := j.blame(err); err != nil {
			return false, err
		}
	}
	j.Metrics.failure(r, reason)
	j.log.Warn("rotation cannot go on", "state", r.State, "attempt_id", r.AttemptID, "class", class, "reason", reason,
		"attention", step.Attention, "error", err)
	return true, j.recordPark(step)
}

// entered is when the rotation entered its state, which is past waiting.
func entered(r *store.Rotation) time.Time {
	switch r.State {
	case store.Promoted:
		return r.PromotedAt
	case store.Prepared:
		return r.PreparedAt
	}
	return r.OpenedAt
}

// until is when to look again: the longer it lasts, the rarer. A swap that
// waits for its commit is looked at within seconds, whatever anybody asks for.
func (p pace) until(r *store.Rotation, now time.Time, asked time.Duration) time.Time {
	wait := max(now.Sub(entered(r))/4, p.min)
	if r.State == store.Promoted {
		return now.Add(min(wait, p.commit))
	}
	return now.Add(max(min(wait, p.max), asked))
}

// overdue is what a person is told about a rotation that stays in its state
// for long.
func overdue(r *store.Rotation) store.Attention {
	switch {
	case r.State == store.Promoted:
		return store.CommitPending
	case r.State != store.Prepared:
		return store.NeedsPerson
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

// undiscarded parks a waiting rotation whose abandoned attempt could not be
// told to everybody. Until it is, nothing new is begun; a wait that was to come
// first still does.
func (j *job) undiscarded(err error) (done bool, stop error) {
	if stop, yes := j.passOn(err); yes {
		return false, stop
	}
	r := j.r
	now := j.Store.Now()
	class, reason := provider.ClassOf(err)
	step := store.ParkStep{Class: cmp.Or(r.ErrorClass, class), Error: err.Error()}
	step.NextCheck = now.Add(max(backoff(j.Timing, r.Attempt), provider.RetryAfter(err)))
	if r.NextCheck.After(step.NextCheck) {
		step.NextCheck = r.NextCheck
	}
	switch why, sealed := j.sealed(); {
	case sealed:
		// The attempt's own failure is what a person must hear of.
		step.Attention, step.Error = why, r.Error
	case class == provider.Terminal || class == provider.Verification,
		now.Sub(r.OpenedAt) >= j.Timing.Ceremony+j.Timing.CommitAttention:
		step.Attention = store.NeedsPerson
	}
	j.Metrics.failure(r, reason)
	j.log.Warn("telling of an abandoned attempt failed", "attempt_id", r.AttemptID, "class", class, "reason", reason,
		"attention", step.Attention, "error", err)
	return true, j.recordPark(step)
}

// strayed parks a rotation whose provider this daemon does not know.
func (j *job) strayed(err error) error {
	j.log.Error("rotation put back", "state", j.r.State, "error", err)
	return j.recordPark(store.ParkStep{NextCheck: j.Store.Now().Add(max(j.Timing.BackoffMax, j.pace.min)),
		Class: cmp.Or(j.r.ErrorClass, provider.Retryable), Error: err.Error(), Attention: store.NeedsPerson})
}

func (j *job) recordPark(step store.ParkStep) error {
	r := j.r
	step.WalletID, step.State, step.Attempt, step.At, step.Wish = r.Wallet.ID, r.State, r.Attempt, j.Store.Now(), r.Wish
	step.InDoubt = !r.InDoubtSince.IsZero()
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

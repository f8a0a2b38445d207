package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// promote handles a rotation in prepared: it asks the vendor to swap, and
// believes only what the vendor then says is active. It never goes backwards
// but by a person's discard.
func (j *job) promote(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	if !j.fresh {
		// Whoever did not come straight from the ceremony may come after a swap.
		switch active, err := j.active(ctx, p); {
		case err != nil:
			return j.stay(err)
		case active == r.PendingShareSet:
			return j.swapped(ctx, p)
		case active != r.OldShareSet:
			return j.stay(j.strange(active))
		}
	}
	j.fresh = false
	if r.Wish == store.WishDiscard {
		// The co-signer keeps the share.
		return j.failed(provider.Errorf(provider.Retryable, provider.ReasonInvalidState, "discarded by %s", r.WishActor))
	}
	if p.CoSigned() {
		if err := j.stillPrepared(ctx); err != nil {
			return j.stay(err)
		}
	}
	// On a full disk an update of this rotation may find room where the swap's
	// record does not. The co-signer is told after that record: without this one
	// wallet after the other would be left waiting for its commit.
	if err := j.Store.Writable(); err != nil {
		return false, err
	}
	started := time.Now()
	calling, cancel, err := j.call(ctx)
	if err != nil {
		return false, err
	}
	asked := p.Promote(calling, j.attempt())
	cancel()
	if err := j.doubt(ctx, asked); err != nil {
		return false, err
	}
	// Whatever the reply was: only the vendor's own answer about its active
	// set counts.
	active, err := j.active(ctx, p)
	switch {
	case err != nil:
		return j.stay(err)
	case active == r.PendingShareSet:
		j.Metrics.phase(r, "promote", started)
		return j.swapped(ctx, p)
	case active != r.OldShareSet:
		return j.stay(j.strange(active))
	case asked == nil:
		return j.stay(atVendor(provider.Errorf(provider.InDoubt, provider.ReasonProviderError,
			"the vendor accepted the swap, but share set %s is still active", active)))
	default:
		return j.stay(refused(atVendor(asked)))
	}
}

// strange is drift past the commit point.
func (j *job) strange(active string) error {
	return attention(store.Drift, mismatch("the vendor uses share set %s, neither the old one %s nor the pending one %s",
		active, j.r.OldShareSet, j.r.PendingShareSet))
}

// stillPrepared is rule 4.
func (j *job) stillPrepared(ctx context.Context) error {
	r := j.r
	c, err := j.coSigner()
	if err != nil {
		return err
	}
	if since, failing := j.commits.failing(c.Name()); failing {
		return provider.Errorf(provider.Retryable, provider.ReasonCoSigner,
			"co-signer %s has failed to commit since %s: nothing more is promoted through it", c.Name(), since.UTC().Format(time.RFC3339))
	}
	ctx, cancel := context.WithTimeout(ctx, j.Timing.Call)
	defer cancel()
	s, err := c.Status(ctx, r.AttemptID)
	if errors.Is(err, errUnknown) {
		return attention(store.PreparedShareLost, mismatch("co-signer %s no longer knows the ceremony whose share it had prepared", c.Name()))
	}
	if err != nil {
		return fmt.Errorf("asking the co-signer for the prepared share: %w", err)
	}
	if err := fits(s, r.PendingShareSet, r.Head.PublicKey, j.known.Address); err != nil {
		return attention(store.PreparedShareLost, err)
	}
	if s.Fingerprint != r.Fingerprint {
		return attention(store.PreparedShareLost, mismatch("co-signer %s has another share than the one it had prepared", c.Name()))
	}
	return nil
}

// doubt puts on record that a swap may have happened, before anything is
// asked about it.
func (j *job) doubt(ctx context.Context, asked error) error {
	if class, _ := provider.ClassOf(asked); asked == nil || class != provider.InDoubt {
		return nil
	}
	now := j.Store.Now()
	if err := j.Store.MarkInDoubt(ctx, j.Lease.Epoch(), j.r.Wallet.ID, now); err != nil {
		return err
	}
	if j.r.InDoubtSince.IsZero() {
		j.r.InDoubtSince = now
	}
	j.log.Warn("swap in doubt", "attempt_id", j.r.AttemptID, "error", asked)
	return nil
}

// refused turns a definite no from the vendor into a person's business; what
// time may mend stays what it is.
func refused(err error) error {
	switch class, _ := provider.ClassOf(err); class {
	case provider.Terminal, provider.Verification:
		return attention(store.PromoteRefused, err)
	}
	return err
}

// swapped records what the vendor has confirmed: the new set is active.
func (j *job) swapped(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	now := j.Store.Now()
	e := store.Follow(r.Head, store.HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID,
		Outcome: store.Activated, Trigger: r.Trigger, Tick: r.Tick, OpenedAt: r.OpenedAt, DecidedAt: now,
		RotationID: r.RotationID, AttemptID: r.AttemptID, ShareSet: r.PendingShareSet, Replaced: r.OldShareSet,
		KeyFingerprint: store.KeyFingerprint(r.Head.PublicKey), Actor: r.Actor})
	step := store.PromotedStep{Entry: e}
	if grace, ok := p.RetireAfter(j.wallet()); ok {
		step.DueAt = now.Add(grace)
	}
	if err := j.promoted.record(ctx, j.Lease.Epoch(), step); err != nil {
		return false, err
	}
	r.Head = e.Head(r.Head)
	r.State, r.PromotedAt, r.InDoubtSince, r.Attention = store.Promoted, now, time.Time{}, ""
	j.log.Info("promoted", "attempt_id", r.AttemptID, "share_set", r.PendingShareSet, "replaced", r.OldShareSet)
	return false, nil
}

// commit handles a rotation in promoted: the co-signer makes the new share
// current, and the rotation is over.
func (j *job) commit(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	j.closeSession()
	if p.CoSigned() {
		started := time.Now()
		err := j.commitAt(ctx, r.AttemptID, cosigner.Commit{ShareSetID: r.PendingShareSet, Fingerprint: r.Fingerprint})
		if errors.Is(err, cosigner.ErrConflict) || errors.Is(err, errUnknown) {
			err = j.alreadyCurrent(ctx, err)
		}
		if err != nil {
			return j.stay(err)
		}
		j.Metrics.phase(r, "commit", started)
	}
	if err := j.committed.record(ctx, j.Lease.Epoch(), store.CommittedStep{
		WalletID: r.Wallet.ID, AttemptID: r.AttemptID, At: j.Store.Now(),
	}); err != nil {
		return false, err
	}
	j.log.Info("rotation succeeded", "attempt_id", r.AttemptID, "share_set", r.PendingShareSet, "generation", r.Head.Generation)
	j.Metrics.succeeded(r, j.Store.Now())
	return true, nil
}

// alreadyCurrent decides what a co-signer's refusal to commit means: nothing
// when the new share is current there, else the key is at risk, because the
// vendor no longer signs with the old one.
func (j *job) alreadyCurrent(ctx context.Context, refusal error) error {
	held, err := j.held(ctx)
	switch {
	case errors.Is(err, errUnknown):
		return attention(store.KeyAtRisk, mismatch("the vendor uses share set %s: %w", j.r.PendingShareSet, err))
	case err != nil:
		return err
	case held.CurrentShareSetID == j.r.PendingShareSet:
		return nil
	}
	return attention(store.KeyAtRisk, mismatch("the vendor uses share set %s, the co-signer's current share is of %s: %w",
		j.r.PendingShareSet, quoted(held.CurrentShareSetID), refusal))
}

package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// statusPoll is how often a running ceremony is asked about at the co-signer.
const statusPoll = 250 * time.Millisecond

// open begins the attempt at the vendor. Its intent is durable.
func (j *job) open(ctx context.Context, p provider.Provider) (done bool, err error) {
	// The call's deadline bounds Open; the session that it returns outlives it
	// and ends with ctx.
	calling, cancel, err := j.call(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	started := time.Now()
	told := false
	session, err := p.Open(calling, j.attempt(), j.checkpointer(&told))
	if err != nil {
		return j.openFailed(atVendor(err), told)
	}
	j.session = session
	j.Metrics.phase(j.r, "open", started)
	return false, nil
}

// openFailed decides whether a failed Open has left anything at the vendor.
// told: it came as far as a reference, recorded or refused here.
func (j *job) openFailed(err error, told bool) (done bool, stop error) {
	var classified *provider.Error
	if !errors.As(err, &classified) && !told {
		// Nobody vouches for it that nothing was opened.
		err = provider.Errorf(provider.InDoubt, provider.ReasonInternal, "opening: %w", err)
	}
	if class, _ := provider.ClassOf(err); class != provider.InDoubt && !told {
		return j.retreated(err)
	}
	return j.failed(err)
}

// checkpointer makes what Open or Resume obtained durable. told is set when
// the vendor is known to have opened something, whether it is recorded or not.
func (j *job) checkpointer(told *bool) provider.Checkpoint {
	return func(ctx context.Context, pending string, refs provider.Refs) error {
		*told = true
		r := j.r
		if pending != "" && pending == r.OldShareSet {
			return mismatch("the vendor named the active share set %s as the pending one", pending)
		}
		refs.ShareSet = pending
		if err := j.checkpoint.record(ctx, j.Lease.Epoch(), store.CheckpointStep{
			WalletID: r.Wallet.ID, AttemptID: r.AttemptID, PendingShareSet: pending, Refs: refs,
		}); err != nil {
			return recording(err)
		}
		r.Refs = refs
		if pending != "" {
			r.State, r.PendingShareSet = store.Ceremony, pending
		}
		return nil
	}
}

// ceremony handles a rotation in opening or ceremony: the new shares are being
// made.
func (j *job) ceremony(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	if j.session == nil {
		return j.found(ctx, p)
	}
	if r.Wish == store.WishAbort {
		return j.abort(ctx, p)
	}
	if r.State == store.Opening {
		return j.failed(provider.Errorf(provider.InDoubt, provider.ReasonInternal,
			"the vendor's reference of the pending share set was never told"))
	}

	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, j.Timing.Ceremony)
	defer cancel()
	status, ready, err := j.bothParties(limited, p)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		return j.failed(j.late(limited, err))
	}
	if !ready.Ready {
		return j.notYet(ready)
	}
	if err := j.verify(p, status, ready); err != nil {
		return j.failed(attention(store.Mismatch, err))
	}
	if err := j.recordPrepared(ctx, status.Fingerprint, false); err != nil {
		return false, err
	}
	j.fresh = true
	j.Metrics.phase(r, "ceremony", started)
	return false, nil
}

// abort gives the attempt up because a person asked for it, unless the vendor
// uses its set already: then the record was set back, and the wish comes too
// late.
func (j *job) abort(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	switch active, err := j.active(ctx, p); {
	case err != nil:
		return j.stay(err)
	case active == r.PendingShareSet && !p.CoSigned():
		j.log.Warn("the vendor is ahead of the record", "attempt_id", r.AttemptID, "share_set", active)
		return false, j.recordPrepared(ctx, "", true)
	}
	return j.failed(j.asked())
}

// asked is the failure of an attempt that a person wanted to end.
func (j *job) asked() error {
	return provider.Errorf(provider.Retryable, provider.ReasonInvalidState, "aborted by %s", j.r.WishActor)
}

// recordPrepared passes the commit point. swapped: the vendor has passed it.
func (j *job) recordPrepared(ctx context.Context, fingerprint string, swapped bool) error {
	r := j.r
	now := j.Store.Now()
	if err := j.prepared.record(ctx, j.Lease.Epoch(), store.PreparedStep{
		WalletID: r.Wallet.ID, AttemptID: r.AttemptID, PendingShareSet: r.PendingShareSet, Fingerprint: fingerprint, At: now, Swapped: swapped,
	}); err != nil {
		return err
	}
	r.State, r.Fingerprint, r.PreparedAt, r.Wish = store.Prepared, fingerprint, now, ""
	j.log.Info("prepared", "attempt_id", r.AttemptID, "share_set", r.PendingShareSet)
	return nil
}

// bothParties waits until co-signer and vendor have both said that their side
// is complete, or one of them failed.
func (j *job) bothParties(ctx context.Context, p provider.Provider) (status cosigner.Status, ready provider.Readiness, err error) {
	g, ctx := errgroup.WithContext(ctx)
	if p.CoSigned() {
		g.Go(func() (err error) {
			status, err = j.coSign(ctx)
			return err
		})
	}
	g.Go(func() (err error) {
		for {
			ready, err = j.session.Await(ctx)
			// Where a co-signer takes part, the room lives in this process and
			// is waited for here; everything else is parked.
			if err != nil || ready.Ready || !p.CoSigned() {
				return err
			}
			if !pause(ctx, max(ready.CheckAgain, statusPoll)) {
				return ctx.Err()
			}
		}
	})
	return status, ready, g.Wait()
}

// coSign lets the co-signer take part, and waits until its new share is
// durable.
func (j *job) coSign(ctx context.Context) (cosigner.Status, error) {
	c, err := j.coSigner()
	if err != nil {
		return cosigner.Status{}, err
	}
	r := j.r
	ask := func(f func(context.Context) (cosigner.Status, error)) (cosigner.Status, error) {
		calling, cancel, err := j.call(ctx)
		if err != nil {
			return cosigner.Status{}, err
		}
		defer cancel()
		return f(calling)
	}
	s, err := ask(func(ctx context.Context) (cosigner.Status, error) {
		return c.Start(ctx, cosigner.Ceremony{
			CeremonyID: r.AttemptID, Provider: r.Wallet.Provider, Wallet: r.Wallet.ExternalID,
			Address: j.known.Address, Chain: j.known.Chain, RoomID: r.Refs.Room,
			ShareSetID: r.PendingShareSet, PreviousShareSetID: r.OldShareSet,
			ServerKeygenIDs: r.Refs.ServerKeygenIDs, NewServerKeygenIDs: r.Refs.NewServerKeygenIDs,
		})
	})
	if err != nil {
		return s, fmt.Errorf("starting the ceremony at the co-signer: %w", err)
	}
	for s.State == cosigner.Running {
		if !pause(ctx, statusPoll) {
			return s, ctx.Err()
		}
		if s, err = ask(func(ctx context.Context) (cosigner.Status, error) { return c.Status(ctx, r.AttemptID) }); err != nil {
			return s, fmt.Errorf("asking the co-signer about the ceremony: %w", err)
		}
	}
	if s.State == cosigner.Failed || s.State == cosigner.Aborted {
		return s, provider.Errorf(provider.Retryable, provider.ReasonCoSigner, "co-signer %s says that the ceremony %s", c.Name(), s.State)
	}
	return s, nil
}

// verify is what prepared promises.
func (j *job) verify(p provider.Provider, s cosigner.Status, ready provider.Readiness) error {
	r := j.r
	if ready.ShareSet != r.PendingShareSet {
		return mismatch("the vendor completed %s, pending is share set %s", quoted(ready.ShareSet), r.PendingShareSet)
	}
	if ready.PublicKey != "" && !sameHex(ready.PublicKey, r.Head.PublicKey) {
		return mismatch("the vendor's new share set has public key %s, on record is %s", ready.PublicKey, r.Head.PublicKey)
	}
	if p.CoSigned() {
		return fits(s, r.PendingShareSet, r.Head.PublicKey, j.known.Address)
	}
	if ready.PublicKey == "" {
		return mismatch("nobody tells the public key of the new share set")
	}
	return nil
}

// notYet parks a rotation whose vendor waits for somebody.
func (j *job) notYet(ready provider.Readiness) (done bool, err error) {
	r := j.r
	now := j.Store.Now()
	if now.After(r.OpenedAt.Add(j.Timing.Approval)) {
		return j.failed(provider.Errorf(provider.Retryable, provider.ReasonPartyUnavailable,
			"nobody approved within %s; waited for %s", j.Timing.Approval, ready.WaitsFor))
	}
	if j.Breaker.Failures > 0 {
		// Approvals take hours, and the vendor has done its part.
		if err := j.Store.ProviderAnswered(j.ctx, r.Wallet.Provider, r.Wallet.ID); err != nil {
			return false, err
		}
	}
	step := store.ParkStep{NextCheck: now.Add(max(ready.CheckAgain, time.Second)), Error: ready.WaitsFor}
	if ready.WaitsFor != "" {
		step.Attention = store.WaitsForApproval
	}
	j.closeSession()
	return true, j.recordPark(step)
}

// late names a ceremony that ran out of time.
func (j *job) late(limited context.Context, err error) error {
	if limited.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return provider.Errorf(provider.Retryable, provider.ReasonTimeout, "the ceremony was not complete within %s", j.Timing.Ceremony)
	}
	return err
}

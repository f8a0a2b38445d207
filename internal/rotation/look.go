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

var errUnknown = cosigner.ErrUnknown

// look is rules 1 and 2: it compares vendor, co-signer and record before an
// attempt, records the baseline of a wallet that has none, and brings the
// record up to a share set that was activated without it.
func (j *job) look(ctx context.Context, p provider.Provider) error {
	v, err := j.inspect(ctx, p)
	// That the wallet must not be refreshed matters to who wants to refresh it.
	if err != nil && !(j.r.Wish == store.WishReconcile && told(v, err)) {
		return fmt.Errorf("looking at the wallet: %w", err)
	}
	seen := view{wallet: j.r.Wallet, head: j.r.Head, coSigned: p.CoSigned(), vendor: v}
	if p.CoSigned() {
		if seen.held, err = j.held(ctx); errors.Is(err, errUnknown) {
			seen.unheld = err
		} else if err != nil {
			return err
		}
	}
	f := judge(seen)
	if f.follow {
		if err := j.reconcile(ctx, p, v); err != nil {
			return err
		}
	}
	switch {
	case f.err != nil:
		return f.err
	case f.baseline != "":
		return j.recordBaseline(ctx, v, f.baseline)
	case f.commit != nil:
		return j.commitAt(ctx, f.commit.CeremonyID, cosigner.Commit{ShareSetID: v.ActiveShareSet, Fingerprint: f.commit.Fingerprint})
	}
	return nil
}

// inspect asks the vendor, and remembers the answer.
func (j *job) inspect(ctx context.Context, p provider.Provider) (provider.Inspection, error) {
	v, err := inspect(ctx, p, j.wallet(), j.Timing.Call)
	if v.ActiveShareSet != "" {
		j.known = v
	}
	return v, err
}

func inspect(ctx context.Context, p provider.Provider, w provider.Wallet, timeout time.Duration) (provider.Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v, err := p.Inspect(ctx, w)
	if err == nil && v.ActiveShareSet == "" {
		err = provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "the vendor names no active share set for this wallet")
	}
	return v, atVendor(err)
}

// told says whether the vendor has told which share set is active, although it
// or its client then found the wallet unfit for a refresh.
func told(v provider.Inspection, err error) bool {
	class, _ := provider.ClassOf(err)
	return v.ActiveShareSet != "" && (err == nil || class == provider.Terminal)
}

// active asks the vendor which share set it uses. From the commit point on
// nothing else is of interest: that the wallet must not be refreshed (again)
// does not keep a swap from being finished.
func (j *job) active(ctx context.Context, p provider.Provider) (string, error) {
	v, err := j.inspect(ctx, p)
	if err != nil && !told(v, err) {
		return "", fmt.Errorf("asking which share set is active: %w", err)
	}
	return v.ActiveShareSet, nil
}

// held asks the co-signer what it holds for the wallet.
func (j *job) held(ctx context.Context) (cosigner.WalletStatus, error) {
	c, err := j.coSigner()
	if err != nil {
		return cosigner.WalletStatus{}, err
	}
	return held(ctx, c, j.r.Wallet, j.Timing.Call)
}

func held(ctx context.Context, c *cosigner.Client, w store.Wallet, timeout time.Duration) (cosigner.WalletStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status, err := c.Wallet(ctx, w.Provider, w.ExternalID)
	if errors.Is(err, errUnknown) {
		return cosigner.WalletStatus{}, provider.Errorf(provider.Terminal, provider.ReasonCoSigner,
			"co-signer %s holds no share of this wallet: %w", c.Name(), err)
	}
	if err != nil {
		return cosigner.WalletStatus{}, fmt.Errorf("asking the co-signer what it holds: %w", err)
	}
	return status, nil
}

// recordBaseline is what every later check compares with.
func (j *job) recordBaseline(ctx context.Context, v provider.Inspection, publicKey string) error {
	r := j.r
	e := store.Follow(r.Head, store.HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation, PolicyID: r.PolicyID,
		Outcome: store.Baseline, DecidedAt: j.Store.Now(), RotationID: r.RotationID, ShareSet: v.ActiveShareSet,
		KeyFingerprint: store.KeyFingerprint(publicKey), Actor: r.Actor})
	if err := j.baseline.record(ctx, j.Lease.Epoch(), store.BaselineStep{Entry: e, PublicKey: publicKey}); err != nil {
		return recording(err)
	}
	r.Head = e.Head(r.Head)
	r.Head.PublicKey = publicKey
	j.log.Info("baseline recorded", "share_set", v.ActiveShareSet)
	return nil
}

// reconcile has the record follow the vendor's active set, which may be
// followed by rule 2. What was given up is not adopted on that alone.
func (j *job) reconcile(ctx context.Context, p provider.Provider, v provider.Inspection) error {
	r := j.r
	if !p.CoSigned() {
		if err := givenUp(ctx, j.Store, r.Wallet.ID, v.ActiveShareSet, r.Head.ActiveShareSet); err != nil {
			return err
		}
	}
	e := store.Follow(r.Head, store.HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID,
		Outcome: store.Reconciled, Trigger: r.Trigger, Tick: r.Tick, DecidedAt: j.Store.Now(), RotationID: r.RotationID,
		ShareSet: v.ActiveShareSet, Replaced: r.Head.ActiveShareSet, KeyFingerprint: store.KeyFingerprint(r.Head.PublicKey), Actor: r.Actor})
	step := store.ReconcileStep{Entry: e}
	if grace, ok := p.RetireAfter(j.wallet()); ok {
		step.DueAt = e.Row.DecidedAt.Add(grace)
	}
	taken, err := j.Store.Reconcile(ctx, j.Lease.Epoch(), []store.ReconcileStep{step})
	if err == nil && !taken[r.Wallet.ID] {
		err = store.ErrNotRecorded
	}
	if err != nil {
		return recording(err)
	}
	j.log.Warn("record reconciled with the vendor", "share_set", v.ActiveShareSet, "replaced", r.Head.ActiveShareSet)
	r.Head = e.Head(r.Head)
	j.Metrics.result(r, "reconciled")
	return nil
}

// givenUp refuses a share set that the history calls abandoned. Where there is
// a co-signer, it has been told so and does not hold the set any more.
func givenUp(ctx context.Context, s *store.Store, walletID int64, shareSet, recorded string) error {
	rows, _, err := s.History(ctx, walletID)
	if err != nil {
		return recording(err)
	}
	for _, row := range rows {
		if row.ShareSet == shareSet && (row.Outcome == store.Abandoned || row.Outcome == store.Rejected) {
			return attention(store.Drift, mismatch("the vendor uses share set %s, which was given up on %s; on record is %s",
				shareSet, row.DecidedAt.Format(time.DateTime), recorded))
		}
	}
	return nil
}

// commitAt asks the co-signer to make a share current.
func (j *job) commitAt(ctx context.Context, ceremony uuid.UUID, commit cosigner.Commit) error {
	c, err := j.coSigner()
	if err != nil {
		return err
	}
	ctx, cancel, err := j.call(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	_, err = c.Commit(ctx, ceremony, commit)
	if err == nil {
		j.commits.succeeded(c.Name())
		return nil
	}
	if !errors.Is(err, cosigner.ErrConflict) && !errors.Is(err, errUnknown) {
		j.commits.failed(c.Name()) // else it is this share's trouble, not the co-signer's
	}
	return fmt.Errorf("committing at the co-signer: %w", err)
}

func quoted(shareSet string) string {
	if shareSet == "" {
		return "no share set"
	}
	return "share set " + shareSet
}

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
	if err != nil {
		return fmt.Errorf("looking at the wallet: %w", err)
	}
	var held cosigner.WalletStatus
	if p.CoSigned() {
		if held, err = j.held(ctx); errors.Is(err, errUnknown) && j.r.Head.ActiveShareSet != "" {
			// It had one when the baseline was recorded.
			return attention(store.KeyAtRisk, mismatch("the vendor uses share set %s: %w", v.ActiveShareSet, err))
		} else if err != nil {
			return err
		}
	}
	if j.r.Head.ActiveShareSet == "" {
		key, err := baselineKey(j.r.Wallet, p.CoSigned(), v, held)
		if err != nil {
			return attention(store.BaselineMismatch, err)
		}
		return j.recordBaseline(ctx, v, key)
	}
	if err := sameKey(j.r.Wallet, j.r.Head.PublicKey, v, p.CoSigned(), held); err != nil {
		return attention(store.Mismatch, err)
	}
	if v.ActiveShareSet != j.r.Head.ActiveShareSet {
		if err := j.reconcile(ctx, p, v, held); err != nil {
			return err
		}
	}
	if p.CoSigned() {
		return j.settleCoSigner(ctx, held)
	}
	return nil
}

// inspect asks the vendor, and remembers the answer.
func (j *job) inspect(ctx context.Context, p provider.Provider) (provider.Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, j.Timing.Call)
	defer cancel()
	v, err := p.Inspect(ctx, j.wallet())
	if err == nil && v.ActiveShareSet == "" {
		err = provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "the vendor names no active share set for this wallet")
	}
	if v.ActiveShareSet != "" {
		j.known = v
	}
	return v, err
}

// active asks the vendor which share set it uses. From the commit point on
// nothing else is of interest: that the wallet must not be refreshed (again)
// does not keep a swap from being finished.
func (j *job) active(ctx context.Context, p provider.Provider) (string, error) {
	v, err := j.inspect(ctx, p)
	if class, _ := provider.ClassOf(err); err != nil && (class != provider.Terminal || v.ActiveShareSet == "") {
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
	ctx, cancel := context.WithTimeout(ctx, j.Timing.Call)
	defer cancel()
	held, err := c.Wallet(ctx, j.r.Wallet.Provider, j.r.Wallet.ExternalID)
	if errors.Is(err, errUnknown) {
		return cosigner.WalletStatus{}, provider.Errorf(provider.Terminal, provider.ReasonCoSigner,
			"co-signer %s holds no share of this wallet: %w", c.Name(), err)
	}
	if err != nil {
		return cosigner.WalletStatus{}, fmt.Errorf("asking the co-signer what it holds: %w", err)
	}
	return held, nil
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

// reconcile is for a vendor whose active set is not the one on record: after a
// restore or failover of our database, or a rotation by hand. If the co-signer
// holds the vendor's set, nothing is lost and the record follows; else a
// person must look. Where there is no co-signer the vendor's parties hold it,
// and that the key is the one on record, which has been compared, is all that
// can be known; but what was given up is not adopted on that alone.
func (j *job) reconcile(ctx context.Context, p provider.Provider, v provider.Inspection, held cosigner.WalletStatus) error {
	r := j.r
	switch {
	case p.CoSigned() && !holds(held, v.ActiveShareSet):
		return attention(store.Drift, mismatch("the vendor uses share set %s, on record is %s, and the co-signer does not hold the vendor's",
			v.ActiveShareSet, r.Head.ActiveShareSet))
	case !p.CoSigned() && v.PublicKey == "":
		return attention(store.Drift, mismatch("the vendor uses share set %s, on record is %s, and nobody tells the vendor's public key",
			v.ActiveShareSet, r.Head.ActiveShareSet))
	case !p.CoSigned():
		if err := j.neverGivenUp(ctx, v.ActiveShareSet); err != nil {
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

// neverGivenUp refuses a share set that the history calls abandoned. Where there
// is a co-signer, it has been told so and does not hold the set any more.
func (j *job) neverGivenUp(ctx context.Context, shareSet string) error {
	rows, _, err := j.Store.History(ctx, j.r.Wallet.ID)
	if err != nil {
		return recording(err)
	}
	for _, row := range rows {
		if row.ShareSet == shareSet && (row.Outcome == store.Abandoned || row.Outcome == store.Rejected) {
			return attention(store.Drift, mismatch("the vendor uses share set %s, which was given up on %s; on record is %s",
				shareSet, row.DecidedAt.Format(time.DateTime), j.r.Head.ActiveShareSet))
		}
	}
	return nil
}

// settleCoSigner makes sure that the co-signer's current share is the one that
// fits the active set; a commit that never reached it is made up for here.
func (j *job) settleCoSigner(ctx context.Context, held cosigner.WalletStatus) error {
	active := j.r.Head.ActiveShareSet
	if held.CurrentShareSetID == active {
		return nil
	}
	switch able := prepared(held, active); len(able) {
	case 0:
		return attention(store.KeyAtRisk, mismatch("the vendor's active share set is %s, but the co-signer's current share is of %s",
			active, quoted(held.CurrentShareSetID)))
	case 1:
		return j.commitAt(ctx, able[0].CeremonyID, cosigner.Commit{ShareSetID: active, Fingerprint: able[0].Fingerprint})
	default:
		return attention(store.KeyAtRisk, mismatch("the co-signer has prepared %d shares of the active share set %s, and nobody can tell which one fits",
			len(able), active))
	}
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

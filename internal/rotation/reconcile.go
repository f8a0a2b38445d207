package rotation

import (
	"context"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// onlyLook handles a rotation that somebody asked to reconcile a wallet with:
// the look before an attempt, and no attempt. Pauses do not hold it, since it
// begins nothing at the vendor. What needs a person is left as failed, like any
// look; what time may mend is repeated for as long as it takes, because nobody
// else would begin anything with a wallet that cannot be looked at.
func (j *job) onlyLook(ctx context.Context, p provider.Provider) (done bool, err error) {
	r := j.r
	if r.ErrorClass == provider.Terminal || r.ErrorClass == provider.Verification {
		why, _ := j.sealed()
		return true, j.fail(ctx, why)
	}
	if now := j.Store.Now(); r.NextCheck.After(now) {
		step := store.ParkStep{NextCheck: r.NextCheck, Class: r.ErrorClass, Error: r.Error}
		if r.ErrorClass != "" && r.Attempt >= r.MaxAttempts {
			step.Attention = store.NeedsPerson
		}
		return true, j.recordPark(step)
	}
	if j.stopping() {
		return true, j.parkUntil(j.Store.Now().Add(pausedCheck))
	}
	before := r.Head
	if err := j.look(ctx, p); err != nil {
		return j.failed(err)
	}
	if err := j.Store.Drop(ctx, j.Lease.Epoch(), r); err != nil {
		return false, err
	}
	j.log.Info("vendor, co-signer and record compared", "actor", r.WishActor, "share_set", r.Head.ActiveShareSet,
		"reconciled", before.ActiveShareSet != "" && before.ActiveShareSet != r.Head.ActiveShareSet)
	return true, nil
}

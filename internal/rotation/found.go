package rotation

import (
	"context"
	"errors"
	"fmt"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// found handles a rotation in opening or ceremony without a session here: it
// was parked, another process opened it, or our database was set back. The
// provider says whether it can go on.
func (j *job) found(ctx context.Context, p provider.Provider) (done bool, err error) {
	calling, cancel, err := j.call(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	told := false
	session, err := p.Resume(calling, j.attempt(), j.checkpointer(&told))
	class, _ := provider.ClassOf(err)
	switch {
	case err == nil:
		j.session = session
		if p.CoSigned() {
			// The new share must have the address that the vendor tells.
			if _, err := j.active(ctx, p); err != nil {
				return j.stay(err)
			}
		}
		return false, nil
	case errors.Is(err, provider.ErrSessionLost):
		return j.sessionLost(ctx, p, err)
	case class == provider.Retryable || class == provider.RateLimited:
		// What may be under way is not given up because nobody could be asked.
		return j.stay(atVendor(err))
	}
	return j.failed(atVendor(err))
}

// sessionLost gives the attempt up, unless the vendor has left the old share
// set meanwhile.
func (j *job) sessionLost(ctx context.Context, p provider.Provider, lost error) (done bool, err error) {
	switch active, err := j.active(ctx, p); {
	case err != nil:
		return j.stay(err)
	case active != j.r.OldShareSet && p.CoSigned():
		return j.ahead(ctx, active, lost)
	}
	return j.failed(j.lost(lost))
}

// lost turns "the ceremony died with its process" into what it means for the
// state: with a recorded set the attempt is simply given up, without one a set
// may exist that nobody can name.
func (j *job) lost(err error) error {
	if j.r.Wish == store.WishAbort {
		return j.asked()
	}
	if j.r.State == store.Opening {
		return provider.Errorf(provider.InDoubt, provider.ReasonInternal, "the process ended while the vendor was asked to open: %w", err)
	}
	return provider.Errorf(provider.Retryable, provider.ReasonInternal, "%w", err)
}

// ahead is for a vendor that has left the old share set although the record
// says that nothing was promoted: a failover of our database lost commits. If
// the co-signer says that the vendor's set is the one of this very attempt, the
// record is brought up to the commit point and rolls forward from there. Giving
// the attempt up instead would tell the co-signer to abort the only share that
// still signs.
func (j *job) ahead(ctx context.Context, active string, lost error) (done bool, err error) {
	r := j.r
	c, err := j.coSigner()
	if err != nil {
		return j.stay(err)
	}
	asking, cancel := context.WithTimeout(ctx, j.Timing.Call)
	defer cancel()
	s, err := c.Status(asking, r.AttemptID)
	ours := err == nil && s.ShareSetID == active
	switch {
	case err != nil && !errors.Is(err, errUnknown):
		return j.stay(fmt.Errorf("asking the co-signer about the attempt: %w", err))
	case !ours && active == r.PendingShareSet:
		return j.stay(attention(store.KeyAtRisk, mismatch("the vendor uses share set %s, of which the co-signer knows nothing", active)))
	case !ours || r.PendingShareSet != "" && active != r.PendingShareSet:
		// Somebody else's doing: the look before the next attempt judges it.
		return j.failed(j.lost(lost))
	}
	if s.State == cosigner.Committed {
		s.State = cosigner.Prepared // and more
	}
	if err := fits(s, active, r.Head.PublicKey, j.known.Address); err != nil {
		return j.stay(attention(store.KeyAtRisk, fmt.Errorf("the vendor uses share set %s already: %w", active, err)))
	}
	if r.State == store.Opening {
		told := false
		if err := j.checkpointer(&told)(ctx, active, r.Refs); err != nil {
			return j.failed(err)
		}
	}
	j.log.Warn("the vendor is ahead of the record", "attempt_id", r.AttemptID, "share_set", active)
	return false, j.recordPrepared(ctx, s.Fingerprint, true)
}

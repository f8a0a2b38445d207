package rotation

import (
	"context"
	"errors"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// circuitLook is how soon at most a rotation that was not admitted asks again,
// when nobody can tell it when: a probe is under way.
const circuitLook = 5 * time.Second

// ofVendor marks what a call to the vendor came to. A co-signer's errors have
// the same classes and some of the same reasons.
type ofVendor struct{ err error }

func (v *ofVendor) Error() string { return v.err.Error() }
func (v *ofVendor) Unwrap() error { return v.err }

func atVendor(err error) error {
	if err == nil {
		return nil
	}
	return &ofVendor{err}
}

// vendorsFault says whether a failure speaks against the provider as a whole:
// silence, its own errors, and that it does not let us in. What it refuses for
// this wallet, what contradicts the record, what it asks to be slower about and
// what waits for others says nothing about the next wallet. Neither does a
// ceremony that broke or ran out of time, so Await is not marked: the vendor
// says so too when it was the other party. A vendor that is down shows at the
// calls before and after.
func vendorsFault(err error) bool {
	var v *ofVendor
	if !errors.As(err, &v) {
		return false
	}
	switch class, reason := provider.ClassOf(err); reason {
	case provider.ReasonTimeout, provider.ReasonProviderError:
		return class == provider.Retryable || class == provider.InDoubt
	case provider.ReasonAuth:
		return true
	}
	return false
}

// admitted says until when this attempt may not begin; zero: it may, now.
func (j *job) admitted(ctx context.Context) (until time.Time, err error) {
	if j.Breaker.Failures == 0 && j.MaxPerHour == 0 {
		return time.Time{}, nil
	}
	r := j.r
	err = j.admit.record(ctx, j.Lease.Epoch(), store.AdmitStep{WalletID: r.Wallet.ID, Provider: r.Wallet.Provider})
	if !errors.Is(err, store.ErrNotRecorded) {
		return time.Time{}, err
	}
	return j.Store.AdmitAfter(ctx, r.Wallet.Provider, j.MaxPerHour, j.circuitLook())
}

func (j *job) circuitLook() time.Duration {
	if p := j.Breaker.Pause; p > 0 {
		return min(p, circuitLook)
	}
	return circuitLook
}

// blame counts a failure against the provider's circuit, if it is the
// provider's fault.
func (j *job) blame(err error) (store.Fault, error) {
	if !vendorsFault(err) {
		return store.Fault{}, nil
	}
	r := j.r
	f, failed := j.Store.ProviderFailed(j.ctx, r.Wallet.Provider, r.Wallet.ID, j.Breaker, err.Error())
	if failed != nil {
		return f, failed
	}
	if f.Opened {
		j.log.Warn("circuit opened: no attempt begins at this provider, but for one probe after the pause", "probe_after", f.Until, "error", err)
	}
	return f, nil
}

// excuse takes the provider's fault from the rotation while the circuit is
// open: the attempt does not count, and no person is needed for this wallet.
func (j *job) excuse(f *failedAttempt) error {
	fault, err := j.blame(f.cause)
	if err != nil || !fault.Open {
		return err
	}
	f.counted = max(0, f.counted-1)
	if f.class == provider.Terminal {
		f.class = provider.Retryable
	}
	next := fault.Until
	if fault.Opened {
		next = next.Add(j.circuitLook()) // another wallet is the next probe, if one waits
	}
	if next.After(f.next) {
		f.next = next
	}
	return nil
}

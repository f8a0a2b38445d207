package rotation

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

func TestRule7CleanUpOnlyAfterGrace(t *testing.T) {
	retires := func(r *rig, h hook) *[]provider.Attempt {
		var seen []provider.Attempt
		r.spy.on(onRetire, func(ctx context.Context, a provider.Attempt) error {
			seen = append(seen, a)
			if h != nil {
				return h(ctx, a)
			}
			return nil
		})
		return &seen
	}
	retire := func(x *replica, want int) {
		x.rig.t.Helper()
		if n, err := x.Retire(x.rig.t.Context()); n != want || err != nil {
			x.rig.t.Fatalf("%d clean-ups were tried, want %d; %v", n, want, err)
		}
	}
	due := `UPDATE retirements SET next_try = now() - interval '1 second' WHERE next_try IS NOT NULL`

	t.Run("after the grace period, and on record", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		hour := time.Hour
		r.spy.grace = &hour
		seen := retires(r, nil)
		first := r.truth(0).ActiveShareSet
		x := r.rotated()
		retire(x, 0)
		if left := value[float64](r, `SELECT extract(epoch FROM next_try - promoted_at)::float8 FROM retirements`); left != 3600 {
			t.Errorf("the clean-up is due %v s after the swap", left)
		}
		r.exec(due)
		retire(x, 1)
		retire(x, 0)
		if got := *seen; len(got) != 1 || got[0].OldShareSet != first || got[0].PendingShareSet != r.truth(0).ActiveShareSet {
			t.Errorf("cleaned up: %+v", got)
		}
		r.histories("baseline", "activated", "retired")
		if what := value[string](r, `SELECT share_set FROM share_set_history WHERE outcome = 'retired'`); what != first {
			t.Errorf("on record as retired is %s, not %s", what, first)
		}
		r.healthy()
	})

	t.Run("not before the co-signer has committed", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		seen := retires(r, nil)
		x := r.replica()
		r.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503})
		x.claim()
		x.needs(store.CommitPending, provider.Retryable)
		retire(x, 0)
		r.mended()
		x.settled()
		retire(x, 1)
		if len(*seen) != 1 {
			t.Errorf("cleaned up %d times", len(*seen))
		}
	})

	t.Run("not while the vendor uses the old set", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		seen := retires(r, nil)
		x := r.rotated()
		// As if the vendor had been set back.
		r.exec(`UPDATE retirements SET old_share_set = new_share_set, new_share_set = old_share_set`)
		retire(x, 1)
		if len(*seen) != 0 || value[string](r, `SELECT reason FROM attention`) != "verification" {
			t.Errorf("cleaned up %d times", len(*seen))
		}
		retire(x, 0) // a person must look
	})

	t.Run("not while the key is in question", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		seen := retires(r, nil)
		x := r.rotated()
		r.byHand(hand{commit: true})
		x.claim()
		x.needs(store.KeyAtRisk, provider.Verification)
		retire(x, 0)
		if len(*seen) != 0 {
			t.Error("the old set was cleaned up")
		}
	})

	for _, tt := range []struct {
		name  string
		err   *provider.Error
		tries int // before a person is called
	}{
		{"retried, then a person hears of it", provider.Errorf(provider.Retryable, provider.ReasonTimeout, "slow"), retireAttempts},
		{"terminal", provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "gone"), 1},
		{"verification", provider.Errorf(provider.Verification, provider.ReasonVerification, "a main group"), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			r.spy.grace = new(time.Duration)
			seen := retires(r, func(context.Context, provider.Attempt) error { return tt.err })
			x := r.rotated()
			for i := range tt.tries {
				if n := value[int](r, `SELECT count(*) FROM attention`); n != 0 {
					t.Fatalf("a person is called after %d tries", i)
				}
				r.exec(due)
				retire(x, 1)
			}
			if got := value[string](r, `SELECT detail FROM attention`); got != tt.err.Error() {
				t.Errorf("the person reads %q", got)
			}
			r.histories("baseline", "activated")
			retires(r, nil)
			r.ask("retry")
			retire(x, 1)
			if len(*seen) != tt.tries {
				t.Errorf("%d tries failed", len(*seen))
			}
			r.histories("baseline", "activated", "retired")
			r.healthy()
		})
	}

	t.Run("provider not configured any more", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		r.rotated()
		r.options.Providers = nil
		x := r.replica()
		retire(x, 1)
		if got := value[string](r, `SELECT error FROM retirements`); !strings.Contains(got, "not in the configuration") {
			t.Errorf("on record: %s", got)
		}
	})
	t.Run("vendor out of reach", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		seen := retires(r, nil)
		x := r.rotated()
		r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
		retire(x, 1)
		if len(*seen) != 0 || slices.Contains(r.outcomes(), "retired") {
			t.Error("cleaned up without having looked")
		}
	})
}

package rotation

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// callTime is short only where a call is to run out of it: everything else has
// to fit in.
func callTime(f faults.Fault) time.Duration {
	if f.Kind == faults.Latency {
		return time.Second
	}
	return patience
}

// polite is a vendor that says yes to a swap and does nothing, until done.
type polite struct {
	provider.Provider
	done atomic.Bool
}

func (p *polite) Promote(ctx context.Context, a provider.Attempt) error {
	if !p.done.Load() {
		return nil
	}
	return p.Provider.Promote(ctx, a)
}

func TestRule8UnknownOutcomesAreAsked(t *testing.T) {
	// Whatever becomes of the call that swaps: the vendor is asked what is
	// active, the same set is rolled forward, and it is swapped in once.
	for _, tt := range []struct {
		name   string
		fault  faults.Fault
		assume map[string]string
	}{
		{name: "reply lost", fault: faults.Fault{Kind: faults.LostReply}},
		{name: "request lost", fault: faults.Fault{Kind: faults.LostRequest}},
		{name: "slower than the deadline", fault: faults.Fault{Kind: faults.Latency, Delay: time.Minute}},
		{name: "late effect", fault: faults.Fault{Kind: faults.LateEffect, Delay: 100 * time.Millisecond}},
		{name: "reply cut off", fault: faults.Fault{Kind: faults.DropStream}},
		{name: "answered 500", fault: faults.Fault{Kind: faults.Status}},
		{name: "taken, not done", assume: map[string]string{assume.LocationsReply: assume.PendingOnce}},
	} {
		t.Run("swap: "+tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{Assume: tt.assume})
			r.options.Timing.Call = callTime(tt.fault)
			if tt.fault.Kind != "" {
				tt.fault.Operation, tt.fault.Times = "dynamic.locations", 1
				r.breaks(tt.fault)
			}
			x := r.replica()
			doubted := 0
			r.spy.on(onPromoted, func(context.Context, provider.Attempt) error {
				r.spy.on(onPromoted, nil)
				r.spy.on(onInspect, func(ctx context.Context, _ provider.Attempt) error {
					r.spy.on(onInspect, nil)
					if err := r.db.QueryRow(ctx, `SELECT count(in_doubt_since) FROM rotations WHERE state = 'prepared'`).Scan(&doubted); err != nil {
						t.Error(err)
					}
					return nil
				})
				return nil
			})
			x.claim()
			x.settled()
			r.healthy()
			r.histories("baseline", "activated")
			if w := r.truth(0); w.Generation != 1 || r.opened() != 1 {
				t.Errorf("generation %d, %d rooms", w.Generation, r.opened())
			}
			if doubted != 1 {
				t.Error("when the vendor was asked, the doubt was not on record")
			}
		})
	}

	t.Run("swap: a success that is none", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := &polite{Provider: r.spy}
		r.options.Providers = map[string]provider.Provider{"dynamic": p}
		x := r.replica()
		x.claim()
		x.needs(store.DoubtRemains, provider.InDoubt)
		if got := r.record(); got.State != "prepared" || !r.truth(0).CanSign {
			t.Errorf("on record %+v, truth %+v", got, r.truth(0))
		}
		p.done.Store(true)
		x.settled()
		r.healthy()
		r.histories("baseline", "activated")
	})

	t.Run("swap: doubt that remains calls a person, and goes on being asked about", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostRequest})
		x := r.replica()
		x.claim()
		x.needs(store.DoubtRemains, provider.InDoubt)
		if r.record().Frozen {
			t.Error("nobody asks any more")
		}
		r.mended()
		x.settled()
		r.healthy()
		r.histories("baseline", "activated")
	})

	// A refresh of unknown outcome: the set that may exist is abandoned without a
	// name, the wallet is left alone for the quiet time, and a new attempt begun.
	for _, tt := range []struct {
		name  string
		fault faults.Fault
	}{
		{"reply lost", faults.Fault{Kind: faults.LostReply}},
		{"request lost", faults.Fault{Kind: faults.LostRequest}},
		{"slower than the deadline", faults.Fault{Kind: faults.Latency, Delay: time.Minute}},
		{"late effect", faults.Fault{Kind: faults.LateEffect, Delay: 50 * time.Millisecond}},
		{"answered 500", faults.Fault{Kind: faults.Status}},
	} {
		t.Run("refresh: "+tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			r.options.Timing.Call = callTime(tt.fault)
			r.options.Timing.Quiet = 400 * time.Millisecond
			tt.fault.Operation, tt.fault.Times = "dynamic.refresh", 1
			r.breaks(tt.fault)
			r.rotated()
			r.healthy()
			r.histories("baseline", "abandoned", "activated")
			var name string
			var quiet float64
			r.must(r.db.QueryRow(t.Context(), `
				SELECT a.share_set, extract(epoch FROM n.opened_at - a.decided_at)::float8
				  FROM share_set_history a JOIN share_set_history n ON n.outcome = 'activated' WHERE a.outcome = 'abandoned'`).Scan(&name, &quiet))
			if name != "" || quiet < 0.4 {
				t.Errorf("abandoned %q, and left alone for %v s", name, quiet)
			}
		})
	}

	t.Run("refresh: a co-signer that cannot be told does not cut the quiet time", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.options.Timing.Quiet = 600 * time.Millisecond
		r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.LostReply, Times: 1},
			faults.Fault{Operation: "cosigner.abort", Kind: faults.Status, Status: 503, Times: 1})
		r.rotated()
		r.healthy()
		if quiet := value[float64](r, `
			SELECT extract(epoch FROM n.opened_at - a.decided_at)::float8
			  FROM share_set_history a JOIN share_set_history n ON n.outcome = 'activated' WHERE a.outcome = 'abandoned'`); quiet < 0.6 {
			t.Errorf("left alone for %v s", quiet)
		}
	})

	t.Run("refresh: a definite no opens nothing and leaves no history", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Reject, Times: 2})
		r.rotated()
		r.histories("baseline", "activated")
		r.healthy()
	})

	t.Run("refresh: rate limited, which is not counted and holds the provider", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 1`)
		r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 429, RetryAfter: 1, Times: 2})
		r.rotated()
		r.histories("baseline", "activated")
		if n := value[int](r, `SELECT count(*) FROM provider_state WHERE provider = 'dynamic' AND hold_until IS NOT NULL`); n != 1 {
			t.Error("the other replicas were not told")
		}
	})

	t.Run("a co-signer's wish for rest does not hold the vendor", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.breaks(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Status, Status: 429, RetryAfter: 1, Times: 1})
		r.rotated()
		r.healthy()
		if n := value[int](r, `SELECT count(*) FROM provider_state`); n != 0 {
			t.Error("the vendor is held")
		}
	})

	t.Run("a backend that does not name the pending set is refused", func(t *testing.T) {
		r := newRig(t, sandbox.Options{Assume: map[string]string{assume.RefreshFields: assume.Legacy}})
		x := r.replica()
		x.claim()
		x.needs(store.NeedsPerson, provider.Terminal)
		const want = "the vendor opened a room without naming the pending share set; this backend is too old for a safe swap"
		if text := r.record().Error; !strings.HasSuffix(text, want) {
			t.Errorf("the person reads %q", text)
		}
		if w := r.truth(0); w.Generation != 0 || !w.CanSign || slices.Contains(r.outcomes(), "activated") {
			t.Errorf("truth: %+v", w)
		}
		r.histories("baseline", "abandoned")
	})
}

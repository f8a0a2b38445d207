package rotation

import (
	"context"
	"net/http"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	sandboxed "github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// elsewhere is a wallet with a share backed up where a refresh would not reach.
var elsewhere = sandboxed.Shape{Backups: []string{"dynamic"}}

func TestAbort(t *testing.T) {
	for _, tt := range []struct {
		state   string
		call    string // during which the person asks
		history []string
	}{
		{"waiting", onInspect, []string{"baseline"}},
		{"waiting, while the co-signer is asked", onHeld, []string{"baseline"}},
		{"opening", onOpen, []string{"baseline", "abandoned"}},
		{"ceremony", onOpened, []string{"baseline", "abandoned"}},
		{"ceremony, both parties at work", onStart, []string{"baseline", "abandoned"}},
	} {
		t.Run(tt.state, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			x := r.replica()
			g := newGateway()
			r.holdUp(tt.call, g)
			x.claim()
			r.wait("the rotation is there", g.reached)
			if r.ask("abort") {
				t.Fatal("the abort was refused")
			}
			close(g.release)
			x.settled()
			r.histories(tt.history...)
			w := r.truth(0)
			if w.Generation != 0 || !w.CanSign {
				t.Errorf("truth: %+v", w)
			}
			if n := r.count(t, "rotatord_rotations_total", "result", "aborted"); n != 1 {
				t.Errorf("%v aborted rotations were counted", n)
			}
			// The next tick rotates it.
			x.claim()
			x.settled()
			r.healthy()
		})
	}

	t.Run("failed", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 1`)
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject})
		x := r.replica()
		x.claim()
		x.needs(store.AttemptsUsedUp, provider.Retryable)
		r.ask("abort")
		x.settled()
		if got := r.opened(); got != 1 {
			t.Errorf("%d rooms were opened", got)
		}
		r.mended()
		x.claim()
		x.settled()
		r.healthy()
	})

	t.Run("waiting for approval", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		r.ask("abort")
		x.settled()
		r.histories("baseline", "abandoned")
	})

	t.Run("comes as the last attempt fails", func(t *testing.T) {
		// The wish is not lost in failed, where nobody looks.
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 1`)
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject})
		r.spy.on(onDiscard, func(context.Context, provider.Attempt) error {
			r.ask("abort")
			return nil
		})
		x := r.replica()
		x.claim()
		x.settled()
		r.histories("baseline", "abandoned")
	})

	t.Run("prepared is refused", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		if !r.ask("abort") {
			t.Error("it was aborted past the commit point")
		}
		r.mended()
		r.ask("retry")
		x.settled()
		r.healthy()
	})

	t.Run("a co-signer that has committed does not keep it open", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
		r.front.on(onAbort, func(*http.Request) int { return http.StatusConflict })
		x.claim()
		x.settled()
		r.histories("baseline", "abandoned", "activated")
		r.healthy()
	})
}

func TestAttemptsUsedUp(t *testing.T) {
	t.Run("by attempts; the next tick tries again", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 3`)
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject})
		x := r.replica()
		x.claim()
		x.needs(store.AttemptsUsedUp, provider.Retryable)
		if got := r.record(); got.State != "failed" || r.opened() != 3 {
			t.Errorf("%+v after %d attempts", got, r.opened())
		}
		x.quiet()
		r.mended()
		r.advance()
		x.settled()
		r.healthy()
		r.histories("baseline", "abandoned", "abandoned", "abandoned", "activated")
		for result, want := range map[string]float64{"failed": 1, "succeeded": 1} {
			if got := r.count(t, "rotatord_rotations_total", "result", result); got != want {
				t.Errorf("%v %s rotations were counted", got, result)
			}
		}
	})

	t.Run("by looks that failed", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 3`)
		r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
		x := r.replica()
		x.claim()
		x.needs(store.AttemptsUsedUp, provider.Retryable)
		r.histories()
		r.mended()
		r.ask("retry")
		x.settled()
		r.healthy()
	})

	t.Run("a terminal one is not touched by the next tick", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 403})
		x := r.replica()
		x.claim()
		x.needs(store.NeedsPerson, provider.Terminal)
		before := r.record()
		r.advance()
		x.quiet()
		if got := r.record(); got != before {
			t.Errorf("%+v became %+v", before, got)
		}
	})

	t.Run("a wallet whose refresh would lose recovery", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.must(r.sandbox.SetShape(r.truth(0).ID, elsewhere))
		x := r.replica()
		x.claim()
		x.needs(store.NeedsPerson, provider.Terminal)
		if r.opened() != 0 {
			t.Error("a room was opened")
		}
	})

	t.Run("a wallet that may no longer be refreshed is still brought to its end", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostRequest})
		x.claim()
		x.needs(store.DoubtRemains, provider.InDoubt)
		r.must(r.sandbox.SetShape(r.truth(0).ID, elsewhere))
		r.mended()
		x.settled()
		r.healthy()
	})
}

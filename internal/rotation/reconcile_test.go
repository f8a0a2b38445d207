package rotation

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// Requests to reconcile, beyond what TestComparison tries.

// A pause is for rotations. That nothing is opened is why this may go on.
func TestReconcileWhilePaused(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	set := r.byHand(hand{swap: true, commit: true})
	r.exec(`UPDATE wallets SET paused_reason = 'restored'`)
	x.Held = func(*store.Rotation) time.Time { return time.Now().Add(time.Hour) }
	r.ask("reconcile")
	x.settled()
	if got := value[string](r, `SELECT active_share_set FROM wallet_state`); got != set {
		t.Errorf("on record is %s, want %s", got, set)
	}
	r.healthy()
	if n := r.count(t, "rotatord_rotations_total", "policy", "treasury", "result", "reconciled", "trigger", "manual"); n != 1 {
		t.Errorf("%v were counted", n)
	}
}

// An outage needs no hands: people hear of it when it lasts, and it goes on by
// itself.
func TestReconcileThroughAnOutage(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	r.exec(`UPDATE rotation_policies SET max_attempts = 2`)
	x := r.rotated()
	r.byHand(hand{swap: true})
	r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
	r.ask("reconcile")
	x.needs(store.NeedsPerson, provider.Retryable)
	if state := r.record().State; state != "waiting" {
		t.Errorf("it is %s", state)
	}
	r.mended()
	x.settled()
	r.healthy()
	r.histories("baseline", "activated", "reconciled")

	// A person may call it off.
	r.byHand(hand{swap: true, commit: true})
	r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
	r.ask("reconcile")
	x.needs(store.NeedsPerson, provider.Retryable)
	r.ask("abort")
	x.settled()
	r.histories("baseline", "activated", "reconciled")
}

// The wallet whose rotation failed over a difference is free again when the
// difference is gone, and rotates at the next tick.
func TestReconcileEndsAFailedRotation(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	r.byHand(hand{swap: true})
	var back atomic.Bool // the co-signer's share
	r.front.lies(onHeld, func(answer map[string]any) bool {
		answer["prepared"] = []any{}
		return !back.Load()
	})
	x.claim()
	x.needs(store.Drift, provider.Verification)
	r.ask("reconcile")
	x.needs(store.Drift, provider.Verification)
	back.Store(true)
	r.compares(Reconcilable)
	rooms := r.opened()
	r.ask("reconcile")
	x.settled()
	if r.opened() != rooms {
		t.Error("a room was opened")
	}
	r.compares(Agree)
	x.claim()
	x.settled()
	r.healthy()
	r.histories("baseline", "activated", "reconciled", "activated")
}

// A replica that dies in the middle leaves the rest to another.
func TestReconcileIsTakenOver(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	r.byHand(hand{swap: true})
	g := newGateway()
	r.holdUp(onCommit, g)
	r.ask("reconcile")
	x.resume()
	r.wait("the co-signer is told to commit", g.reached)
	x.giveUp()
	x.lose(errors.New("given up"))
	close(g.release)
	y := r.replica()
	y.settled()
	r.healthy()
	r.histories("baseline", "activated", "reconciled")
}

// One that ends before it has begun to look is taken up again.
func TestReconcileStopsBeforeItLooks(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	r.byHand(hand{swap: true, commit: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.ask("reconcile")
	taken, err := r.store.TakeWaiting(t.Context(), x.lease.epoch, 0, 0, 1)
	r.must(err)
	x.Stop(ended)
	x.run(t.Context(), taken[0])
	if got := r.record(); got.Owner != 0 || got.State != "waiting" {
		t.Errorf("%+v", got)
	}
	r.histories("baseline", "activated")
	r.exec(`UPDATE rotations SET next_check = now()`)
	y := r.replica()
	y.settled()
	r.healthy()
}

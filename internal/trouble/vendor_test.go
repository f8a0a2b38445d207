//go:build trouble

package trouble

import (
	"testing"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// fleet is some hundred wallets: many times more than there are workers.
const fleet = 200

// beside the call that hangs a rotation may have a connection to the other side,
// and an event stream, which somebody reads, with the vendor's party in a room at
// its other end.
const beside = 2*kept + 2

// TestVendorHangs: the vendor takes connections and never answers, with the
// whole fleet due and rotations in every state in hand.
func TestVendorHangs(t *testing.T) {
	r := newRig(t, pgtest.New(t), sandbox.Options{Wallets: fleet}).start()
	idle, idleHeap := r.settled()
	r.rotating()

	r.vendor.Hang()
	u := r.watch(idle, idleHeap)
	// Three rounds of every worker, so that what is not let go of adds up.
	rounds := int64(3 * r.cfg.Scheduler.Workers)
	u.until("calls hang, time and again", func() bool { return r.vendor.Accepted() >= u.vendor+rounds })
	u.wantSmall(beside)
	u.wantCalm(hanging(r.cfg))
	calls := float64(r.vendor.Accepted() - u.vendor)
	if most := (u.seconds()/r.cfg.Rotation.CallTimeout.Seconds() + 2) * float64(r.cfg.Scheduler.Workers); calls > most {
		t.Errorf("%.0f calls in %.1f s, want at most %.0f", calls, u.seconds(), most)
	}
	r.wantReady() // never a vendor
	if n := r.metric("rotatord_provider_requests_total", "dynamic", "timeout"); n == 0 {
		t.Error("no metric tells of the calls that were not answered")
	}
	r.wantSigning()

	r.vendor.Pass()
	r.further(1, "the fleet goes on by itself")
	r.wantWhole()
}

// TestCoSignerHangs: the same with the co-signer. Rotations that the vendor has
// swapped wait for their commit, and no more than a few follow them there.
func TestCoSignerHangs(t *testing.T) {
	r := newRig(t, pgtest.New(t), sandbox.Options{Wallets: fleet}).start()
	idle, idleHeap := r.settled()
	r.rotating()

	r.cosigner.Hang()
	u := r.watch(idle, idleHeap)
	rounds := int64(3 * r.cfg.Scheduler.Workers)
	u.until("calls hang, time and again", func() bool { return r.cosigner.Accepted() >= u.cosigner+rounds })
	u.wantSmall(beside)
	u.wantCalm(hanging(r.cfg))
	r.wantReady()
	if n := r.metric("rotatord_rotation_failures_total", "dynamic", "cosigner"); n == 0 {
		t.Error("no metric tells of the co-signer")
	}

	r.cosigner.Pass()
	r.further(1, "the fleet goes on by itself")
	r.wantWhole()
}

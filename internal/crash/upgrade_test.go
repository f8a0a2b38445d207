//go:build crash

package crash

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// An upgrade takes effect at Cobo when the next rotation is long through: the
// Main Group of the day before yesterday is back. It still signs. The daemon
// notices, calls a person and deletes neither of the two groups.
func TestVeryLateUpgrade(t *testing.T) {
	t.Parallel()
	const late, grace = 25 * time.Second, 40 * time.Second
	w := newWorld(t, atCobo, options{grace: grace})
	w.breaks(faults.Fault{Operation: "cobo.upgrade_group", Kind: faults.LateEffect, Delay: late, Times: 1})
	d := w.start(nowhere)
	rotated := func(generation int) string {
		w.rotate()
		w.until("the wallet is rotated", func() bool {
			return ask[int](w, `SELECT count(*) FROM rotations`) == 0 && ask[int](w, `SELECT generation FROM wallet_state`) == generation
		})
		return w.box.State()[0].ActiveShareSet
	}
	first, second := rotated(1), rotated(2)
	w.until("the late upgrade has come", func() bool { return w.box.State()[0].ActiveShareSet == first })
	groups := w.box.Stats().Cobo.Vaults[w.box.State()[0].ID].Groups

	// The next look is told from what is on record.
	w.rotate()
	w.until("a person hears of the drift", func() bool { return waitsFor(w, store.Drift) || failedFor(w, store.Drift) })
	// The first group was to be deleted after its grace period.
	w.until("the clean-up is over or given up", func() bool {
		return ask[bool](w, `SELECT NOT EXISTS (SELECT FROM retirements WHERE due_at > now() - interval '2 seconds')`)
	})
	truth := w.box.State()[0]
	vault := w.box.Stats().Cobo.Vaults[truth.ID]
	if !truth.CanSign || truth.ActiveShareSet != first || vault.Groups != groups {
		t.Errorf("%d new groups; truth: %+v", vault.Groups-groups, truth)
	}
	for _, kept := range []string{first, second} {
		if kind, deleted := vault.Deleted[kept]; deleted {
			t.Errorf("group %s was deleted, as a %s", kept, kind)
		}
	}
	w.must(w.store.VerifyWallet(t.Context(), 1))
	d.quits()
}

// failedFor says whether the rotation has ended for this reason.
func failedFor(w *world, a store.Attention) bool {
	return ask[bool](w, `SELECT EXISTS (SELECT FROM rotations WHERE attention = $1 AND state = 'failed')`, string(a))
}

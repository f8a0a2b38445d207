//go:build crash

package crash

import (
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// An upgrade takes effect at Cobo when the next rotation is long through: the
// Main Group of before is back, and it signs. It is not deleted, although it
// was to be; a clean-up whose time comes calls a person instead. The next look
// brings the record up to what is so, and everything else is cleaned up.
func TestVeryLateUpgrade(t *testing.T) {
	for name, cleanUpFirst := range map[string]bool{"the next look comes first": false, "the clean-up comes first": true} {
		t.Run(name, func(t *testing.T) {
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
			if truth := w.box.State()[0]; !truth.CanSign || first == second {
				t.Fatalf("truth: %+v", truth)
			}
			if cleanUpFirst {
				w.until("a person hears of the clean-up that may not be", func() bool {
					return ask[bool](w, `SELECT EXISTS (SELECT FROM retirements WHERE old_share_set = $1 AND attention IS NOT NULL)`, first)
				})
			}
			truth := w.box.State()[0]
			if deleted := w.box.Stats().Cobo.Vaults[truth.ID].Deleted; deleted[first] != "" || deleted[second] != "" || !truth.CanSign {
				t.Fatalf("deleted: %v; truth: %+v", deleted, truth)
			}

			w.rotate()
			w.settles()
			truth = w.box.State()[0]
			if !truth.CanSign || truth.OldShareSigns || truth.Retiring || truth.Generation != 4 || len(truth.PendingShareSets) > 0 {
				t.Errorf("truth: %+v", truth)
			}
			history := ask[[]string](w, `SELECT array_agg(outcome ORDER BY seq) FROM share_set_history WHERE outcome <> 'retired'`)
			if !slices.Equal(history, []string{"baseline", "activated", "activated", "reconciled", "activated"}) {
				t.Errorf("the history tells: %v", history)
			}
			if n := ask[int](w, `SELECT count(DISTINCT share_set) FROM share_set_history WHERE outcome = 'retired'`); n != 3 {
				t.Errorf("%d groups are retired on record, want the first Main Group, %s and %s", n, first, second)
			}
			w.must(w.store.VerifyWallet(t.Context(), 1))
			d.quits()
		})
	}
}

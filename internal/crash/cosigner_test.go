//go:build crash

package crash

import (
	"testing"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// swaps is how often the vendor was asked to make any share set active.
func (w *world) swaps() int { return w.box.Stats().Requests["dynamic.locations"] }

// The co-signer loses what it had prepared before the vendor was told to swap:
// the vendor is never told, whoever takes over, and the old share signs on.
func TestNeverPromotedWithoutThePreparedShare(t *testing.T) {
	for _, at := range []string{"before record Prepared", "after record Prepared", "before " + preparedCall, "before " + locationsCall} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atDynamic, options{})
			w.rotate()
			w.start(dieAt(at)).dies()
			prepared := w.fate().State == store.Prepared
			w.breaks(faults.Fault{Operation: "cosigner.status", Kind: faults.LoseState, Times: 1})
			d := w.start(nowhere)
			if !prepared { // the attempt is given up, and the next one has a share
				w.settles()
				w.whole(1)
				return
			}
			w.frozen(store.Prepared, store.PreparedShareLost)
			d.kill() // nor does the next one promote
			d = w.start(nowhere)
			w.request("retry")
			w.until("the retry is answered", func() bool { return !unanswered(w) })
			w.frozen(store.Prepared, store.PreparedShareLost)
			if n := w.swaps(); n != 0 {
				t.Fatalf("the vendor was asked %d times to swap", n)
			}
			if truth := w.box.State()[0]; truth.Generation != 0 || !truth.CanSign {
				t.Fatalf("truth: %+v", truth)
			}
			w.request("discard")
			w.settles()
			w.whole(1)
			d.quits()
		})
	}
}

// The co-signer loses the new share after the vendor has swapped: nobody can
// mend that. It is said, the wallet is frozen, and nothing is cleaned up.
func TestKeyAtRisk(t *testing.T) {
	for _, at := range []string{"after " + locationsCall, "before record Promoted", "after record Promoted", "before " + commitCall} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atDynamic, options{})
			w.rotate()
			w.start(dieAt(at)).dies()
			w.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.LoseState, Times: 1})
			d := w.start(nowhere)
			w.frozen(store.Promoted, store.KeyAtRisk)
			// A person who lets it go on, and one who wants a new rotation, change
			// nothing; nor does another replica.
			w.request("retry")
			w.request("rotate")
			w.rotate()
			w.until("the requests are answered", func() bool { return !unanswered(w) })
			w.frozen(store.Promoted, store.KeyAtRisk)
			d.kill()
			d = w.start(nowhere)
			w.request("retry")
			w.until("the request is answered", func() bool { return !unanswered(w) })
			w.frozen(store.Promoted, store.KeyAtRisk)

			truth := w.box.State()[0]
			stats := w.box.Stats()
			if truth.Recoverable || truth.Generation != 1 || stats.Ceremonies.Opened != 1 {
				t.Errorf("%d rooms were opened; truth: %+v", stats.Ceremonies.Opened, truth)
			}
			w.must(w.store.VerifyWallet(t.Context(), 1))
			if got := ask[string](w, `SELECT string_agg(outcome, ' ' ORDER BY seq) FROM share_set_history`); got != "baseline activated" {
				t.Errorf("the history tells: %s", got)
			}
			d.quits()
		})
	}
}

//go:build crash

package crash

import (
	"context"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
	"github.com/rotatord/rotatord/internal/store"
)

// whole asserts everything that must hold of each wallet when nothing is open
// any more: rotations is how many times it was rotated.
func (w *world) whole(rotations int) {
	w.t.Helper()
	for _, truth := range w.box.State() {
		j := &judge{world: w, truth: truth, promotions: w.promotions(truth.ID)}
		j.id = ask[int64](w, `SELECT id FROM wallets WHERE external_id = $1`, truth.ID)
		var err error
		j.history, _, err = w.store.History(w.t.Context(), j.id)
		w.must(err)
		j.signs()
		j.agree()
		j.tells(rotations)
		j.once()
		j.leftovers()
	}
	if left := ask[string](w, `SELECT coalesce(string_agg(reason || ': ' || detail, '; '), '') FROM attention`); left != "" {
		w.t.Errorf("a person is called for: %s", left)
	}
}

func (w *world) promotions(wallet string) map[string]tally.Promotion {
	stats := w.box.Stats()
	if w.vendor == atCobo {
		return stats.Cobo.Vaults[wallet].Promotions
	}
	return stats.Wallets[wallet].Promotions
}

// judge of one wallet.
type judge struct {
	*world
	id         int64
	truth      sandbox.WalletState
	promotions map[string]tally.Promotion // as the vendor counted them
	history    []store.HistoryRow
}

// signs: a signature made now stands under the key of the first day, and no
// share of an old set helps to make one.
func (j *judge) signs() {
	if !j.truth.CanSign || j.truth.OldShareSigns || j.truth.Retiring {
		j.t.Errorf("wallet %d: %+v", j.id, j.truth)
	}
}

// agree: exactly one active set, the same everywhere, under the same key.
func (j *judge) agree() {
	active := ask[string](j.world, `SELECT coalesce(string_agg(provider_ref, ' and '), 'none') FROM share_sets WHERE wallet_id = $1 AND state = 'active'`, j.id)
	head := ask[string](j.world, `SELECT coalesce(active_share_set, 'none') FROM wallet_state WHERE wallet_id = $1`, j.id)
	if active != j.truth.ActiveShareSet || head != active {
		j.t.Errorf("wallet %d: active is %s on record, %s in the view, %s at the vendor", j.id, head, active, j.truth.ActiveShareSet)
	}
	if j.vendor == atDynamic && j.truth.CosignerShareSet != active {
		j.t.Errorf("wallet %d: active is %s, the co-signer's current share is of %s", j.id, active, j.truth.CosignerShareSet)
	}
	if key := ask[string](j.world, `SELECT public_key FROM wallet_state WHERE wallet_id = $1`, j.id); key != j.truth.PublicKey {
		j.t.Errorf("wallet %d: the key on record is %s, it signs under %s", j.id, key, j.truth.PublicKey)
	}
}

// tells: the history is whole, and it leads from the first share set to the one
// that is active, with every other one that was opened beside it.
func (j *judge) tells(rotations int) {
	if err := j.store.VerifyWallet(j.t.Context(), j.id); err != nil {
		j.t.Error(err)
	}
	if len(j.history) == 0 || j.history[0].Outcome != store.Baseline {
		j.t.Fatalf("wallet %d: the history does not begin with the baseline: %s", j.id, j.outcomes())
	}
	active, generation, swaps := j.history[0].ShareSet, int32(0), 0
	for _, r := range j.history[1:] {
		switch r.Outcome {
		case store.Activated, store.Reconciled:
			if r.Replaced != active || r.Generation != generation+1 {
				j.t.Errorf("wallet %d: row %d replaces %s by %s as generation %d, active was %s of generation %d",
					j.id, r.Seq, r.Replaced, r.ShareSet, r.Generation, active, generation)
			}
			active, generation = r.ShareSet, r.Generation
			if r.Outcome == store.Activated {
				swaps++
			}
		case store.Abandoned, store.Rejected:
			if r.VendorSaid == "" || r.OpenedAt.IsZero() || r.Replaced != active {
				j.t.Errorf("wallet %d: row %d does not say what was given up and why: %+v", j.id, r.Seq, r)
			}
		case store.Retired:
		default:
			j.t.Errorf("wallet %d: row %d is %s", j.id, r.Seq, r.Outcome)
		}
	}
	if active != j.truth.ActiveShareSet || int(generation) != j.truth.Generation || swaps != rotations {
		j.t.Errorf("wallet %d: the history ends at %s, generation %d, after %d rotations; the truth is %s, generation %d, after %d: %s",
			j.id, active, generation, swaps, j.truth.ActiveShareSet, j.truth.Generation, rotations, j.outcomes())
	}
	if j.vendor == atCobo {
		for _, r := range j.history {
			if r.ShareSet != "" && r.Outcome != store.Retired && r.ShareSet != active && !j.abandoned(r.ShareSet) && !j.retired(r.ShareSet) {
				j.t.Errorf("wallet %d: nothing tells that %s was retired: %s", j.id, r.ShareSet, j.outcomes())
			}
		}
	}
}

func (j *judge) outcomes() string {
	var all []string
	for _, r := range j.history {
		all = append(all, string(r.Outcome))
	}
	return strings.Join(all, " ")
}

func (j *judge) has(shareSet string, outcomes ...store.Outcome) bool {
	return slices.ContainsFunc(j.history, func(r store.HistoryRow) bool {
		return r.ShareSet == shareSet && slices.Contains(outcomes, r.Outcome)
	})
}

func (j *judge) abandoned(shareSet string) bool {
	return j.has(shareSet, store.Abandoned, store.Rejected)
}
func (j *judge) retired(shareSet string) bool { return j.has(shareSet, store.Retired) }

// once: no share set was made active twice, and none that was given up ever.
func (j *judge) once() {
	for set, p := range j.promotions {
		if p.Effects > 1 {
			j.t.Errorf("wallet %d: share set %s was made active %d times", j.id, set, p.Effects)
		}
		if p.Effects > 0 && (j.abandoned(set) || !j.has(set, store.Activated, store.Reconciled)) {
			j.t.Errorf("wallet %d: share set %s was made active, and the history says: %s", j.id, set, j.outcomes())
		}
	}
}

// leftovers: what is pending at the vendor was given up on record, by its name
// or, where nobody ever learned it, without one; and the co-signer has no share
// that it would still make current.
func (j *judge) leftovers() {
	nameless := 0
	for _, r := range j.history {
		if r.ShareSet == "" {
			nameless++
		}
	}
	for _, set := range j.truth.PendingShareSets {
		if !j.abandoned(set) {
			nameless--
		}
	}
	if nameless < 0 {
		j.t.Errorf("wallet %d: the vendor has pending %v, of which the history does not tell: %s", j.id, j.truth.PendingShareSets, j.outcomes())
	}
	if j.vendor == atCobo {
		if running := j.box.Stats().Cobo.Orphans.TSSRequests; len(running) > 0 {
			j.t.Errorf("TSS requests of ours still run: %v", running)
		}
		return
	}
	held, err := j.signer.Wallet(context.WithoutCancel(j.t.Context()), atDynamic, j.truth.ID)
	j.must(err)
	for _, p := range held.Prepared {
		if p.State != cosigner.Aborted {
			j.t.Errorf("wallet %d: the co-signer would still commit share set %s", j.id, p.ShareSetID)
		}
	}
}

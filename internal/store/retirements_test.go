package store

import (
	"slices"
	"testing"
	"time"
)

// TestRetirementKnowsTheOthers of its wallet, by the time of their swap, and
// those of no other wallet.
func TestRetirementKnowsTheOthers(t *testing.T) {
	w, mine := claimed(t)
	w.to(mine, Prepared)
	w.promoted(mine, w.Now().Add(-time.Second))
	w.committed(mine)
	w.exec(`DELETE FROM retirements`)
	theirs := w.wallets(w.policy("other"), 1)[0]
	for i, old := range []string{"first", "second", "third"} {
		w.exec(`INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, promoted_at, due_at, committed_at, next_try)
			VALUES ($1, 'next', $2, gen_random_uuid(), now() - $3 * interval '1 hour', now(), now(), now())`, mine.Wallet.ID, old, 3-i)
	}
	w.exec(`INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, promoted_at, due_at)
		VALUES ($1, 'next', 'theirs', gen_random_uuid(), now(), now())`, theirs)
	due, err := w.TakeRetirements(t.Context(), w.epoch, 10)
	w.ok(err)
	w.same(len(due), 3, "due")
	for _, r := range due {
		slices.Sort(r.Earlier)
		slices.Sort(r.Later)
		want := map[string][2][]string{
			"first": {{}, {"second", "third"}}, "second": {{"first"}, {"third"}}, "third": {{"first", "second"}, {}},
		}[r.OldShareSet]
		w.same([2][]string{r.Earlier, r.Later}, want, "the others of %s", r.OldShareSet)
	}
}

// TestRetirementThatWaits is not counted as a failure, and is not for people
// unless somebody should know. What failures have raised stays.
func TestRetirementThatWaits(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.to(r, Prepared)
	w.promoted(r, w.Now().Add(-time.Second))
	w.committed(r)
	take := func() Retirement {
		t.Helper()
		due, err := w.TakeRetirements(ctx, w.epoch, 10)
		w.ok(err)
		w.same(len(due), 1, "due retirements")
		return due[0]
	}
	wait := func(message string, a Attention) {
		t.Helper()
		w.ok(w.RetirementWaits(ctx, w.epoch, take(), w.Now().Add(-time.Second), message, a))
	}
	attention := func() string {
		t.Helper()
		return ask[string](w, `SELECT coalesce(string_agg(reason || ': ' || detail, '; '), '') FROM attention`)
	}

	wait("resharing", "")
	w.same(attention(), "", "attention")
	wait("waits for Alice", WaitsForApproval)
	w.same(attention(), "waits_for_approval: waits for Alice", "attention")
	since := ask[time.Time](w, `SELECT since FROM attention`)
	wait("waits for Bob", WaitsForApproval)
	w.same(attention(), "waits_for_approval: waits for Bob", "attention")
	w.same(ask[time.Time](w, `SELECT since FROM attention`).Equal(since), true, "since when is kept")
	wait("resharing", "")
	w.same(attention(), "", "attention after the approval")
	wait("waits for a person's work", NeedsPerson)
	w.same(attention(), "terminal: waits for a person's work", "attention")
	wait("resharing", "")
	w.same(attention(), "", "attention after the work")

	w.ok(w.RetirementFailed(ctx, w.epoch, take(), w.Now().Add(-time.Second), "rejected five times", NeedsPerson))
	wait("resharing", "")
	w.same(attention(), "terminal: rejected five times", "attention for failures")
	due := take()
	w.same(due.Attempts, 1, "attempts")

	w.ok(w.Leave(ctx, w.epoch))
	if err := w.RetirementWaits(ctx, w.epoch, due, w.Now(), "x", ""); err == nil {
		t.Error("a zombie put a retirement back")
	}
}

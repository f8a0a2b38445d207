package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/provider"
)

func TestWholePath(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.same(r.State, Waiting, "state")
	w.same(r.Policy, "treasury", "policy")
	w.same(r.MaxAttempts, 3, "attempts of the running spec")
	w.same(r.Trigger, Schedule, "trigger")
	tick := r.Tick

	w.baseline(r)
	w.opening(r)
	w.ceremony(r)
	w.prepared(r)
	due := w.Now().Add(-time.Minute)
	w.promoted(r, due)

	// What is on record is what was said.
	got := w.reload(r)
	w.same(got.State, Promoted, "state")
	w.same(got.AttemptID, r.AttemptID, "attempt id")
	w.same(got.Attempt, 1, "attempt")
	w.same(got.PendingShareSet, pending(r), "pending set")
	w.same(got.Fingerprint, "fp", "fingerprint")
	if diff := cmp.Diff(checkpointStep(r).Refs, got.Refs); diff != "" {
		t.Errorf("references (-said +recorded):\n%s", diff)
	}
	if !got.OpenedAt.Equal(r.OpenedAt) || got.PreparedAt.IsZero() || got.PromotedAt.IsZero() {
		t.Errorf("times: opened %s (said %s), prepared %s, promoted %s", got.OpenedAt, r.OpenedAt, got.PreparedAt, got.PromotedAt)
	}
	w.same(got.Head.Generation, 1, "generation")
	w.same(got.Head.ActiveShareSet, pending(r), "active set")
	w.same(got.Head.PublicKey, key, "public key")
	if !got.Head.CycleAt.Equal(tick) {
		t.Errorf("cycle_at is %s, want the claimed tick %s", got.Head.CycleAt, tick)
	}

	// Nothing to retire before the co-signer has committed.
	none, err := w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(none), 0, "retirements before the commit")
	w.committed(r)
	w.same(ask[int](w, `SELECT count(*) FROM rotations`), 0, "open rotations")

	taken, err := w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(taken), 1, "retirements")
	w.same(taken[0].OldShareSet, r.OldShareSet, "old set")
	w.same(taken[0].NewShareSet, pending(r), "new set")
	w.same(taken[0].Refs.Room, "room", "references")
	w.ok(w.RetirementDone(ctx, w.epoch, taken[0], "gone"))
	w.same(ask[int](w, `SELECT count(*) FROM retirements`), 0, "retirements")

	rows, _, err := w.History(ctx, r.Wallet.ID)
	w.ok(err)
	var outcomes []Outcome
	for _, row := range rows {
		outcomes = append(outcomes, row.Outcome)
	}
	w.same(outcomes, []Outcome{Baseline, Activated, Retired}, "history")
	w.ok(w.VerifyWallet(ctx, r.Wallet.ID))

	done, err := w.Complete(ctx, r.PolicyID, tick)
	w.ok(err)
	w.same(done, true, "cycle completed")
	w.same(ask[string](w, `SELECT claimed || ' ' || succeeded || ' ' || failed FROM cycle_counters`), "1 1 0", "counters")
}

func TestRetirementWithNothingToCleanUpEndsAtTheCommit(t *testing.T) {
	w, r := claimed(t)
	w.rotate(r)
	w.same(ask[int](w, `SELECT count(*) FROM retirements`), 0, "retirements")
}

func TestAbandonAndTryAgain(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.to(r, Ceremony)
	first := pending(r)
	w.abandon(r)

	got := w.reload(r)
	w.same(got.State, Waiting, "state")
	w.same(got.PendingShareSet, "", "pending set")
	w.same(got.Refs.ShareSet, first, "set that is to be discarded")
	w.same(got.Refs.Room, "room", "references kept for the discard")
	w.same(got.DiscardPending, true, "discard pending")
	w.same(got.ErrorClass, provider.Retryable, "class")

	// Not before the abandoned attempt was discarded, and never dropped with it.
	refused, err := w.Opening(ctx, w.epoch, []OpeningStep{openingStep(w.Store, r)})
	w.ok(err)
	w.same(len(refused), 0, "opened while a discard is pending")
	if err := w.Drop(ctx, w.epoch, r); err == nil {
		t.Error("dropped while a discard is pending")
	}
	w.discarded(r)
	w.opening(r)
	w.same(w.reload(r).Attempt, 2, "attempt")
	w.same(w.reload(r).Refs.Room, "", "references of the new attempt")
	w.ceremony(r)
	w.prepared(r)
	w.promoted(r, time.Time{})
	w.committed(r)
	w.ok(w.VerifyWallet(ctx, r.Wallet.ID))
	w.same(ask[int](w, `SELECT count(*) FROM share_set_history WHERE outcome = 'abandoned' AND share_set = $1`, first), 1, "abandoned on record")
}

func TestAnonymousSetIsAbandonedFromOpening(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Opening)
	w.abandon(r)
	w.same(ask[string](w, `SELECT share_set FROM share_set_history WHERE outcome = 'abandoned'`), "", "share set that was never told")
	w.ok(w.VerifyWallet(t.Context(), r.Wallet.ID))
}

func TestDiscardFromPrepared(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Prepared)
	w.abandon(r)
	got := w.reload(r)
	w.same(got.State, Waiting, "state")
	w.same(got.Fingerprint, "", "fingerprint")
	if !got.PreparedAt.IsZero() {
		t.Error("still prepared")
	}
}

func TestReconcile(t *testing.T) {
	w, r := claimed(t)
	w.baseline(r)
	entry := func(generation int32) Entry {
		return Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, Generation: generation, Outcome: Reconciled, DecidedAt: w.Now(),
			RotationID: r.RotationID, ShareSet: "by-hand", Replaced: r.Head.ActiveShareSet})
	}
	// Two sets of one generation would both look active.
	got, err := w.Reconcile(t.Context(), w.epoch, []ReconcileStep{{Entry: entry(0)}})
	w.ok(err)
	w.same(len(got), 0, "reconciled under the same generation")
	e := entry(1)
	got, err = w.Reconcile(t.Context(), w.epoch, []ReconcileStep{{Entry: e}})
	w.taken(r, got, err)
	r.Head = e.Head(r.Head)
	w.same(w.reload(r).Head.ActiveShareSet, "by-hand", "active set")
	w.same(w.reload(r).Head.Generation, 1, "generation")
	w.ok(w.VerifyWallet(t.Context(), r.Wallet.ID))
	w.to(r, Opening)
}

// A set that is found in use is no longer to be cleaned up; the one that it
// replaced is.
func TestReconcileTurnsRetirementsAround(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Prepared)
	first := r.OldShareSet
	w.promoted(r, w.Now().Add(time.Hour))
	w.committed(r)
	second := r.Head.ActiveShareSet
	next := r.Tick.Add(time.Minute)
	w.tick(r.PolicyID, next)
	r = w.claim(r.PolicyID, next, r.Wallet.ID)[r.Wallet.ID]

	e := Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, Outcome: Reconciled, DecidedAt: w.Now(),
		RotationID: r.RotationID, ShareSet: first, Replaced: second})
	got, err := w.Reconcile(t.Context(), w.epoch, []ReconcileStep{{Entry: e, DueAt: w.Now().Add(-time.Second)}})
	w.taken(r, got, err)
	due, err := w.TakeRetirements(t.Context(), w.epoch, 10)
	w.ok(err)
	w.same(len(due), 1, "due retirements")
	w.same(due[0].OldShareSet, second, "to be cleaned up")
	w.same(due[0].NewShareSet, first, "in use")
	w.same(ask[int](w, `SELECT count(*) FROM retirements`), 1, "retirements")
	w.ok(w.RetirementDone(t.Context(), w.epoch, due[0], "gone"))
	w.ok(w.VerifyWallet(t.Context(), r.Wallet.ID))
}

func TestFailAndNextTick(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.baseline(r)
	w.ok(w.Fail(ctx, w.epoch, r, provider.Retryable, "the vendor is away", AttemptsUsedUp, w.Now()))
	w.same(ask[int64](w, `SELECT sum(failed) FROM cycle_counters`), 1, "failed")
	w.same(ask[string](w, `SELECT reason FROM attention`), AttemptsUsedUp, "attention")
	taken, err := w.TakeWaiting(ctx, w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(taken), 0, "failed rotations taken")
	// It does not keep the cycle open.
	done, err := w.Complete(ctx, r.PolicyID, r.Tick)
	w.ok(err)
	w.same(done, true, "completed")

	next := r.Tick.Add(time.Hour)
	w.tick(r.PolicyID, next)
	taken, err = w.TakeWaiting(ctx, w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken after the next tick")
	again := taken[0]
	w.same(again.Attempt, 0, "attempt")
	w.same(again.Attention, "", "attention")
	if !again.Tick.Equal(next) {
		t.Errorf("tick is %s, want the new one", again.Tick)
	}
	w.rotate(again)
}

func TestTerminalFailureWaitsForAPerson(t *testing.T) {
	w, r := claimed(t)
	w.ok(w.Fail(t.Context(), w.epoch, r, provider.Terminal, "backups would be lost", NeedsPerson, w.Now()))
	w.tick(r.PolicyID, r.Tick.Add(time.Hour))
	w.same(ask[string](w, `SELECT state FROM rotations`), Failed, "state after the next tick")
}

func TestRetreatLeavesNoHistory(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Opening)
	got, err := w.Retreat(t.Context(), w.epoch, []RetreatStep{{WalletID: r.Wallet.ID, AttemptID: r.AttemptID,
		NextCheck: w.Now().Add(time.Minute), Class: provider.RateLimited, Error: "later", Attempt: 0}})
	w.taken(r, got, err)
	back := w.reload(r)
	w.same(back.State, Waiting, "state")
	w.same(back.Attempt, 0, "attempt")
	w.same(back.ErrorClass, provider.RateLimited, "class")
	w.same(ask[int](w, `SELECT count(*) FROM share_set_history`), 1, "history rows: the baseline")
}

func TestDrop(t *testing.T) {
	w, r := claimed(t)
	w.ok(w.Drop(t.Context(), w.epoch, r))
	w.same(ask[int](w, `SELECT count(*) FROM rotations`), 0, "open rotations")
	// The wallet is free, and due again with the next tick: a person who ends a
	// rotation does not want it to begin anew.
	claimed, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: r.PolicyID, Tick: r.Tick, Before: r.Tick, Trigger: Schedule,
		WalletIDs: []int64{r.Wallet.ID}})
	w.ok(err)
	w.same(len(claimed.Rotations), 0, "rotations claimed again for the same tick")
	done, err := w.Complete(t.Context(), r.PolicyID, r.Tick)
	w.ok(err)
	w.same(done, true, "the cycle is complete")
	next := r.Tick.Add(time.Minute)
	w.tick(r.PolicyID, next)
	w.claim(r.PolicyID, next, r.Wallet.ID)
}

func TestDropOfAnotherTickLeavesTheCycleAlone(t *testing.T) {
	w, r := claimed(t)
	w.ok(w.Drop(t.Context(), w.epoch, r))
	next := r.Tick.Add(time.Minute)
	w.tick(r.PolicyID, next)
	w.answer(w.request("rotate", r.Wallet.ID, "by hand"), false)
	taken, err := w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.ok(w.Drop(t.Context(), w.epoch, taken[0]))
	w.claim(r.PolicyID, next, r.Wallet.ID)
}

func TestBaselineNeverChanges(t *testing.T) {
	w, r := claimed(t)
	w.baseline(r)
	got, err := w.RecordBaseline(t.Context(), w.epoch, []BaselineStep{baselineStep(w.Store, r)})
	w.ok(err)
	w.same(len(got), 0, "second baseline")
}

func TestLateRotationDoesNotSwallowTheNextTick(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Prepared)
	next := r.Tick.Add(30 * time.Minute)
	w.tick(r.PolicyID, next)
	w.promoted(r, time.Time{})
	w.committed(r)
	if at := ask[time.Time](w, `SELECT cycle_at FROM wallet_state`); !at.Equal(r.Tick) {
		t.Fatalf("cycle_at is %s, want the claimed tick %s", at, r.Tick)
	}
	w.claim(r.PolicyID, next, r.Wallet.ID)
}

package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestOwnershipLostInMidBatchUndoesTheStatement: between the moment a batch
// looks and the moment it writes, one of its rotations is parked because the
// replica was given up. No row of the batch may be recorded then, or the
// wallet's head would have moved under a rotation that somebody else has.
func TestOwnershipLostInMidBatchUndoesTheStatement(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 3)
	claimed := w.claim(p, tick, ids...)
	var steps []PromotedStep
	for _, id := range ids {
		w.to(claimed[id], Prepared)
		steps = append(steps, promotedStep(w.Store, claimed[id], time.Time{}))
	}
	before := w.everything()
	// The batch takes its snapshot, and waits for the first wallet's row.
	blocker, thief := w.connect(""), w.connect("")
	tx, err := blocker.Begin(ctx)
	w.ok(err)
	_, err = tx.Exec(ctx, `SELECT FROM wallet_state WHERE wallet_id = $1 FOR UPDATE`, ids[0])
	w.ok(err)
	result := make(chan error, 1)
	go func() {
		_, err := w.Promoted(ctx, w.epoch, steps)
		result <- err
	}()
	w.waiting(1)
	if _, err := thief.Exec(ctx, `UPDATE rotations SET owner = NULL WHERE wallet_id = $1`, ids[1]); err != nil {
		t.Fatal(err)
	}
	w.ok(tx.Rollback(ctx))
	err = <-result
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "40001" {
		t.Fatalf("the batch: %v, want serialization_failure", err)
	}
	if !IsRetryable(err) {
		t.Errorf("not retryable: %v", err)
	}
	w.exec(`UPDATE rotations SET owner = $2 WHERE wallet_id = $1`, ids[1], w.epoch)
	w.same(w.everything(), before, "the record")
	w.exec(`UPDATE rotations SET owner = NULL WHERE wallet_id = $1`, ids[1])

	// Row by row, the others are recorded and the lost one is refused.
	for i, step := range steps {
		got, err := w.Promoted(ctx, w.epoch, []PromotedStep{step})
		w.ok(err)
		w.same(got[ids[i]], i != 1, "wallet %d taken", ids[i])
	}
	for _, id := range ids {
		w.ok(w.VerifyWallet(ctx, id))
	}
}

// TestBatchTakesEachRowAlone: rows that do not fit are left out, the others
// are recorded.
func TestBatchTakesEachRowAlone(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 4)
	claimed := w.claim(p, tick, ids...)
	var steps []PromotedStep
	for i, id := range ids {
		r := claimed[id]
		w.to(r, Prepared)
		step := promotedStep(w.Store, r, time.Time{})
		switch i {
		case 0: // follows a head that is not there
			stale := r.Head
			stale.Hash = slices.Repeat([]byte{7}, 32)
			step.Entry = Follow(stale, step.Entry.Row)
		case 1: // another set than the one on record
			row := step.Entry.Row
			row.ShareSet = "mine"
			step.Entry = Follow(r.Head, row)
		case 2: // skips a generation
			row := step.Entry.Row
			row.Generation += 1
			step.Entry = Follow(r.Head, row)
		}
		steps = append(steps, step)
	}
	slices.Reverse(steps)
	got, err := w.Promoted(ctx, w.epoch, steps)
	w.ok(err)
	w.same(got, map[int64]bool{ids[3]: true}, "taken")
	for _, id := range ids {
		w.ok(w.VerifyWallet(ctx, id))
	}
}

// Repeating a step whose answer was lost does no harm.
func TestRepeatedSteps(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.baseline(r)
	opening := openingStep(w.Store, r)
	for range 2 {
		got, err := w.Opening(ctx, w.epoch, []OpeningStep{opening})
		w.taken(r, got, err)
	}
	r.AttemptID, r.State, r.OldShareSet = opening.AttemptID, Opening, opening.OldShareSet
	w.same(w.reload(r).Attempt, 1, "attempts")
	// Several checkpoints, repeated ones and later ones that name no set.
	named := checkpointStep(r)
	unnamed := named
	unnamed.PendingShareSet = ""
	for i, step := range []CheckpointStep{unnamed, unnamed, named, named, unnamed} {
		got, err := w.Checkpoint(ctx, w.epoch, []CheckpointStep{step})
		w.taken(r, got, err)
		w.same(w.reload(r).State, map[bool]State{true: Ceremony, false: Opening}[i >= 2], "state after checkpoint %d", i)
	}
	w.same(w.reload(r).PendingShareSet, pending(r), "pending set")
	// But never another set than the one on record.
	other := named
	other.PendingShareSet = "other"
	got, err := w.Checkpoint(ctx, w.epoch, []CheckpointStep{other})
	w.ok(err)
	w.same(len(got), 0, "another pending set")
	prepared := preparedStep(w.Store, r)
	for range 2 {
		got, err := w.Prepared(ctx, w.epoch, []PreparedStep{prepared})
		w.taken(r, got, err)
	}
	prepared.Fingerprint = "another share"
	got, err = w.Prepared(ctx, w.epoch, []PreparedStep{prepared})
	w.ok(err)
	w.same(len(got), 0, "prepared with another share")
	r.State = Prepared
	promoted := promotedStep(w.Store, r, time.Time{})
	for _, want := range []int{1, 0} {
		got, err := w.Promoted(ctx, w.epoch, []PromotedStep{promoted})
		w.ok(err)
		w.same(len(got), want, "promoted")
	}
	for _, want := range []int{1, 0} {
		got, err := w.Committed(ctx, w.epoch, []CommittedStep{committedStep(w.Store, r)})
		w.ok(err)
		w.same(len(got), want, "committed")
	}
	w.same(ask[int64](w, `SELECT sum(succeeded) FROM cycle_counters`), 1, "succeeded")
	w.ok(w.VerifyWallet(ctx, r.Wallet.ID))
}

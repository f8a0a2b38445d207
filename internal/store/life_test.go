package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// The steps of a rotation as the tests take them, each insisting that the
// store took it. They change r the way internal/rotation does.

const key = "02a1b2c3"

func (w *world) taken(r *Rotation, got map[int64]bool, err error) {
	w.t.Helper()
	w.ok(err)
	if !got[r.Wallet.ID] || len(got) != 1 {
		w.t.Fatalf("wallet %d: taken %v, want it alone", r.Wallet.ID, got)
	}
}

func baselineStep(s *Store, r *Rotation) BaselineStep {
	return BaselineStep{PublicKey: key, Entry: Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, PolicyID: r.PolicyID, Outcome: Baseline,
		DecidedAt: s.Now(), RotationID: r.RotationID, ShareSet: fmt.Sprintf("set-%d-0", r.Wallet.ID), KeyFingerprint: KeyFingerprint(key)})}
}

func (w *world) baseline(r *Rotation) {
	w.t.Helper()
	step := baselineStep(w.Store, r)
	got, err := w.RecordBaseline(w.t.Context(), w.epoch, []BaselineStep{step})
	w.taken(r, got, err)
	r.Head, r.Head.PublicKey = step.Entry.Head(r.Head), key
}

func openingStep(s *Store, r *Rotation) OpeningStep {
	return OpeningStep{WalletID: r.Wallet.ID, AttemptID: uuid.Must(uuid.NewV7()), OldShareSet: r.Head.ActiveShareSet, At: s.Now()}
}

func (w *world) opening(r *Rotation) {
	w.t.Helper()
	step := openingStep(w.Store, r)
	got, err := w.Opening(w.t.Context(), w.epoch, []OpeningStep{step})
	w.taken(r, got, err)
	r.State, r.AttemptID, r.OldShareSet, r.OpenedAt = Opening, step.AttemptID, step.OldShareSet, step.At
	r.Attempt++
}

// pending is the name of the share set of the rotation's current attempt.
func pending(r *Rotation) string { return fmt.Sprintf("set-%d-%s", r.Wallet.ID, r.AttemptID) }

func checkpointStep(r *Rotation) CheckpointStep {
	return CheckpointStep{WalletID: r.Wallet.ID, AttemptID: r.AttemptID, PendingShareSet: pending(r),
		Refs: provider.Refs{Room: "room", ShareSet: pending(r), ServerKeygenIDs: []string{"a", "b"}, Vendor: json.RawMessage(`{"n": 1}`)}}
}

func (w *world) ceremony(r *Rotation) {
	w.t.Helper()
	got, err := w.Checkpoint(w.t.Context(), w.epoch, []CheckpointStep{checkpointStep(r)})
	w.taken(r, got, err)
	r.State, r.PendingShareSet = Ceremony, pending(r)
}

func preparedStep(s *Store, r *Rotation) PreparedStep {
	return PreparedStep{WalletID: r.Wallet.ID, AttemptID: r.AttemptID, PendingShareSet: pending(r), Fingerprint: "fp", At: s.Now()}
}

func (w *world) prepared(r *Rotation) {
	w.t.Helper()
	got, err := w.Prepared(w.t.Context(), w.epoch, []PreparedStep{preparedStep(w.Store, r)})
	w.taken(r, got, err)
	r.State, r.Fingerprint = Prepared, "fp"
}

func promotedStep(s *Store, r *Rotation, due time.Time) PromotedStep {
	return PromotedStep{DueAt: due, Entry: Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID,
		Outcome: Activated, Trigger: r.Trigger, Tick: r.Tick, OpenedAt: r.OpenedAt, DecidedAt: s.Now(), RotationID: r.RotationID,
		AttemptID: r.AttemptID, ShareSet: pending(r), Replaced: r.OldShareSet, KeyFingerprint: KeyFingerprint(key), Actor: r.Actor})}
}

func (w *world) promoted(r *Rotation, due time.Time) {
	w.t.Helper()
	step := promotedStep(w.Store, r, due)
	got, err := w.Promoted(w.t.Context(), w.epoch, []PromotedStep{step})
	w.taken(r, got, err)
	r.Head, r.State = step.Entry.Head(r.Head), Promoted
}

func committedStep(s *Store, r *Rotation) CommittedStep {
	return CommittedStep{WalletID: r.Wallet.ID, AttemptID: r.AttemptID, At: s.Now()}
}

func (w *world) committed(r *Rotation) {
	w.t.Helper()
	got, err := w.Committed(w.t.Context(), w.epoch, []CommittedStep{committedStep(w.Store, r)})
	w.taken(r, got, err)
}

func abandonStep(s *Store, r *Rotation) AbandonStep {
	set := pending(r)
	if r.State == Opening {
		set = "" // the vendor never told
	}
	return AbandonStep{From: r.State, NextCheck: s.Now().Add(time.Minute), Class: provider.Retryable, Error: "the room closed", Attempt: r.Attempt,
		Entry: Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1, PolicyID: r.PolicyID, Outcome: Abandoned,
			Trigger: r.Trigger, Tick: r.Tick, OpenedAt: r.OpenedAt, DecidedAt: s.Now(), RotationID: r.RotationID, AttemptID: r.AttemptID,
			ShareSet: set, VendorSaid: "the room closed"})}
}

func (w *world) abandon(r *Rotation) {
	w.t.Helper()
	step := abandonStep(w.Store, r)
	got, err := w.Abandon(w.t.Context(), w.epoch, []AbandonStep{step})
	w.taken(r, got, err)
	r.Head, r.State, r.DiscardPending = step.Entry.Head(r.Head), Waiting, true
}

func (w *world) discarded(r *Rotation) {
	w.t.Helper()
	w.ok(w.Discarded(w.t.Context(), w.epoch, r.Wallet.ID, r.AttemptID))
	r.DiscardPending = false
}

func (w *world) park(r *Rotation, step ParkStep) {
	w.t.Helper()
	step.WalletID, step.State, step.Attempt, step.At = r.Wallet.ID, r.State, r.Attempt, w.Now()
	got, err := w.Park(w.t.Context(), w.epoch, []ParkStep{step})
	w.taken(r, got, err)
}

// to takes a claimed rotation to a state, along the straight path.
func (w *world) to(r *Rotation, state State) {
	w.t.Helper()
	if r.Head.ActiveShareSet == "" {
		w.baseline(r)
	}
	for r.State != state {
		switch r.State {
		case Waiting:
			w.opening(r)
		case Opening:
			w.ceremony(r)
		case Ceremony:
			w.prepared(r)
		case Prepared:
			w.promoted(r, time.Time{})
		default:
			w.t.Fatalf("no way from %s to %s", r.State, state)
		}
	}
}

// rotate takes a wallet through a whole rotation.
func (w *world) rotate(r *Rotation) {
	w.t.Helper()
	w.to(r, Promoted)
	w.committed(r)
}

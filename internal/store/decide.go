package store

import (
	"context"
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// The statements that decide the fate of a share set: each appends to the
// history, moves the wallet's head and changes the rotation in one statement.

// AbandonStep gives up an attempt, before anybody else is told so.
type AbandonStep struct {
	Entry     Entry
	From      State // opening, ceremony; prepared only for a person's discard
	NextCheck time.Time
	Class     provider.Class
	Error     string
	Attempt   int32
}

var abandonSQL = appendSQL("abandoning", "", "",
	"r.attempt_id = t.attempt_id AND r.state = t.from_state",
	`state = 'waiting', pending_share_set = NULL, prepared_at = NULL, in_doubt_since = NULL, fingerprint = NULL,
     discard_pending = true, next_check = t.next_check, error_class = t.class, error = t.error, attempt = t.attempt,
     attention = NULL, attention_since = NULL, wish = CASE WHEN r.wish = 'abort' THEN r.wish END,
     refs = coalesce(r.refs, '{}') || jsonb_build_object('share_set', t.share_set)`,
	[]extraColumn{{"from_state", "text"}, {"next_check", "timestamptz"}, {"class", "text"}, {"error", "text"}, {"attempt", "int"}}, "")

// Abandon records that attempts are given up: their share sets are abandoned
// for good and will never be adopted. The rotations go back to waiting, in
// hand, with the discard still to be done.
func (s *Store) Abandon(ctx context.Context, owner int64, steps []AbandonStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x AbandonStep) int64 { return x.Entry.Row.WalletID })
	taken, err := s.appendRows(ctx, abandonSQL, owner, column(steps, func(x AbandonStep) Entry { return x.Entry }),
		column(steps, func(x AbandonStep) string { return string(x.From) }),
		column(steps, func(x AbandonStep) *time.Time { return nullTime(x.NextCheck) }),
		column(steps, func(x AbandonStep) *string { return null(string(x.Class)) }),
		column(steps, func(x AbandonStep) *string { return null(plain(x.Error)) }),
		column(steps, func(x AbandonStep) int32 { return x.Attempt }))
	if err != nil {
		return nil, fmt.Errorf("recording abandoned attempts: %w", err)
	}
	return taken, nil
}

// BaselineStep records what a wallet's key and share set are before rotatord
// touches them.
type BaselineStep struct {
	Entry     Entry
	PublicKey string
}

var baselineSQL = appendSQL("baseline",
	"active_share_set = t.share_set, public_key = t.public_key",
	"s.active_share_set IS NULL", "r.state = 'waiting'",
	"error = NULL",
	[]extraColumn{{"public_key", "text"}}, "")

// RecordBaseline records baselines. A baseline, once recorded, never changes.
func (s *Store) RecordBaseline(ctx context.Context, owner int64, steps []BaselineStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x BaselineStep) int64 { return x.Entry.Row.WalletID })
	taken, err := s.appendRows(ctx, baselineSQL, owner, column(steps, func(x BaselineStep) Entry { return x.Entry }),
		column(steps, func(x BaselineStep) string { return x.PublicKey }))
	if err != nil {
		return nil, fmt.Errorf("recording baselines: %w", err)
	}
	return taken, nil
}

// ReconcileStep records that the vendor uses another share set than the one on
// record.
type ReconcileStep struct {
	Entry Entry
	// DueAt is when the set that was on record is to be cleaned up at the
	// vendor; zero: never.
	DueAt time.Time
}

// The set that is found in use may be one that was to be cleaned up.
var reconcileSQL = appendSQL("reconciling",
	"active_share_set = t.share_set, generation = t.generation, activated_at = t.decided_at",
	"s.active_share_set = t.replaced AND t.generation = s.generation + 1", "r.state = 'waiting'",
	"error = NULL, error_class = NULL",
	[]extraColumn{{"due_at", "timestamptz"}}, `,
x AS (
    DELETE FROM retirements x USING w WHERE x.wallet_id = ANY (ARRAY[w.wallet_id]) AND x.old_share_set = w.share_set),
y AS (
    INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, promoted_at, committed_at, due_at, next_try)
    SELECT wallet_id, share_set, replaced, rotation_id, decided_at, decided_at, due_at, due_at FROM w WHERE due_at IS NOT NULL)`)

// Reconcile brings the record up to the share set that the vendor uses and the
// customer's parties hold.
func (s *Store) Reconcile(ctx context.Context, owner int64, steps []ReconcileStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x ReconcileStep) int64 { return x.Entry.Row.WalletID })
	taken, err := s.appendRows(ctx, reconcileSQL, owner, column(steps, func(x ReconcileStep) Entry { return x.Entry }),
		column(steps, func(x ReconcileStep) *time.Time { return nullTime(x.DueAt) }))
	if err != nil {
		return nil, fmt.Errorf("recording the reconciliation: %w", err)
	}
	return taken, nil
}

// PromotedStep records that the vendor itself says the new set is active.
type PromotedStep struct {
	Entry Entry
	// DueAt is when the old set is to be cleaned up at the vendor; zero: never.
	DueAt time.Time
}

var promotedSQL = appendSQL("promotion",
	`active_share_set = t.share_set, generation = t.generation, activated_at = t.decided_at,
     cycle_at = greatest(s.cycle_at, r.tick)`,
	"s.active_share_set = t.replaced AND t.generation = s.generation + 1",
	"r.attempt_id = t.attempt_id AND r.state = 'prepared' AND r.pending_share_set = t.share_set",
	`state = 'promoted', promoted_at = t.decided_at, in_doubt_since = NULL, error = NULL, error_class = NULL,
     attention = NULL, attention_since = NULL, next_check = NULL`,
	[]extraColumn{{"due_at", "timestamptz"}}, `,
x AS (
    INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, attempt_id, fingerprint, refs, promoted_at, due_at)
    SELECT wallet_id, share_set, replaced, rotation_id, attempt_id, fingerprint, refs, decided_at, due_at FROM w WHERE due_at IS NOT NULL),`+healed)

// Promoted enters promoted: head, history and retirement in one statement.
func (s *Store) Promoted(ctx context.Context, owner int64, steps []PromotedStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x PromotedStep) int64 { return x.Entry.Row.WalletID })
	taken, err := s.appendRows(ctx, promotedSQL, owner, column(steps, func(x PromotedStep) Entry { return x.Entry }),
		column(steps, func(x PromotedStep) *time.Time { return nullTime(x.DueAt) }))
	if err != nil {
		return nil, fmt.Errorf("recording promotions: %w", err)
	}
	return taken, nil
}

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/provider"
)

// The steps of a rotation that write no history. Each takes a batch, and
// answers with the wallets whose row was where the step expected it; the
// others have changed hands or state. The writes are synchronous: when a step
// has returned, what it recorded survives a crash of PostgreSQL.

// OpeningStep records the intent to open an attempt.
type OpeningStep struct {
	WalletID    int64
	AttemptID   uuid.UUID
	OldShareSet string
	At          time.Time
}

const openingSQL = `
UPDATE rotations r
   SET state = 'opening', attempt_id = t.attempt_id, attempt = r.attempt + (r.state = 'waiting')::int, old_share_set = t.old_share_set, opened_at = t.at,
       refs = NULL, fingerprint = NULL, next_check = NULL, error = NULL, error_class = NULL,
       attention = NULL, attention_since = NULL
  FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::timestamptz[]) t(wallet_id, attempt_id, old_share_set, at)
  JOIN wallet_state s ON s.wallet_id = ANY (ARRAY[t.wallet_id])
 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND r.wish IS NULL AND s.active_share_set = t.old_share_set
   AND ((r.state = 'waiting' AND NOT r.discard_pending) OR (r.state = 'opening' AND r.attempt_id = t.attempt_id))
RETURNING r.wallet_id`

// Opening enters opening, unless a person wished otherwise: from here on a pending share set may exist at the
// vendor. Nothing may be sent to the vendor before it has returned.
func (s *Store) Opening(ctx context.Context, owner int64, steps []OpeningStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x OpeningStep) int64 { return x.WalletID })
	return s.step(ctx, "recording the intent to open", openingSQL, owner,
		column(steps, func(x OpeningStep) int64 { return x.WalletID }),
		column(steps, func(x OpeningStep) uuid.UUID { return x.AttemptID }),
		column(steps, func(x OpeningStep) string { return x.OldShareSet }),
		column(steps, func(x OpeningStep) time.Time { return x.At }))
}

// CheckpointStep records what Open has obtained so far.
type CheckpointStep struct {
	WalletID        int64
	AttemptID       uuid.UUID
	PendingShareSet string // empty: not known yet; the rotation stays in opening
	Refs            provider.Refs
}

const checkpointSQL = `
UPDATE rotations r
   SET state = CASE WHEN t.pending <> '' THEN 'ceremony' ELSE r.state END,
       pending_share_set = coalesce(nullif(t.pending, ''), r.pending_share_set), refs = t.refs
  FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::jsonb[]) t(wallet_id, attempt_id, pending, refs)
 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND r.attempt_id = t.attempt_id
   AND (r.state = 'opening' OR (r.state = 'ceremony' AND t.pending IN ('', r.pending_share_set)))
RETURNING r.wallet_id`

// Checkpoint makes references durable; with a pending share set it enters
// ceremony.
func (s *Store) Checkpoint(ctx context.Context, owner int64, steps []CheckpointStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x CheckpointStep) int64 { return x.WalletID })
	refs := make([]string, len(steps))
	for i, x := range steps {
		b, err := json.Marshal(x.Refs)
		if err != nil {
			return nil, fmt.Errorf("encoding the references of wallet %d: %w", x.WalletID, err)
		}
		refs[i] = string(b)
	}
	return s.step(ctx, "recording the vendor's references", checkpointSQL, owner,
		column(steps, func(x CheckpointStep) int64 { return x.WalletID }),
		column(steps, func(x CheckpointStep) uuid.UUID { return x.AttemptID }),
		column(steps, func(x CheckpointStep) string { return x.PendingShareSet }),
		refs)
}

// PreparedStep records the commit point.
type PreparedStep struct {
	WalletID        int64
	AttemptID       uuid.UUID
	PendingShareSet string
	Fingerprint     string // of the prepared share; empty where no co-signer is involved
	At              time.Time
	// Swapped: the vendor uses the set already, so that a person's wish to give
	// it up comes too late, and is struck out.
	Swapped bool
}

const preparedSQL = `
UPDATE rotations r
   SET state = 'prepared', fingerprint = t.fingerprint, prepared_at = t.at, next_check = NULL, error = NULL, error_class = NULL,
       wish = NULL, wish_actor = NULL
  FROM unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::boolean[])
       t(wallet_id, attempt_id, pending, fingerprint, at, swapped)
 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND (r.wish IS NULL OR t.swapped) AND r.attempt_id = t.attempt_id AND r.pending_share_set = t.pending
   AND (r.state = 'ceremony' OR (r.state = 'prepared' AND r.fingerprint IS NOT DISTINCT FROM t.fingerprint))
RETURNING r.wallet_id`

// Prepared enters prepared, unless a person wished otherwise in time: from here
// on a rotation only rolls forward.
func (s *Store) Prepared(ctx context.Context, owner int64, steps []PreparedStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x PreparedStep) int64 { return x.WalletID })
	return s.step(ctx, "recording the commit point", preparedSQL, owner,
		column(steps, func(x PreparedStep) int64 { return x.WalletID }),
		column(steps, func(x PreparedStep) uuid.UUID { return x.AttemptID }),
		column(steps, func(x PreparedStep) string { return x.PendingShareSet }),
		column(steps, func(x PreparedStep) *string { return null(x.Fingerprint) }),
		column(steps, func(x PreparedStep) time.Time { return x.At }),
		column(steps, func(x PreparedStep) bool { return x.Swapped }))
}

// ParkStep puts a rotation down without leaving its state: nobody works on it
// until NextCheck, or until an operator asks for it when NextCheck is zero.
type ParkStep struct {
	WalletID  int64
	State     State // that it is in
	NextCheck time.Time
	Class     provider.Class // empty: no error
	Error     string
	Attention Attention // empty: none needed
	InDoubt   bool
	Attempt   int32 // attempts counted so far
	Wish      Wish  // that the replica knows of; one that came meanwhile refuses the step
	At        time.Time
}

const parkSQL = `
UPDATE rotations r
   SET owner = NULL, next_check = t.next_check, error_class = t.class, error = t.error, attempt = t.attempt,
       attention_since = CASE WHEN t.attention IS NULL THEN NULL WHEN t.attention = r.attention THEN r.attention_since ELSE t.at END,
       attention = t.attention,
       in_doubt_since = CASE WHEN t.in_doubt THEN coalesce(r.in_doubt_since, t.at) END
  FROM unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::int[], $10::timestamptz[], $11::text[])
       t(wallet_id, state, next_check, class, error, attention, in_doubt, attempt, at, wish)
 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND r.state = t.state AND r.wish IS NOT DISTINCT FROM t.wish
RETURNING r.wallet_id`

// Park gives rotations back, unless a person wished for something meanwhile:
// parked, nobody would see to it.
func (s *Store) Park(ctx context.Context, owner int64, steps []ParkStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x ParkStep) int64 { return x.WalletID })
	return s.step(ctx, "parking rotations", parkSQL, owner,
		column(steps, func(x ParkStep) int64 { return x.WalletID }),
		column(steps, func(x ParkStep) string { return string(x.State) }),
		column(steps, func(x ParkStep) *time.Time { return nullTime(x.NextCheck) }),
		column(steps, func(x ParkStep) *string { return null(string(x.Class)) }),
		column(steps, func(x ParkStep) *string { return null(plain(x.Error)) }),
		column(steps, func(x ParkStep) *string { return null(string(x.Attention)) }),
		column(steps, func(x ParkStep) bool { return x.InDoubt }),
		column(steps, func(x ParkStep) int32 { return x.Attempt }),
		column(steps, func(x ParkStep) time.Time { return x.At }),
		column(steps, func(x ParkStep) *string { return null(string(x.Wish)) }))
}

// RetreatStep takes an opening rotation back to waiting, because the vendor
// certainly opened nothing.
type RetreatStep struct {
	WalletID  int64
	AttemptID uuid.UUID
	NextCheck time.Time
	Class     provider.Class
	Error     string
	Attempt   int32
}

const retreatSQL = `
UPDATE rotations r
   SET state = 'waiting', next_check = t.next_check, error_class = t.class, error = t.error, attempt = t.attempt
  FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::int[])
       t(wallet_id, attempt_id, next_check, class, error, attempt)
 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND r.attempt_id = t.attempt_id AND r.state = 'opening'
RETURNING r.wallet_id`

// Retreat records attempts that opened nothing. There is no share set whose
// fate would have to be told, so the history gets no row.
func (s *Store) Retreat(ctx context.Context, owner int64, steps []RetreatStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x RetreatStep) int64 { return x.WalletID })
	return s.step(ctx, "taking attempts back", retreatSQL, owner,
		column(steps, func(x RetreatStep) int64 { return x.WalletID }),
		column(steps, func(x RetreatStep) uuid.UUID { return x.AttemptID }),
		column(steps, func(x RetreatStep) *time.Time { return nullTime(x.NextCheck) }),
		column(steps, func(x RetreatStep) string { return string(x.Class) }),
		column(steps, func(x RetreatStep) string { return plain(x.Error) }),
		column(steps, func(x RetreatStep) int32 { return x.Attempt }))
}

// MarkInDoubt records that a call which swaps the share set was sent and its
// outcome is unknown, while the rotation stays in prepared and in hand.
func (s *Store) MarkInDoubt(ctx context.Context, owner int64, walletID int64, at time.Time) error {
	return s.one(ctx, "recording the doubt", `
		UPDATE rotations SET in_doubt_since = coalesce(in_doubt_since, $3)
		 WHERE wallet_id = $2 AND owner = $1 AND state = 'prepared'`, owner, walletID, at)
}

// Discarded records that vendor and co-signer were told of an abandoned
// attempt.
func (s *Store) Discarded(ctx context.Context, owner int64, walletID int64, attemptID uuid.UUID) error {
	return s.one(ctx, "recording the discard", `
		UPDATE rotations SET discard_pending = false
		 WHERE wallet_id = $2 AND owner = $1 AND attempt_id = $3 AND state IN ('waiting', 'failed')`, owner, walletID, attemptID)
}

// Fail ends a waiting rotation for its tick, and counts it, unless a person
// wished for something that r does not know of. It stays on record: the next
// tick or a person resets it.
func (s *Store) Fail(ctx context.Context, owner int64, r *Rotation, class provider.Class, message string, attention Attention, at time.Time) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE rotations SET state = 'failed', owner = NULL, next_check = NULL, error_class = $4, error = $5,
			       attention = $6, attention_since = CASE WHEN $6::text IS NULL THEN NULL ELSE $7::timestamptz END
			 WHERE wallet_id = $2 AND owner = $1 AND rotation_id = $3 AND state = 'waiting' AND wish IS NOT DISTINCT FROM $8::text`,
			owner, r.Wallet.ID, r.RotationID, class, plain(message), null(string(attention)), at, null(string(r.Wish)))
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return ErrNotRecorded
		}
		if r.PolicyID == 0 {
			return nil
		}
		return s.count(ctx, tx, r.PolicyID, r.Tick, owner, 0, 0, 1)
	})
	if err != nil {
		return fmt.Errorf("recording the failure: %w", err)
	}
	return nil
}

// The wallet's row is locked first, as by everybody who claims.
const dropSQL = `
WITH w AS (SELECT wallet_id FROM wallet_state WHERE wallet_id = ANY (ARRAY[$2::bigint]) FOR NO KEY UPDATE),
gone AS (
    DELETE FROM rotations r USING w
     WHERE r.wallet_id = ANY (ARRAY[w.wallet_id]) AND r.owner = $1 AND r.rotation_id = $3
       AND r.state = 'waiting' AND NOT r.discard_pending
    RETURNING r.wallet_id, r.policy_id, r.tick),
n AS (
    UPDATE wallet_state s SET eligible_after = greatest(s.eligible_after, gone.tick + interval '1 microsecond') FROM gone
     WHERE s.wallet_id = ANY (ARRAY[gone.wallet_id])
       AND EXISTS (SELECT FROM rotation_cycles c WHERE c.policy_id = gone.policy_id AND c.tick = gone.tick))
SELECT wallet_id FROM gone`

// Drop closes a waiting rotation that a person does not want. Its wallet waits
// for the next tick: due again at once, it would be rotated all the same.
func (s *Store) Drop(ctx context.Context, owner int64, r *Rotation) error {
	const what = "closing the rotation"
	taken, err := s.step(ctx, what, dropSQL, owner, r.Wallet.ID, r.RotationID)
	if err == nil && !taken[r.Wallet.ID] {
		err = fmt.Errorf("%s: %w", what, ErrNotRecorded)
	}
	return err
}

func (s *Store) step(ctx context.Context, what, sql string, args ...any) (map[int64]bool, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	taken := make(map[int64]bool, len(ids))
	for _, id := range ids {
		taken[id] = true
	}
	return taken, nil
}

// one runs a statement that must change exactly one row.
func (s *Store) one(ctx context.Context, what, sql string, args ...any) error {
	tag, err := s.pool.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%s: %w", what, ErrNotRecorded)
	}
	return nil
}

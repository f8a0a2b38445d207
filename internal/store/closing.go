package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/provider"
)

// CommittedStep says that the co-signer made the new share current, or that
// no co-signer is involved.
type CommittedStep struct {
	WalletID  int64
	AttemptID uuid.UUID
	At        time.Time
}

// A clean-up at the vendor, if there is one, now waits for its time.
const committedSQL = `
WITH c AS (
    DELETE FROM rotations r USING unnest($2::bigint[], $3::uuid[], $4::timestamptz[]) t(wallet_id, attempt_id, at)
     WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.attempt_id = t.attempt_id AND r.owner = $1 AND r.state = 'promoted'
    RETURNING r.wallet_id, r.pending_share_set, r.policy_id, r.tick, t.at),
kept AS (
    UPDATE retirements x SET committed_at = c.at, next_try = x.due_at FROM c
     WHERE x.wallet_id = ANY (ARRAY[c.wallet_id]) AND x.new_share_set = c.pending_share_set),
n AS (
    INSERT INTO cycle_counters (policy_id, tick, owner, succeeded)
    SELECT policy_id, tick, $1, count(*) FROM c WHERE policy_id IS NOT NULL GROUP BY policy_id, tick
    ON CONFLICT (policy_id, tick, owner) DO UPDATE SET succeeded = cycle_counters.succeeded + excluded.succeeded)
SELECT wallet_id FROM c`

// Committed closes rotations as succeeded.
func (s *Store) Committed(ctx context.Context, owner int64, steps []CommittedStep) (map[int64]bool, error) {
	steps = inOrder(steps, func(x CommittedStep) int64 { return x.WalletID })
	return s.step(ctx, "closing rotations", committedSQL, owner,
		column(steps, func(x CommittedStep) int64 { return x.WalletID }),
		column(steps, func(x CommittedStep) uuid.UUID { return x.AttemptID }),
		column(steps, func(x CommittedStep) time.Time { return x.At }))
}

// Retirement is an old share set whose clean-up at the vendor is due.
type Retirement struct {
	Wallet      Wallet
	OldShareSet string
	NewShareSet string
	// ActiveShareSet is the one on record now.
	ActiveShareSet string
	// Earlier and Later are the old share sets of the wallet's other retirements,
	// by the time of their swap. Like ActiveShareSet they are as of the take: a
	// swap changes both in one transaction.
	Earlier, Later []string
	Attempts       int32
	Refs           provider.Refs
}

var takeRetirementsSQL = `
WITH due AS (
    SELECT wallet_id, old_share_set FROM retirements
     WHERE owner IS NULL AND committed_at IS NOT NULL AND next_try <= now() AND ` + fmt.Sprintf(alive, 1) + `
       AND NOT EXISTS (SELECT FROM rotations r WHERE r.wallet_id = retirements.wallet_id AND r.attention IN ('key_at_risk', 'drift'))
     ORDER BY next_try, wallet_id LIMIT $2 FOR UPDATE SKIP LOCKED)
UPDATE retirements x SET owner = $1 FROM due, wallets w, wallet_state s
 WHERE x.wallet_id = ANY (ARRAY[due.wallet_id]) AND x.old_share_set = due.old_share_set AND w.id = ANY (ARRAY[due.wallet_id])
   AND s.wallet_id = ANY (ARRAY[due.wallet_id])
RETURNING w.id, w.provider, w.external_id, coalesce(w.address, ''), coalesce(w.chain, ''), w.settings,
          x.old_share_set, x.new_share_set, s.active_share_set, x.attempts, coalesce(x.refs, '{}'),
          ARRAY(SELECT o.old_share_set FROM retirements o WHERE o.wallet_id = ANY (ARRAY[x.wallet_id])
                   AND (o.promoted_at, o.old_share_set) < (x.promoted_at, x.old_share_set)),
          ARRAY(SELECT o.old_share_set FROM retirements o WHERE o.wallet_id = ANY (ARRAY[x.wallet_id])
                   AND (o.promoted_at, o.old_share_set) > (x.promoted_at, x.old_share_set))`

// TakeRetirements takes up to limit due clean-ups in hand. Those of wallets
// whose key or active share set is in question stay where they are: whatever
// could still sign is kept.
func (s *Store) TakeRetirements(ctx context.Context, owner int64, limit int) ([]Retirement, error) {
	rows, err := s.pool.Query(ctx, takeRetirementsSQL, owner, limit)
	if err != nil {
		return nil, fmt.Errorf("taking due retirements: %w", err)
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Retirement, error) {
		var r Retirement
		err := row.Scan(&r.Wallet.ID, &r.Wallet.Provider, &r.Wallet.ExternalID, &r.Wallet.Address, &r.Wallet.Chain,
			&r.Wallet.Settings, &r.OldShareSet, &r.NewShareSet, &r.ActiveShareSet, &r.Attempts, &r.Refs,
			&r.Earlier, &r.Later)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("taking due retirements: %w", err)
	}
	return due, nil
}

// RetirementDone closes a retirement and records in the history who said that
// the old set is gone.
func (s *Store) RetirementDone(ctx context.Context, owner int64, r Retirement, vendorSaid string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var head Head
		if err := tx.QueryRow(ctx, `SELECT seq, hash, generation FROM wallet_state WHERE wallet_id = $1 FOR NO KEY UPDATE`,
			r.Wallet.ID).Scan(&head.Seq, &head.Hash, &head.Generation); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM retirements WHERE wallet_id = $1 AND old_share_set = $2 AND owner = $3`,
			r.Wallet.ID, r.OldShareSet, owner)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return ErrNotRecorded
		}
		e := Follow(head, HistoryRow{WalletID: r.Wallet.ID, Generation: head.Generation, Outcome: Retired, DecidedAt: s.Now(),
			ShareSet: r.OldShareSet, VendorSaid: vendorSaid})
		if _, err := tx.Exec(ctx, `UPDATE wallet_state SET seq = $2, hash = $3 WHERE wallet_id = $1`,
			r.Wallet.ID, e.Row.Seq, e.hash); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, vendor_said, hash)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			r.Wallet.ID, e.Row.Seq, e.Row.Generation, e.Row.Outcome, e.Row.DecidedAt, e.Row.ShareSet, null(e.Row.VendorSaid), e.hash)
		return err
	})
	if err != nil {
		return fmt.Errorf("closing the retirement of wallet %d: %w", r.Wallet.ID, err)
	}
	return nil
}

// RetirementFailed puts a retirement back until nextTry (zero: until a person
// acts on the attention it gets).
func (s *Store) RetirementFailed(ctx context.Context, owner int64, r Retirement, nextTry time.Time, message string, attention Attention) error {
	return s.one(ctx, "putting a retirement back", `
		UPDATE retirements SET owner = NULL, attempts = attempts + 1, next_try = $4, error = $5, attention = $6::text,
		       attention_since = CASE WHEN $6::text IS NULL THEN NULL ELSE coalesce(attention_since, now()) END
		 WHERE wallet_id = $2 AND old_share_set = $3 AND owner = $1`,
		owner, r.Wallet.ID, r.OldShareSet, nullTime(nextTry), plain(message), null(string(attention)))
}

// RetirementWaits puts a retirement back until nextTry, because what it is about
// goes on at the vendor. It is not counted as a failure; attention that failures
// of before have raised stays. Other attention is as of now, empty if nobody
// need hear of it.
func (s *Store) RetirementWaits(ctx context.Context, owner int64, r Retirement, nextTry time.Time, message string, attention Attention) error {
	return s.one(ctx, "parking a retirement", `
		WITH next AS (
		    SELECT coalesce($6::text, CASE WHEN attempts > 0 AND attention <> 'waits_for_approval' THEN attention END) AS attention
		      FROM retirements WHERE wallet_id = $2 AND old_share_set = $3)
		UPDATE retirements x SET owner = NULL, next_try = $4, attention = next.attention,
		       error = CASE WHEN $6::text IS NULL AND next.attention IS NOT NULL THEN x.error ELSE $5 END,
		       attention_since = CASE WHEN next.attention IS NULL THEN NULL ELSE coalesce(x.attention_since, now()) END
		  FROM next WHERE x.wallet_id = $2 AND x.old_share_set = $3 AND x.owner = $1`,
		owner, r.Wallet.ID, r.OldShareSet, nullTime(nextTry), plain(message), null(string(attention)))
}

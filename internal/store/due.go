package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Cursor is a place in the walk over the wallets of a policy, in the order of
// (cycle_at, wallet_id).
type Cursor struct {
	CycleAt  time.Time
	WalletID int64
}

const discoverSQL = `
SELECT cycle_at, wallet_id FROM wallet_state
 WHERE policy_id = $1 AND cycle_at < $2 AND (cycle_at, wallet_id) > ($3, $4)
 ORDER BY cycle_at, wallet_id LIMIT $5`

// Discover reads up to limit wallets of the policy, behind the cursor, that
// last satisfied a tick before the given time. It locks nothing: what it
// returns is a hint, and Claim decides. The walk is index-only.
func (s *Store) Discover(ctx context.Context, policyID int32, before time.Time, after Cursor, limit int) ([]Cursor, error) {
	rows, err := s.pool.Query(ctx, discoverSQL, policyID, before, after.CycleAt, after.WalletID, limit)
	if err != nil {
		return nil, fmt.Errorf("discovering due wallets: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Cursor])
	if err != nil {
		return nil, fmt.Errorf("discovering due wallets: %w", err)
	}
	return due, nil
}

// Claim asks for the rotations of some wallets.
type Claim struct {
	Owner    int64
	PolicyID int32
	// Tick that the rotations will satisfy.
	Tick time.Time
	// Before: only wallets that last satisfied a tick before it.
	Before  time.Time
	Trigger Trigger
	// Until is the end of the run window: nothing is claimed at or after it. Zero:
	// there is none.
	Until         time.Time
	WalletIDs     []int64
	MaxConcurrent int32 // across all replicas; 0: no limit
	MaxPerMinute  int32 // across all replicas; 0: no limit
	MaxPerHour    int32 // of everything, across all replicas; 0: no limit. A brake here, Admit is exact
	FailureBudget int32 // failed wallets of this tick; 0: no limit
	Canary        int32 // so many first, the rest when they succeeded; 0: none
}

// Claimed is the answer to a Claim.
type Claimed struct {
	Rotations []*Rotation
	// Limited: how many of the asked-for wallets a limit kept back, or fewer.
	Limited int
	// CanaryWaits: the limit is that the canaries have not all succeeded yet.
	CanaryWaits bool
	// Stop says why the cycle must not go on; nothing was claimed. Empty: it may.
	Stop string
}

const claimFormat = `
WITH due AS (
    SELECT s.wallet_id, s.policy_id, t.rotation_id
      FROM unnest($1::bigint[], $2::uuid[]) t(wallet_id, rotation_id)
      JOIN wallet_state s ON s.wallet_id = ANY (ARRAY[t.wallet_id])
     WHERE s.policy_id + 0 = $3 AND s.cycle_at + interval '0' < $4 AND s.eligible_after <= $5
       AND EXISTS (SELECT FROM replicas WHERE epoch = $6 FOR KEY SHARE)%s
     ORDER BY s.wallet_id%s
       FOR NO KEY UPDATE OF s SKIP LOCKED)
INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, owner, claimed_at)
SELECT wallet_id, rotation_id, policy_id, $5, $7, $6, $8 FROM due
ON CONFLICT DO NOTHING
RETURNING wallet_id`

var (
	claimSQL = fmt.Sprintf(claimFormat, "", "")
	// Under a limit, wallets that cannot be claimed must not use it up, or a few
	// failed ones would hold back all others. The sub-select is a scalar one
	// because an anti-join is sometimes planned over the whole table.
	claimLimitedSQL = fmt.Sprintf(claimFormat, `
       AND (SELECT r.wallet_id FROM rotations r WHERE r.wallet_id = s.wallet_id) IS NULL`, " LIMIT $9")
)

// Claim opens rotations, in state waiting, for those of the wallets that are
// still due, free and not locked by another replica. The re-check happens
// under the lock of each wallet's row, so two replicas never claim the same
// wallet for the same tick. Limits are exact across replicas: they are taken
// under the lock of the policy's row.
func (s *Store) Claim(ctx context.Context, c Claim) (Claimed, error) {
	var out Claimed
	var ids []int64
	now := s.Now()
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		allowed, err := s.allowance(ctx, tx, c, now, &out)
		out.Limited = len(c.WalletIDs) - allowed
		if err != nil || allowed == 0 {
			return err
		}
		if !c.Until.IsZero() && !s.Now().Before(c.Until) { // it ended while this stood in line
			out.Limited, out.CanaryWaits = 0, false
			return nil
		}
		rotationIDs := make([]uuid.UUID, len(c.WalletIDs))
		for i := range rotationIDs {
			if rotationIDs[i], err = uuid.NewV7(); err != nil {
				return fmt.Errorf("making a rotation id: %w", err)
			}
		}
		sql, args := claimSQL, []any{c.WalletIDs, rotationIDs, c.PolicyID, c.Before, c.Tick, c.Owner, c.Trigger, now}
		if out.Limited > 0 {
			sql, args = claimLimitedSQL, append(args, allowed)
		}
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return err
		}
		if len(ids) < allowed {
			out.Limited, out.CanaryWaits = 0, false // the limit was not the reason
		}
		if len(ids) == 0 {
			return nil
		}
		if c.MaxPerMinute > 0 {
			if err := s.spend(ctx, tx, c, now, len(ids)); err != nil {
				return err
			}
		}
		return s.count(ctx, tx, c.PolicyID, c.Tick, c.Owner, len(ids), 0, 0)
	})
	if err != nil {
		return Claimed{}, fmt.Errorf("claiming wallets: %w", err)
	}
	if len(ids) > 0 {
		if out.Rotations, err = s.Load(ctx, c.Owner, ids); err != nil {
			return Claimed{}, err
		}
	}
	return out, nil
}

// count adds to the counters of a cycle, in this replica's own row.
func (s *Store) count(ctx context.Context, tx pgx.Tx, policyID int32, tick time.Time, owner int64, claimed, succeeded, failed int) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO cycle_counters (policy_id, tick, owner, claimed, succeeded, failed) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (policy_id, tick, owner) DO UPDATE SET claimed = cycle_counters.claimed + excluded.claimed,
		    succeeded = cycle_counters.succeeded + excluded.succeeded, failed = cycle_counters.failed + excluded.failed`,
		policyID, tick, owner, claimed, succeeded, failed)
	return err
}

package store

import (
	"context"
	"errors"
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

// Discover reads up to limit wallets of the policy, behind the cursor, that
// last satisfied a tick before the given time. It locks nothing: what it
// returns is a hint, and Claim decides. The walk is index-only.
func (s *Store) Discover(ctx context.Context, policyID int32, before time.Time, after Cursor, limit int) ([]Cursor, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT cycle_at, wallet_id FROM wallet_state
		 WHERE policy_id = $1 AND cycle_at < $2 AND (cycle_at, wallet_id) > ($3, $4)
		 ORDER BY cycle_at, wallet_id LIMIT $5`,
		policyID, before, after.CycleAt, after.WalletID, limit)
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
	Before        time.Time
	Trigger       Trigger
	WalletIDs     []int64
	MaxConcurrent int32 // across all replicas; 0: no limit
	MaxPerMinute  int32 // across all replicas; 0: no limit
	FailureBudget int32 // failed wallets of this tick; 0: no limit
	Canary        int32 // so many first, the rest when they succeeded; 0: none
}

// Claimed is the answer to a Claim.
type Claimed struct {
	Rotations []*Rotation
	// Limited: how many of the asked-for wallets a limit kept back.
	Limited int
	// CanaryWaits: the limit is that the canaries have not all succeeded yet.
	CanaryWaits bool
	// Stop says why the cycle must not go on; nothing was claimed. Empty: it may.
	Stop string
}

var claimSQL = `
WITH due AS (
    SELECT s.wallet_id, s.policy_id, t.rotation_id
      FROM unnest($1::bigint[], $2::uuid[]) t(wallet_id, rotation_id)
      JOIN wallet_state s ON s.wallet_id = t.wallet_id
     WHERE s.policy_id = $3 AND s.cycle_at < $4 AND s.eligible_after <= $5
       AND ` + fmt.Sprintf(alive, 6) + `
     ORDER BY s.wallet_id
       FOR NO KEY UPDATE OF s SKIP LOCKED)
INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, owner, claimed_at)
SELECT wallet_id, rotation_id, policy_id, $5, $7, $6, $8 FROM due
ON CONFLICT DO NOTHING
RETURNING wallet_id`

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
		wanted, err := s.allowance(ctx, tx, c, now, &out)
		if err != nil || len(wanted) == 0 {
			return err
		}
		rotationIDs := make([]uuid.UUID, len(wanted))
		for i := range rotationIDs {
			if rotationIDs[i], err = uuid.NewV7(); err != nil {
				return fmt.Errorf("making a rotation id: %w", err)
			}
		}
		rows, err := tx.Query(ctx, claimSQL, wanted, rotationIDs, c.PolicyID, c.Before, c.Tick, c.Owner, c.Trigger, now)
		if err != nil {
			return err
		}
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil || len(ids) == 0 {
			return err
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

// allowance locks the policy's row where a limit has to hold, and returns the
// wallets that may be claimed now, in ascending order.
func (s *Store) allowance(ctx context.Context, tx pgx.Tx, c Claim, now time.Time, out *Claimed) ([]int64, error) {
	allowed := len(c.WalletIDs)
	if c.MaxConcurrent > 0 || c.MaxPerMinute > 0 || c.FailureBudget > 0 || c.Canary > 0 {
		var until *time.Time
		var underWay, claimed, succeeded, failed int
		err := tx.QueryRow(ctx, `SELECT started_until FROM policy_state WHERE policy_id = $1 FOR NO KEY UPDATE`,
			c.PolicyID).Scan(&until)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, nil // the policy was deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		if c.FailureBudget > 0 || c.Canary > 0 {
			if err := tx.QueryRow(ctx, `
				SELECT coalesce(sum(claimed), 0), coalesce(sum(succeeded), 0), coalesce(sum(failed), 0)
				  FROM cycle_counters WHERE policy_id = $1 AND tick = $2`, c.PolicyID, c.Tick).Scan(&claimed, &succeeded, &failed); err != nil {
				return nil, err
			}
			if allowed, out.Stop = trial(c, allowed, claimed, succeeded, failed); out.Stop != "" {
				return nil, nil
			}
			out.CanaryWaits = allowed < len(c.WalletIDs)
		}
		if c.MaxConcurrent > 0 {
			if err := tx.QueryRow(ctx, underWaySQL, c.PolicyID).Scan(&underWay); err != nil {
				return nil, err
			}
			allowed = min(allowed, max(int(c.MaxConcurrent)-underWay, 0))
		}
		if c.MaxPerMinute > 0 {
			allowed = min(allowed, paced(until, now, c.MaxPerMinute))
		}
	}
	out.Limited = len(c.WalletIDs) - allowed
	return c.WalletIDs[:allowed], nil
}

// trial holds a cycle back while its canaries are out, and ends it when they
// or too many others failed.
func trial(c Claim, allowed, claimed, succeeded, failed int) (int, string) {
	switch {
	case c.FailureBudget > 0 && failed >= int(c.FailureBudget):
		return 0, fmt.Sprintf("%d wallets failed, which uses up the failure budget of %d", failed, c.FailureBudget)
	case succeeded >= int(c.Canary):
		return allowed, ""
	case failed > 0:
		return 0, fmt.Sprintf("%d of the first %d wallets (canary) failed", failed, c.Canary)
	}
	return min(allowed, max(int(c.Canary)-claimed, 0)), ""
}

// Everything from opening to promoted counts, approval waits included, and
// what a replica has claimed and is about to open.
const underWaySQL = `
SELECT count(*) FROM rotations
 WHERE policy_id = $1 AND (state IN ('opening', 'ceremony', 'prepared', 'promoted') OR (state = 'waiting' AND owner IS NOT NULL))`

// pace spaces starts so that any 60 seconds see at most perMinute of them: a
// tenth may start at once, the rest one slot apart (the generic cell rate
// algorithm: burst + 60 s / slot = perMinute).
func pace(perMinute int32) (burst int, slot time.Duration) {
	burst = max(1, int(perMinute)/10)
	return burst, time.Minute / time.Duration(max(1, int(perMinute)-burst))
}

// paced is how many rotations may start now, given until when earlier starts
// have used up the slots.
func paced(until *time.Time, now time.Time, perMinute int32) int {
	burst, slot := pace(perMinute)
	ahead := time.Duration(0)
	if until != nil && until.After(now) {
		ahead = until.Sub(now)
	}
	return max(0, int((time.Duration(burst)*slot-ahead)/slot))
}

// spend books n starts.
func (s *Store) spend(ctx context.Context, tx pgx.Tx, c Claim, now time.Time, n int) error {
	_, slot := pace(c.MaxPerMinute)
	_, err := tx.Exec(ctx, `UPDATE policy_state SET started_until = greatest(started_until, $2) + $3 WHERE policy_id = $1`,
		c.PolicyID, now, time.Duration(n)*slot)
	return err
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

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the scheduler asks before it claims, so that a vendor that is held,
// paused or failing does not fill the table of open rotations with wallets
// that cannot begin. These are brakes, not limits: nothing is locked, and
// Claim alone decides.

// BandWallet is a wallet whose promised age comes near.
type BandWallet struct {
	Cursor
	EligibleAfter time.Time
}

// Band is Discover for the emergency band, where it matters when a wallet
// joined its policy.
func (s *Store) Band(ctx context.Context, policyID int32, before time.Time, after Cursor, limit int) ([]BandWallet, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT cycle_at, wallet_id, eligible_after FROM wallet_state
		 WHERE policy_id = $1 AND cycle_at < $2 AND (cycle_at, wallet_id) > ($3, $4)
		 ORDER BY cycle_at, wallet_id LIMIT $5`,
		policyID, before, after.CycleAt, after.WalletID, limit)
	if err != nil {
		return nil, fmt.Errorf("discovering wallets in the emergency band: %w", err)
	}
	band, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w BandWallet, err error) {
		err = row.Scan(&w.CycleAt, &w.WalletID, &w.EligibleAfter)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("discovering wallets in the emergency band: %w", err)
	}
	return band, nil
}

// OfProviders says which of the wallets belong to one of the providers.
func (s *Store) OfProviders(ctx context.Context, walletIDs []int64, providers []string) (map[int64]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, provider FROM wallets WHERE id = ANY($1) AND provider = ANY($2)`, walletIDs, providers)
	if err != nil {
		return nil, fmt.Errorf("looking for wallets of paused or held providers: %w", err)
	}
	of := map[int64]string{}
	var id int64
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		of[id] = name
		return nil
	}); err != nil {
		return nil, fmt.Errorf("looking for wallets of paused or held providers: %w", err)
	}
	return of, nil
}

// Retrying counts the rotations of a policy whose last attempt failed and that
// wait for their next one.
func (s *Store) Retrying(ctx context.Context, policyID int32) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `
		SELECT count(*) FROM rotations
		 WHERE policy_id = $1 AND state = 'waiting' AND owner IS NULL AND error_class IS NOT NULL`, policyID).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting retries of policy %d: %w", policyID, err)
	}
	return n, nil
}

// FailedSince counts the wallets of a policy that failed for ticks at or after
// the given time, whatever started them.
func (s *Store) FailedSince(ctx context.Context, policyID int32, since time.Time) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `
		SELECT coalesce(sum(failed), 0)::bigint FROM cycle_counters WHERE policy_id = $1 AND tick >= $2`, policyID, since).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting failures of policy %d: %w", policyID, err)
	}
	return n, nil
}

// CycleExists says whether a tick of a policy is on record.
func (s *Store) CycleExists(ctx context.Context, policyID int32, tick time.Time) (exists bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT true FROM rotation_cycles WHERE policy_id = $1 AND tick = $2`, policyID, tick).Scan(&exists)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("looking for a cycle of policy %d: %w", policyID, err)
	}
	return exists, nil
}

// MoveWindow records that an edit has moved the end of a running cycle's
// window (zero: it is open until the next tick).
func (s *Store) MoveWindow(ctx context.Context, policyID int32, tick, ends time.Time) error {
	if _, err := s.pool.Exec(ctx, `
		UPDATE rotation_cycles SET window_ends = $3 WHERE policy_id = $1 AND tick = $2 AND state = 'running'`,
		policyID, tick, nullTime(ends)); err != nil {
		return fmt.Errorf("moving the window of policy %d: %w", policyID, err)
	}
	return nil
}

// ReleaseRetirements puts retirements back that are on record as owner's. It
// is for an owner that works on none: what is left then is what it could not
// put back when it was done.
func (s *Store) ReleaseRetirements(ctx context.Context, owner int64) (n int64, err error) {
	tag, err := s.pool.Exec(ctx, `UPDATE retirements SET owner = NULL WHERE owner = $1`, owner)
	if err != nil {
		return 0, fmt.Errorf("putting retirements back: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Reconnect lets go of all pooled connections, those in use when they come
// back. After an outage they may lead to a server that is gone without having
// said so.
func (s *Store) Reconnect() { s.pool.Reset() }

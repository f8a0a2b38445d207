package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// allowance locks the policy's row where a limit has to hold, and returns how
// many of the wallets may be claimed now.
func (s *Store) allowance(ctx context.Context, tx pgx.Tx, c Claim, now time.Time, out *Claimed) (allowed int, err error) {
	allowed = len(c.WalletIDs)
	if c.MaxPerHour > 0 {
		room, err := roomInHour(ctx, tx, c.MaxPerHour)
		if err != nil {
			return 0, err
		}
		allowed = min(allowed, room)
	}
	if c.MaxConcurrent > 0 || c.MaxPerMinute > 0 || c.FailureBudget > 0 || c.Canary > 0 {
		var until *time.Time
		var underWay, claimed, succeeded, failed int
		err := tx.QueryRow(ctx, `SELECT started_until FROM policy_state WHERE policy_id = $1 FOR NO KEY UPDATE`,
			c.PolicyID).Scan(&until)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil // the policy was deleted meanwhile
		}
		if err != nil {
			return 0, err
		}
		if c.FailureBudget > 0 || c.Canary > 0 {
			if err := tx.QueryRow(ctx, `
				SELECT coalesce(sum(claimed), 0), coalesce(sum(succeeded), 0), coalesce(sum(failed), 0)
				  FROM cycle_counters WHERE policy_id = $1 AND tick = $2`, c.PolicyID, c.Tick).Scan(&claimed, &succeeded, &failed); err != nil {
				return 0, err
			}
			before := allowed
			if allowed, out.Stop = trial(c, allowed, claimed, succeeded, failed); out.Stop != "" {
				return 0, nil
			}
			out.CanaryWaits = allowed < before
		}
		if c.MaxConcurrent > 0 {
			if err := tx.QueryRow(ctx, underWaySQL, c.PolicyID).Scan(&underWay); err != nil {
				return 0, err
			}
			allowed = min(allowed, max(int(c.MaxConcurrent)-underWay, 0))
		}
		if c.MaxPerMinute > 0 {
			allowed = min(allowed, paced(until, now, c.MaxPerMinute, time.Minute))
		}
	}
	return allowed, nil
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

// pace spaces starts so that any time of length per sees at most limit of
// them: a tenth may start at once, the rest one slot apart (the generic cell
// rate algorithm: burst + per / slot = limit).
func pace(limit int32, per time.Duration) (burst int, slot time.Duration) {
	burst = max(1, int(limit)/10)
	return burst, per / time.Duration(max(1, int(limit)-burst))
}

// paced is how many rotations may start now, given until when earlier starts
// have used up the slots.
func paced(until *time.Time, now time.Time, limit int32, per time.Duration) int {
	burst, slot := pace(limit, per)
	ahead := time.Duration(0)
	if until != nil && until.After(now) {
		ahead = until.Sub(now)
	}
	return max(0, int((time.Duration(burst)*slot-ahead)/slot))
}

// spend books n starts.
func (s *Store) spend(ctx context.Context, tx pgx.Tx, c Claim, now time.Time, n int) error {
	_, slot := pace(c.MaxPerMinute, time.Minute)
	_, err := tx.Exec(ctx, `UPDATE policy_state SET started_until = greatest(started_until, $2) + $3 WHERE policy_id = $1`,
		c.PolicyID, now, time.Duration(n)*slot)
	return err
}

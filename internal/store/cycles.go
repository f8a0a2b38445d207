package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// CycleState is the state of one firing of a policy's schedule.
type CycleState string

const (
	Running    CycleState = "running"
	Completed  CycleState = "completed"
	Superseded CycleState = "superseded"
	Stopped    CycleState = "stopped" // the failure budget is used up
	Missed     CycleState = "missed"  // its window was over before it could start
)

// Tick is a firing that is to be put on record.
type Tick struct {
	PolicyID int32
	Version  int64 // of the running spec that this tick comes from
	At       time.Time
	Trigger  Trigger   // schedule, catchup or manual
	Missed   bool      // the window is over: record it, start nothing
	Ends     time.Time // of the window; zero: the next tick
}

// Advance puts a tick on record: the watermark moves, the running cycle ends
// as superseded, one cycle row appears however many replicas ask, and
// rotations that failed for an earlier tick in a way that time may mend are
// set back to waiting. It returns whether this call was the one that did it.
func (s *Store) Advance(ctx context.Context, t Tick) (first bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE policy_state SET tick = $2
			 WHERE policy_id = $1 AND running_version = $3 AND (tick IS NULL OR tick < $2) AND schedule_since <= $2`,
			t.PolicyID, t.At, t.Version)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		first = true
		if err := supersede(ctx, tx, t.PolicyID, "the next tick came"); err != nil {
			return err
		}
		state, ended := Running, (*time.Time)(nil)
		if t.Missed {
			now := s.Now()
			state, ended = Missed, &now
		}
		if _, err := tx.Exec(ctx, `
			INSERT INTO rotation_cycles (policy_id, tick, state, trigger, window_ends, total, ended_at)
			SELECT $1, $2, $3, $4, $5, (SELECT count(*) FROM wallet_state WHERE policy_id = $1 AND cycle_at < $2 AND eligible_after <= $2), $6
			ON CONFLICT DO NOTHING`,
			t.PolicyID, t.At, state, t.Trigger, nullTime(t.Ends), ended); err != nil {
			return err
		}
		if t.Missed {
			return nil
		}
		// What still waits takes the new tick; what is under way keeps its own.
		_, err = tx.Exec(ctx, `
			WITH x AS (
			    SELECT wallet_id FROM rotations
			     WHERE policy_id = $1 AND tick < $2 AND owner IS NULL
			       AND (state = 'waiting' OR (state = 'failed' AND `+timeMayMend+`))
			     ORDER BY wallet_id FOR NO KEY UPDATE)
			UPDATE rotations r
			   SET state = 'waiting', tick = $2, attempt = CASE WHEN state = 'failed' THEN 0 ELSE attempt END,
			       next_check = CASE WHEN state = 'failed' THEN now() ELSE next_check END,
			       attention = CASE WHEN state = 'failed' THEN NULL ELSE attention END,
			       attention_since = CASE WHEN state = 'failed' THEN NULL ELSE attention_since END
			  FROM x WHERE r.wallet_id = ANY (ARRAY[x.wallet_id])`,
			t.PolicyID, t.At)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("recording the tick of policy %d: %w", t.PolicyID, err)
	}
	return first, nil
}

// timeMayMend is true for failures that the next tick retries without a person.
const timeMayMend = `error_class IN ('retryable', 'rate_limited', 'in_doubt')`

// Cycle is the running cycle of a policy.
type Cycle struct {
	PolicyID int32
	Tick     time.Time
	Trigger  Trigger
	Ends     time.Time // zero: until the next tick
	Total    int64
}

// RunningCycles reads the running cycles of all policies.
func (s *Store) RunningCycles(ctx context.Context) ([]Cycle, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT policy_id, tick, trigger, window_ends, total FROM rotation_cycles WHERE state = 'running' ORDER BY policy_id`)
	if err != nil {
		return nil, fmt.Errorf("reading the running cycles: %w", err)
	}
	cycles, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Cycle, error) {
		var c Cycle
		var ends *time.Time
		err := row.Scan(&c.PolicyID, &c.Tick, &c.Trigger, &ends, &c.Total)
		if ends != nil {
			c.Ends = *ends
		}
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the running cycles: %w", err)
	}
	return cycles, nil
}

// Complete ends a cycle when nothing of it is left: no rotation of it is under
// way, and every wallet has satisfied the tick or has failed. A wallet whose
// rotation for an earlier tick is still under way keeps the cycle open, because
// it is due again afterwards.
func (s *Store) Complete(ctx context.Context, policyID int32, tick time.Time) (done bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE rotation_cycles SET state = 'completed', ended_at = clock_timestamp()
		 WHERE policy_id = $1 AND tick = $2 AND state = 'running'
		   AND NOT EXISTS (SELECT FROM rotations WHERE policy_id = $1 AND tick = $2 AND state <> 'failed')
		   AND NOT EXISTS (SELECT FROM wallet_state s WHERE s.policy_id = $1 AND s.cycle_at < $2 AND s.eligible_after <= $2
		                      AND NOT EXISTS (SELECT FROM rotations r WHERE r.wallet_id = s.wallet_id AND r.state = 'failed'))`,
		policyID, tick)
	if err != nil {
		return false, fmt.Errorf("completing a cycle of policy %d: %w", policyID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Stop ends a cycle before its work is done.
func (s *Store) Stop(ctx context.Context, policyID int32, tick time.Time, state CycleState, detail string) (done bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE rotation_cycles SET state = $3, detail = $4, ended_at = clock_timestamp()
		 WHERE policy_id = $1 AND tick = $2 AND state = 'running'`, policyID, tick, state, detail)
	if err != nil {
		return false, fmt.Errorf("ending a cycle of policy %d: %w", policyID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// ResetFailed sets the failed rotations of a policy back to waiting whose
// wallets last satisfied a tick before cutoff and that failed at least rest
// ago, in a way that time may mend.
func (s *Store) ResetFailed(ctx context.Context, policyID int32, cutoff time.Time, rest time.Duration) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		WITH x AS (
		    SELECT r.wallet_id FROM rotations r JOIN wallet_state s ON s.wallet_id = r.wallet_id
		     WHERE r.policy_id = $1 AND r.state = 'failed' AND `+timeMayMend+`
		       AND r.attention_since < now() - $3::interval AND s.cycle_at < $2
		     ORDER BY r.wallet_id FOR NO KEY UPDATE OF r)
		UPDATE rotations r SET state = 'waiting', attempt = 0, next_check = now(), attention = NULL, attention_since = NULL
		  FROM x WHERE r.wallet_id = ANY (ARRAY[x.wallet_id])`, policyID, cutoff, rest)
	if err != nil {
		return 0, fmt.Errorf("resetting failed rotations of policy %d: %w", policyID, err)
	}
	return tag.RowsAffected(), nil
}

// Unclaimed counts the wallets that are due for a tick and were not claimed.
func (s *Store) Unclaimed(ctx context.Context, policyID int32, tick time.Time) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `
		SELECT count(*) FROM wallet_state s WHERE s.policy_id = $1 AND s.cycle_at < $2 AND s.eligible_after <= $2
		   AND NOT EXISTS (SELECT FROM rotations r WHERE r.wallet_id = s.wallet_id)`, policyID, tick).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting unclaimed wallets of policy %d: %w", policyID, err)
	}
	return n, nil
}

// CycleTotal is how many wallets were due when a cycle started.
func (s *Store) CycleTotal(ctx context.Context, policyID int32, tick time.Time) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT total FROM rotation_cycles WHERE policy_id = $1 AND tick = $2`, policyID, tick).Scan(&n); err != nil {
		return 0, fmt.Errorf("reading a cycle of policy %d: %w", policyID, err)
	}
	return n, nil
}

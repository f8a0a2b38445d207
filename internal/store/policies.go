package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Policy is a row of rotation_policies as a person wrote it, with what the
// daemon keeps about it.
type Policy struct {
	ID            int32
	Name          string
	Schedule      *string
	Timezone      string
	RunWindow     *time.Duration
	Spread        time.Duration
	Canary        int32
	MaxShareAge   *time.Duration
	MaxConcurrent int32
	MaxPerMinute  int32
	MaxAttempts   int32
	FailureBudget int32
	Enabled       bool
	PausedReason  *string
	Version       int64

	RunningVersion int64 // 0: no version was ever good
	RunningSpec    json.RawMessage
	ScheduleSince  time.Time
	Tick           time.Time // zero: none yet
	JudgedVersion  int64
}

// policyColumns are those of Policy, of a row p and what the daemon keeps of it,
// s. interval is read in microseconds: a month of SQL is 30 days, as in
// PostgreSQL's own arithmetic.
const policyColumns = `p.id, p.name, p.schedule, p.timezone,
       (extract(epoch FROM p.run_window) * 1e6)::bigint, (extract(epoch FROM p.spread) * 1e6)::bigint, p.canary,
       (extract(epoch FROM p.max_share_age) * 1e6)::bigint, p.max_concurrent, p.max_per_minute, p.max_attempts,
       p.failure_budget, p.enabled, p.paused_reason, p.version,
       coalesce(s.running_version, 0), s.running_spec, s.schedule_since, s.tick, s.judged_version`

// scan reads policyColumns, and more behind them.
func (p *Policy) scan(row pgx.CollectableRow, more ...any) error {
	var window, spread, age *int64
	var tick *time.Time
	err := row.Scan(append([]any{&p.ID, &p.Name, &p.Schedule, &p.Timezone, &window, &spread, &p.Canary, &age,
		&p.MaxConcurrent, &p.MaxPerMinute, &p.MaxAttempts, &p.FailureBudget, &p.Enabled, &p.PausedReason, &p.Version,
		&p.RunningVersion, &p.RunningSpec, &p.ScheduleSince, &tick, &p.JudgedVersion}, more...)...)
	p.RunWindow, p.MaxShareAge = microseconds(window), microseconds(age)
	if d := microseconds(spread); d != nil {
		p.Spread = *d
	}
	if tick != nil {
		p.Tick = *tick
	}
	return err
}

// Policies reads all policies.
func (s *Store) Policies(ctx context.Context) ([]Policy, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+policyColumns+`
		  FROM rotation_policies p JOIN policy_state s ON s.policy_id = p.id ORDER BY p.id`)
	if err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	policies, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Policy, error) {
		var p Policy
		err := p.scan(row)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	return policies, nil
}

func microseconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Microsecond
	return &d
}

// WalletCount is the number of wallets that a policy rotates.
func (s *Store) WalletCount(ctx context.Context, policyID int32) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM wallet_state WHERE policy_id = $1`, policyID).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting the wallets of policy %d: %w", policyID, err)
	}
	return n, nil
}

// Verdict is what the daemon thinks of one version of a policy.
type Verdict struct {
	PolicyID int32
	Version  int64
	// Spec that runs from now on; nil when the version is refused and the last
	// good one goes on.
	Spec json.RawMessage
	// Restart: schedule or timezone changed, so that ticks count from now on.
	Restart  bool
	Error    string
	Warnings []string
	NextRuns []time.Time
}

// RecordVerdict writes the verdict on a version, unless a newer version was
// judged already. A changed schedule never causes a tick in the past: ticks
// count from the moment of this statement, and the running cycle ends as
// superseded.
func (s *Store) RecordVerdict(ctx context.Context, v Verdict) error {
	if v.Warnings == nil {
		v.Warnings = []string{}
	}
	if v.NextRuns == nil {
		v.NextRuns = []time.Time{}
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var previous int64
		if err := tx.QueryRow(ctx, `SELECT judged_version FROM policy_state WHERE policy_id = $1 FOR NO KEY UPDATE`,
			v.PolicyID).Scan(&previous); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // deleted meanwhile
			}
			return err
		}
		if previous > v.Version {
			return nil
		}
		// Another replica has judged it already: only what is computed anew may change.
		restart := v.Restart && previous < v.Version
		if _, err := tx.Exec(ctx, `
			UPDATE policy_state
			   SET judged_version = $2, valid = $3::text IS NULL, error = $3, warnings = $4, next_runs = $5,
			       running_spec = coalesce($6, running_spec),
			       running_version = CASE WHEN $6::jsonb IS NULL THEN running_version ELSE $2 END,
			       schedule_since = CASE WHEN $7 THEN clock_timestamp() ELSE schedule_since END
			 WHERE policy_id = $1`,
			v.PolicyID, v.Version, null(v.Error), v.Warnings, v.NextRuns, v.Spec, restart); err != nil {
			return err
		}
		if !restart {
			return nil
		}
		return supersede(ctx, tx, v.PolicyID, "the schedule was changed")
	})
	if err != nil {
		return fmt.Errorf("recording the verdict on policy %d: %w", v.PolicyID, err)
	}
	return nil
}

// SetNextRuns refreshes the announced ticks of a policy.
func (s *Store) SetNextRuns(ctx context.Context, policyID int32, runs []time.Time) error {
	if runs == nil {
		runs = []time.Time{}
	}
	if _, err := s.pool.Exec(ctx, `UPDATE policy_state SET next_runs = $2 WHERE policy_id = $1 AND next_runs <> $2`, policyID, runs); err != nil {
		return fmt.Errorf("announcing the next runs of policy %d: %w", policyID, err)
	}
	return nil
}

// supersede ends the running cycle of a policy, if there is one.
func supersede(ctx context.Context, tx pgx.Tx, policyID int32, detail string) error {
	_, err := tx.Exec(ctx, `
		UPDATE rotation_cycles SET state = 'superseded', ended_at = clock_timestamp(), detail = $2
		 WHERE policy_id = $1 AND state = 'running'`, policyID, detail)
	return err
}

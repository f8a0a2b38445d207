package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PlannedPolicy is a policy with all that a plan of it takes.
type PlannedPolicy struct {
	Policy
	// Error and Warnings are a daemon's verdict on JudgedVersion.
	Error    string
	Warnings []string
	// Wallets that the policy rotates: neither disabled nor paused.
	Wallets int64
	// WaitingForAPerson of them have failed, and no tick starts them over.
	WaitingForAPerson int64
	// Cycle that is running; nil: none. Its Left wallets have not satisfied the
	// tick yet.
	Cycle *Cycle
	Left  int64
}

// PlannedPolicies reads all policies, or the one of that name ([ErrNoPolicy]),
// and what keeps everything from starting. It counts wallets by walking an
// index: a second or so for each ten million.
func (r *Reader) PlannedPolicies(ctx context.Context, name string) (all []PlannedPolicy, c Control, err error) {
	err = pgx.BeginTxFunc(ctx, r.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT paused, paused_providers, reason FROM rotation_control`).
			Scan(&c.Paused, &c.PausedProviders, &c.Reason); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+policyColumns+`,
			       coalesce(s.error, ''), s.warnings, s.waiting_for_a_person,
			       (SELECT count(*) FROM planned_wallets w WHERE w.policy_id = p.id),
			       y.tick, coalesce(y.trigger, ''), y.window_ends, coalesce(y.total, 0),
			       CASE WHEN y.tick IS NULL THEN 0 ELSE (SELECT count(*) FROM planned_wallets w
			             WHERE w.policy_id = p.id AND w.cycle_at < y.tick AND w.eligible_after <= y.tick) END
			  FROM rotation_policies p JOIN running_policies s ON s.policy_id = p.id
			  LEFT JOIN rotation_cycles y ON y.policy_id = p.id AND y.state = 'running'
			 WHERE $1 IN ('', p.name) ORDER BY p.name`, name)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, planned)
		return err
	})
	if err != nil {
		return nil, c, fmt.Errorf("reading the policies: %w", err)
	}
	if name != "" && len(all) == 0 {
		return nil, c, fmt.Errorf("%w: %q", ErrNoPolicy, name)
	}
	return all, c, nil
}

func planned(row pgx.CollectableRow) (p PlannedPolicy, err error) {
	var tick, ends *time.Time
	var c Cycle
	err = p.scan(row, &p.Error, &p.Warnings, &p.WaitingForAPerson, &p.Wallets, &tick, &c.Trigger, &ends, &c.Total, &p.Left)
	if err != nil || tick == nil {
		return p, err
	}
	c.PolicyID, c.Tick = p.ID, *tick
	if ends != nil {
		c.Ends = *ends
	}
	p.Cycle = &c
	return p, nil
}

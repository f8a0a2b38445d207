package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// PolicyFleet is what the metrics tell about one policy.
type PolicyFleet struct {
	Policy        string
	Wallets       int64 // that it rotates, attention and in doubt included
	Paused        int64 // disabled or paused wallets, or all of them when the policy is
	Never         int64 // enrolled, never rotated by us
	Due           int64
	Overdue       int64
	InDoubt       int64
	Attention     int64
	OldestCycleAt time.Time     // zero: no wallets
	MaxShareAge   time.Duration // zero: none promised
	LastSuccess   time.Time     // zero: never
	NextRun       time.Time     // zero: none announced
	Cycle         map[string]int64
	Valid         bool
	Enabled       bool
}

// Fresh is what remains when every other exclusive state is taken off.
func (f PolicyFleet) Fresh() int64 {
	return max(0, f.Wallets-f.Never-f.Due-f.Overdue-f.InDoubt-f.Attention)
}

// pause counts the wallets of a paused policy as paused, but for those whose
// state outweighs it.
func (f *PolicyFleet) pause() {
	f.Paused += f.Wallets - f.InDoubt - f.Attention
	f.Wallets = f.InDoubt + f.Attention
	f.Never, f.Due, f.Overdue = 0, 0, 0
}

// A wallet is in exactly one state: attention before in doubt before paused
// before overdue before due before never before fresh. Only open rotations can
// be in the first two, and that table is small. A paused wallet has no policy
// in wallet_state, so open looks for it in wallets. All counts are made in
// indexes alone.
const fleetSQL = `
WITH p AS (
    SELECT p.id, p.name, p.enabled AND p.paused_reason IS NULL AS enabled, p.max_share_age, st.*,
           coalesce(now() - p.max_share_age, '-infinity') AS overdue_before,
           coalesce(st.tick, '-infinity') AS due_before
      FROM rotation_policies p JOIN policy_state st ON st.policy_id = p.id),
open AS (
    SELECT w.policy_id, s.policy_id IS NULL AS off, r.attention IS NOT NULL AS attention, s.generation,
           s.cycle_at < p.overdue_before AS overdue,
           s.cycle_at >= p.overdue_before AND s.cycle_at < p.due_before AND s.eligible_after <= p.due_before AS due
      FROM rotations r JOIN wallet_state s ON s.wallet_id = r.wallet_id JOIN wallets w ON w.id = r.wallet_id JOIN p ON p.id = w.policy_id
     WHERE r.attention IS NOT NULL OR r.in_doubt_since IS NOT NULL)
SELECT p.name, p.enabled, coalesce(p.valid, false),
       (SELECT count(*) FROM wallet_state s WHERE s.policy_id = p.id)
         + (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND o.off),
       (SELECT count(*) FROM wallets w WHERE w.policy_id = p.id AND (NOT w.enabled OR w.paused_reason IS NOT NULL))
         - (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND o.off),
       (SELECT count(*) FROM wallet_state s WHERE s.policy_id = p.id AND s.generation = 0 AND s.cycle_at >= p.overdue_before
           AND NOT (s.cycle_at < p.due_before AND s.eligible_after <= p.due_before))
         - (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND NOT o.off AND o.generation = 0 AND NOT o.overdue AND NOT o.due),
       (SELECT count(*) FROM wallet_state s WHERE s.policy_id = p.id AND s.cycle_at >= p.overdue_before
           AND s.cycle_at < p.due_before AND s.eligible_after <= p.due_before)
         - (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND NOT o.off AND o.due),
       (SELECT count(*) FROM wallet_state s WHERE s.policy_id = p.id AND s.cycle_at < p.overdue_before)
         - (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND NOT o.off AND o.overdue),
       (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND NOT o.attention),
       (SELECT count(*) FROM open o WHERE o.policy_id = p.id AND o.attention),
       (SELECT s.cycle_at FROM wallet_state s WHERE s.policy_id = p.id ORDER BY s.cycle_at, s.wallet_id LIMIT 1),
       (extract(epoch FROM p.max_share_age) * 1e6)::bigint,
       p.next_runs[1],
       coalesce((SELECT sum(succeeded) FROM cycle_counters k WHERE k.policy_id = p.id AND k.tick = p.tick), 0)::bigint,
       coalesce((SELECT sum(failed) FROM cycle_counters k WHERE k.policy_id = p.id AND k.tick = p.tick), 0)::bigint,
       coalesce((SELECT total FROM rotation_cycles c WHERE c.policy_id = p.id AND c.tick = p.tick), 0),
       (SELECT max(h.ended_at) FROM rotation_cycles h WHERE h.policy_id = p.id AND h.state = 'completed')
  FROM p ORDER BY p.name`

// Fleet reads the state of all policies for a scrape.
func (s *Store) Fleet(ctx context.Context) ([]PolicyFleet, error) {
	rows, err := s.pool.Query(ctx, fleetSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the state of the fleet: %w", err)
	}
	fleet, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PolicyFleet, error) {
		var f PolicyFleet
		var oldest, next, last *time.Time
		var age *int64
		var succeeded, failed, total int64
		err := row.Scan(&f.Policy, &f.Enabled, &f.Valid, &f.Wallets, &f.Paused, &f.Never, &f.Due, &f.Overdue, &f.InDoubt, &f.Attention,
			&oldest, &age, &next, &succeeded, &failed, &total, &last)
		if oldest != nil {
			f.OldestCycleAt = *oldest
		}
		if next != nil {
			f.NextRun = *next
		}
		if last != nil {
			f.LastSuccess = *last
		}
		if d := microseconds(age); d != nil {
			f.MaxShareAge = *d
		}
		if !f.Enabled {
			f.pause()
		}
		f.Cycle = map[string]int64{"total": total, "succeeded": succeeded, "failed": failed}
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the state of the fleet: %w", err)
	}
	return fleet, nil
}

// OpenCount is the number of open rotations of a provider in a state.
type OpenCount struct {
	Provider string
	State    State
	Count    int64
}

// OpenRotations counts the open rotations by provider and state.
func (s *Store) OpenRotations(ctx context.Context) ([]OpenCount, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT w.provider, r.state, count(*) FROM rotations r JOIN wallets w ON w.id = r.wallet_id GROUP BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("counting open rotations: %w", err)
	}
	counts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[OpenCount])
	if err != nil {
		return nil, fmt.Errorf("counting open rotations: %w", err)
	}
	return counts, nil
}

// PendingCommits are the rotations whose share set the vendor has swapped and
// whose co-signer has not committed yet.
type PendingCommits struct {
	Provider string
	CoSigner string // empty: the provider's default
	Count    int64
	Oldest   time.Time
}

// PendingCommits counts them by provider and co-signer.
func (s *Store) PendingCommits(ctx context.Context) ([]PendingCommits, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT w.provider, coalesce(w.cosigner, ''), count(*), min(r.promoted_at)
		  FROM rotations r JOIN wallets w ON w.id = r.wallet_id WHERE r.state = 'promoted' GROUP BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("counting pending commits: %w", err)
	}
	pending, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PendingCommits])
	if err != nil {
		return nil, fmt.Errorf("counting pending commits: %w", err)
	}
	return pending, nil
}

package torture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

const (
	// drainTimeout is far above what the slowest wallet takes: an approval that
	// times out and a few attempts.
	drainTimeout = 5 * time.Minute
	// stuckTimeout is for nothing to change at all. The longest wait that ends by
	// itself is an approval's time-out, a minute here.
	stuckTimeout = 2 * time.Minute
	// askedInVain is how often a person asks for a retry before they take drift
	// for what it is.
	askedInVain = 3
)

// drain mends everything and waits until every wallet is settled. Then each is
// rotated once more, which shows that it can be.
func (r *run) drain(ctx context.Context) error {
	if err := r.box.SetFaults(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := r.person.insist(ctx, "ending the schedules", `UPDATE rotation_policies SET schedule = NULL, max_share_age = NULL`); err != nil {
		return err
	}
	err := r.settle(ctx)
	if err == nil {
		err = r.lastRound(ctx)
	}
	if errors.Is(err, errUnsettled) {
		return nil // and on record
	}
	return err
}

// lastRound rotates every wallet once more, but for those that wait for a
// person who knows of their drift.
func (r *run) lastRound(ctx context.Context) error {
	r.tell("settled; every wallet is rotated once more")
	begun, err := r.generations(ctx)
	if err != nil {
		return err
	}
	for {
		if err := r.person.insist(ctx, "rotating every wallet once more",
			`INSERT INTO rotation_requests (action, policy_id, actor, reason) SELECT 'run_policy', id, 'ann', 'the last round' FROM rotation_policies`); err != nil {
			return err
		}
		if err := r.settle(ctx); err != nil {
			return err
		}
		ended, err := r.generations(ctx)
		if err != nil {
			return err
		}
		var left []string
		for wallet, generation := range ended {
			if generation <= begun[wallet] {
				left = append(left, wallet)
			}
		}
		if len(left) == 0 {
			return nil
		}
		// A request may be refused, because it crossed with the end of a cycle.
		if !pause(ctx, time.Second) {
			for _, wallet := range left {
				r.accuse(wallet, "it could not be rotated once more when everything was mended")
			}
			return nil
		}
	}
}

// generations of the wallets that are not left to a person, by the vendor's id.
func (r *run) generations(ctx context.Context) (map[string]int, error) {
	adrift, err := r.adrift(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := r.person.db.Query(ctx, `
		SELECT w.external_id, s.generation FROM wallets w JOIN wallet_state s ON s.wallet_id = w.id WHERE NOT w.id = ANY ($1)`, adrift)
	if err != nil {
		return nil, fmt.Errorf("reading generations: %w", err)
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var wallet string
		var generation int
		if err := rows.Scan(&wallet, &generation); err != nil {
			return nil, fmt.Errorf("reading generations: %w", err)
		}
		all[wallet] = generation
	}
	return all, rows.Err()
}

// unsettled is what is still to come, and goes on by itself or with a person's
// help. What waits for a person who is told of drift is not among it.
const unsettled = `
	SELECT coalesce(string_agg(concat_ws(' ', n, what), '; '), '') FROM (
		SELECT what, count(*) AS n FROM (
			SELECT 'requests to answer' AS what FROM rotation_requests q WHERE NOT EXISTS (SELECT FROM request_status a WHERE a.request_id = q.id)
			UNION ALL SELECT 'cycles' FROM rotation_cycles WHERE state = 'running'
			UNION ALL SELECT concat_ws(' ', 'rotations in', state, attention) FROM rotations WHERE NOT wallet_id = ANY ($1)
			UNION ALL SELECT concat_ws(' ', 'retirements', attention) FROM retirements WHERE NOT wallet_id = ANY ($1)) x
		 GROUP BY what) y`

// errUnsettled: what is not settled is a violation, and there is no point in a
// last round.
var errUnsettled = errors.New("not settled")

// settle waits until nothing is unsettled ([errUnsettled]).
func (r *run) settle(ctx context.Context) error {
	still, before := "not known", ""
	begun, said, changed := time.Now(), time.Now(), time.Now()
	for {
		for _, replica := range r.replicas {
			if err := r.revive(replica); err != nil {
				return err
			}
		}
		adrift, err := r.adrift(ctx)
		if err == nil {
			before = still
			err = r.person.db.QueryRow(ctx, unsettled, adrift).Scan(&still)
		}
		if still != before {
			changed = time.Now()
		}
		if err == nil && still == "" {
			return nil
		}
		if err == nil {
			err = r.person.attend(ctx, 2*lateAtMost)
		}
		if time.Since(said) > tellEvery {
			said = time.Now()
			r.tell("draining: %s", still)
		}
		if !pause(ctx, 200*time.Millisecond) || time.Since(changed) > stuckTimeout {
			r.accuse("", "not settled after %s, of which nothing has changed for %s: %s (%v)",
				time.Since(begun).Round(time.Second), time.Since(changed).Round(time.Second), still, err)
			return errUnsettled
		}
	}
}

// adrift are the wallets that were left to a person, who has asked for a retry
// in vain and now knows that it is drift.
func (r *run) adrift(ctx context.Context) ([]int64, error) {
	rows, err := r.person.db.Query(ctx, `SELECT wallet_id, rotation_id::text || attempt::text FROM rotations WHERE attention = $1 AND owner IS NULL`, store.Drift)
	if err != nil {
		return nil, fmt.Errorf("looking for drift: %w", err)
	}
	defer rows.Close()
	ids := []int64{}
	for rows.Next() {
		var id int64
		var subject string
		if err := rows.Scan(&id, &subject); err != nil {
			return nil, fmt.Errorf("looking for drift: %w", err)
		}
		if r.person.asked[subject] >= askedInVain {
			ids = append(ids, id)
		}
	}
	return ids, rows.Err()
}

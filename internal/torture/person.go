package torture

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

// person does what an operator does with psql. The SQL stands here and not in
// package store, because none of it is the daemon's.
type person struct {
	db    *pgxpool.Pool
	box   *sandbox.Sandbox // the vendor's own pages, where a person looks things up
	tally *ledger
	asked map[string]int // how often a person asked for a retry, by what waits
}

func newPerson(ctx context.Context, dsn string, box *sandbox.Sandbox, t *ledger) (*person, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	c.MaxConns = 6
	c.ConnConfig.ConnectTimeout = 2 * time.Second
	db, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connecting as operator: %w", err)
	}
	return &person{db: db, box: box, tally: t, asked: map[string]int{}}, nil
}

// waiting is one thing that somebody is called for.
type waiting struct {
	wallet            int64
	externalID        string
	reason            store.Attention
	state, attempt    string // of the rotation; empty: it is about a clean-up
	oldSet            string
	rotation, subject string
}

// waits reads what has waited for a person for some time and was not asked
// about yet.
func (p *person) waits(ctx context.Context, patience time.Duration) ([]waiting, error) {
	rows, err := p.db.Query(ctx, `
		SELECT a.wallet_id, w.external_id, a.attention, a.state, a.attempt, a.old_share_set, a.rotation, a.subject
		  FROM (SELECT wallet_id, attention, attention_since, state, coalesce(attempt_id::text, '') AS attempt,
		               coalesce(old_share_set, '') AS old_share_set, rotation_id::text AS rotation, rotation_id::text || attempt::text AS subject
		          FROM rotations WHERE attention IS NOT NULL AND owner IS NULL
		        UNION ALL
		        SELECT wallet_id, attention, attention_since, '', '', old_share_set, rotation_id::text, old_share_set
		          FROM retirements WHERE attention IS NOT NULL AND owner IS NULL) a
		  JOIN wallets w ON w.id = a.wallet_id
		 WHERE a.attention_since < now() - $1::interval
		   AND NOT EXISTS (SELECT FROM rotation_requests q WHERE q.wallet_id = a.wallet_id
		                      AND NOT EXISTS (SELECT FROM request_status s WHERE s.request_id = q.id))`, patience)
	if err != nil {
		return nil, fmt.Errorf("looking for what waits: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w waiting, err error) {
		err = row.Scan(&w.wallet, &w.externalID, &w.reason, &w.state, &w.attempt, &w.oldSet, &w.rotation, &w.subject)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for what waits: %w", err)
	}
	return all, nil
}

// attend answers everything that has waited for longer than a person's
// patience: with a retry at first, since a vendor that told lies may tell the
// truth by now; with a discard, when that did not help and the vendor's own
// page shows the old share set.
func (p *person) attend(ctx context.Context, patience time.Duration) error {
	all, err := p.waits(ctx, patience)
	if err != nil {
		return err
	}
	for _, w := range all {
		action, counted := "retry", retries
		stuck := w.reason == store.PreparedShareLost || w.reason == store.PromoteRefused
		if stuck && w.state == string(store.Prepared) && p.asked[w.subject] > 0 {
			if truth, ok := p.box.WalletState(w.externalID); ok && truth.ActiveShareSet == w.oldSet {
				action, counted = "discard", discards
			}
		}
		p.asked[w.subject]++
		if _, err := p.db.Exec(ctx, `INSERT INTO rotation_requests (action, wallet_id, actor, reason) VALUES ($1, $2, 'ann', $3)`,
			action, w.wallet, "looked it up: "+string(w.reason)); err != nil {
			return fmt.Errorf("asking for a %s: %w", action, err)
		}
		p.tally.add(counted, 1)
	}
	return nil
}

// awaitGone waits until an epoch was given up, and says whether it was.
func (p *person) awaitGone(ctx context.Context, epoch int64) bool {
	for {
		var there bool
		err := p.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM replicas WHERE epoch = $1)`, epoch).Scan(&there)
		if err == nil && !there {
			return true
		}
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
}

// worksOf is everything on record that carries an epoch.
func (p *person) worksOf(ctx context.Context, epoch int64) (text string, err error) {
	err = p.db.QueryRow(ctx, `SELECT concat_ws(' ',
		(SELECT count(*) FROM replicas WHERE epoch = $1), 'replicas,',
		(SELECT count(*) FROM rotations WHERE owner = $1), 'rotations,',
		(SELECT count(*) FROM retirements WHERE owner = $1), 'retirements,',
		(SELECT coalesce(json_agg(c ORDER BY policy_id, tick)::text, 'no') FROM cycle_counters c WHERE owner = $1), 'counters')`, epoch).Scan(&text)
	if err != nil {
		return "", fmt.Errorf("looking for what a replica did: %w", err)
	}
	return text, nil
}

// progress is one look at the fleet.
type progress struct{ rotations, open, attention int }

func (p *person) progress(ctx context.Context) (g progress, err error) {
	err = p.db.QueryRow(ctx, `
		SELECT (SELECT coalesce(sum(generation), 0) FROM wallet_state), (SELECT count(*) FROM rotations), (SELECT count(*) FROM attention)`).
		Scan(&g.rotations, &g.open, &g.attention)
	if err != nil {
		return progress{}, fmt.Errorf("looking at the fleet: %w", err)
	}
	return g, nil
}

// insist repeats until the database, which fails over now and then, has taken
// it.
func (p *person) insist(ctx context.Context, what, sql string, args ...any) error {
	for {
		_, err := p.db.Exec(ctx, sql, args...)
		if err == nil {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Walk is the comparison of all wallets, one after the other, that one replica
// does for all.
type Walk struct {
	Tick       time.Time // that it satisfies
	LastWallet int64     // compared so far, in the order of ids
	Counts     Counts
}

// Counts are numbers of wallets by provider and result.
type Counts map[string]map[string]int64

// Add counts n more.
func (c Counts) Add(provider, result string, n int64) {
	if c[provider] == nil {
		c[provider] = map[string]int64{}
	}
	c[provider][result] += n
}

// Walked is where the walks are, for the schedule and for the metrics.
type Walked struct {
	Tick        time.Time // of the walk that runs or ran last
	Running     bool
	CompletedAt time.Time // of the last one that came to its end; zero: never
	Results     Counts    // of that one
}

// Walked reads where the walks are.
func (s *Store) Walked(ctx context.Context) (w Walked, err error) {
	var completed *time.Time
	var results []byte
	if err := s.pool.QueryRow(ctx, `SELECT tick, running, completed_at, results FROM reconcile_state`).
		Scan(&w.Tick, &w.Running, &completed, &results); err != nil {
		return Walked{}, fmt.Errorf("reading where the comparison is: %w", err)
	}
	if completed != nil {
		w.CompletedAt = *completed
	}
	if err := json.Unmarshal(results, &w.Results); err != nil {
		return Walked{}, fmt.Errorf("reading the results of the comparison: %w", err)
	}
	return w, nil
}

// BeginWalk begins the walk of a tick, if it has come for no replica before and
// no walk runs.
func (s *Store) BeginWalk(ctx context.Context, owner int64, tick time.Time) (w Walk, mine bool, err error) {
	return s.takeWalk(ctx, "beginning a comparison of all wallets", `
		UPDATE reconcile_state SET tick = $2, running = true, owner = $1, last_wallet = 0, counts = '{}'
		 WHERE NOT running AND tick < $2 AND `+fmt.Sprintf(alive, 1)+` RETURNING tick, last_wallet, counts`, owner, tick)
}

// TakeWalk goes on with a walk that is the owner's on record, or belongs to
// nobody, or to nobody any more. It is for an owner that has none in hand.
func (s *Store) TakeWalk(ctx context.Context, owner int64) (w Walk, mine bool, err error) {
	return s.takeWalk(ctx, "taking over a comparison of all wallets", `
		UPDATE reconcile_state SET owner = $1
		 WHERE running AND (owner = $1 OR NOT EXISTS (SELECT FROM replicas x WHERE x.epoch = owner)) AND `+fmt.Sprintf(alive, 1)+`
		RETURNING tick, last_wallet, counts`, owner)
}

func (s *Store) takeWalk(ctx context.Context, what, sql string, args ...any) (w Walk, mine bool, err error) {
	var counts []byte
	err = s.pool.QueryRow(ctx, sql, args...).Scan(&w.Tick, &w.LastWallet, &counts)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Walk{}, false, nil
	case err != nil:
		return Walk{}, false, fmt.Errorf("%s: %w", what, err)
	}
	if err := json.Unmarshal(counts, &w.Counts); err != nil {
		return Walk{}, false, fmt.Errorf("%s: reading its counts: %w", what, err)
	}
	return w, true, nil
}

// StepWalk records how far a walk has come and, in the same transaction, requests
// to reconcile wallets that it met with. [ErrNotRecorded]: the walk is no
// longer this replica's, and nothing was requested.
func (s *Store) StepWalk(ctx context.Context, owner int64, w Walk, walletIDs []int64, actor, reason string) error {
	counts, err := json.Marshal(w.Counts)
	if err != nil {
		return fmt.Errorf("encoding the counts of a comparison: %w", err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE reconcile_state SET last_wallet = $3, counts = $4
			 WHERE running AND owner = $1 AND tick = $2 AND `+fmt.Sprintf(alive, 1), owner, w.Tick, w.LastWallet, counts)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotRecorded
		}
		if len(walletIDs) > 0 {
			_, err = tx.Exec(ctx, askReconcileSQL, walletIDs, actor, reason)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("recording how far the comparison has come: %w", err)
	}
	return nil
}

// EndWalk records that a walk has come to its end; its counts are the results
// from now on.
func (s *Store) EndWalk(ctx context.Context, owner int64, w Walk) error {
	return s.one(ctx, "ending the comparison of all wallets", `
		UPDATE reconcile_state SET running = false, owner = NULL, completed_at = now(), results = counts
		 WHERE running AND owner = $1 AND tick = $2`, owner, w.Tick)
}

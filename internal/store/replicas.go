package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrGivenUp says that this replica was given up for dead: its epoch is gone,
// and nothing it still does changes anything on record.
var ErrGivenUp = errors.New("this replica was given up for dead")

// epochs are below this, so that whoever reads them as JSON keeps every digit.
const epochs = 1 << 53

// Register adds a replica and returns its epoch, which is never given out
// again. It is drawn at random and not from a sequence: a failover or a restore
// sets that back, and would give out the epoch of a replica that lives and has
// lost its row.
func (s *Store) Register(ctx context.Context, id, version string) (epoch int64, err error) {
	epoch = 1 + rand.Int64N(epochs-1)
	if _, err := s.pool.Exec(ctx, `INSERT INTO replicas (epoch, id, version) VALUES ($1, $2, $3)`,
		epoch, id, version); err != nil {
		return 0, fmt.Errorf("registering this replica: %w", err)
	}
	return epoch, nil
}

// Heartbeat says that the replica is alive, and reads the database's clock on
// the way. ErrGivenUp when its epoch is gone.
func (s *Store) Heartbeat(ctx context.Context, epoch int64) (skew time.Duration, err error) {
	before := time.Now()
	var database time.Time
	err = s.pool.QueryRow(ctx, `UPDATE replicas SET heartbeat = clock_timestamp() WHERE epoch = $1 RETURNING heartbeat`,
		epoch).Scan(&database)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrGivenUp
	}
	if err != nil {
		return 0, fmt.Errorf("sending a heartbeat: %w", err)
	}
	return s.setClock(database, before, time.Now()), nil
}

// Leave removes the replica. What it still had in hand is parked, to be picked
// up by anybody at once.
func (s *Store) Leave(ctx context.Context, epoch int64) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM replicas WHERE epoch = $1`, epoch); err != nil {
			return err
		}
		return park(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("signing off: %w", err)
	}
	return nil
}

// GiveUp removes replicas whose heartbeat is older than timeout, and parks
// what they had in hand. It returns how many it gave up.
func (s *Store) GiveUp(ctx context.Context, timeout time.Duration) (dead int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM replicas WHERE heartbeat < clock_timestamp() - $1::interval`, timeout)
		if err != nil {
			return err
		}
		if dead = int(tag.RowsAffected()); dead == 0 {
			return nil
		}
		return park(ctx, tx)
	})
	if err != nil {
		return 0, fmt.Errorf("giving up dead replicas: %w", err)
	}
	return dead, nil
}

// alive is true while the replica with epoch $%d is not given up. Who takes
// something in hand holds the replica's row until it commits: so GiveUp comes
// either before, and nothing is taken, or after, and parks it.
const alive = "EXISTS (SELECT FROM replicas WHERE epoch = $%d FOR KEY SHARE)"

// park frees what belongs to no living replica, in the order of wallet ids:
// the dead may yet be writing a batch. A wait that was to come first still
// does.
func park(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `
		WITH lost AS (
		    SELECT wallet_id FROM rotations r
		     WHERE owner IS NOT NULL AND NOT EXISTS (SELECT FROM replicas x WHERE x.epoch = r.owner)
		     ORDER BY wallet_id FOR NO KEY UPDATE)
		UPDATE rotations r SET owner = NULL, next_check = greatest(r.next_check, now()) FROM lost
		 WHERE r.wallet_id = ANY (ARRAY[lost.wallet_id])`); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE retirements SET owner = NULL
		 WHERE owner IS NOT NULL AND NOT EXISTS (SELECT FROM replicas x WHERE x.epoch = retirements.owner)`)
	return err
}

// takeSQL takes parked rotations in hand; commits go before everything else.
const takeSQL = `
WITH due AS (
    SELECT wallet_id FROM rotations
     WHERE owner IS NULL AND next_check <= now() AND %s AND %s
     ORDER BY state <> 'promoted', next_check, wallet_id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
UPDATE rotations r SET owner = $1 FROM due
 WHERE r.wallet_id = ANY (ARRAY[due.wallet_id])
RETURNING r.wallet_id`

var (
	takeUnderWaySQL = fmt.Sprintf(takeSQL, "state IN ('opening', 'ceremony', 'prepared', 'promoted')", fmt.Sprintf(alive, 1))
	takeWaitingSQL  = fmt.Sprintf(takeSQL, "state = 'waiting' AND policy_id IS NOT DISTINCT FROM $3::int", fmt.Sprintf(alive, 1))
)

// TakeUnderWay takes up to limit parked rotations that are past waiting and
// whose next check is due. They hold their place in every limit already.
func (s *Store) TakeUnderWay(ctx context.Context, owner int64, limit int) ([]*Rotation, error) {
	taken, err := s.step(ctx, "taking parked rotations", takeUnderWaySQL, owner, limit)
	if err != nil || len(taken) == 0 {
		return nil, err
	}
	return s.Load(ctx, owner, slices.Collect(maps.Keys(taken)))
}

// TakeWaiting takes parked rotations of a policy (0: of none) whose backoff is
// over, within the policy's limit on rotations under way.
func (s *Store) TakeWaiting(ctx context.Context, owner int64, policyID, maxConcurrent int32, limit int) ([]*Rotation, error) {
	var ids []int64
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if maxConcurrent > 0 && policyID != 0 {
			if _, err := tx.Exec(ctx, `SELECT FROM policy_state WHERE policy_id = $1 FOR NO KEY UPDATE`, policyID); err != nil {
				return err
			}
			var underWay int
			if err := tx.QueryRow(ctx, underWaySQL, policyID).Scan(&underWay); err != nil {
				return err
			}
			limit = min(limit, max(int(maxConcurrent)-underWay, 0))
		}
		rows, err := tx.Query(ctx, takeWaitingSQL, owner, limit, null(policyID))
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("taking waiting rotations: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return s.Load(ctx, owner, ids)
}

// WaitingPolicies lists the policies (0: none) that have parked rotations
// whose backoff is over.
func (s *Store) WaitingPolicies(ctx context.Context) ([]int32, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT DISTINCT coalesce(policy_id, 0) FROM rotations WHERE owner IS NULL AND state = 'waiting' AND next_check <= now()`)
	if err != nil {
		return nil, fmt.Errorf("looking for waiting rotations: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("looking for waiting rotations: %w", err)
	}
	return ids, nil
}

package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/failpoint"
	"github.com/rotatord/rotatord/migrations"
)

// Options of Open.
type Options struct {
	// DSN of the daemon's own role.
	DSN string
	// MaxConns in the pool; at least 4, since each recorder may hold one.
	MaxConns int
}

// Store is the daemon's view of its database. It is safe for concurrent use.
type Store struct {
	pool     *pgxpool.Pool
	refusals refusals

	clock struct {
		sync.Mutex
		database time.Time // the database's time at
		local    time.Time // this moment, on the monotonic clock
	}
}

// Open connects, checks that the schema suits this daemon
// ([migrations.ErrTooOld], [migrations.ErrTooNew]) and reads the database's
// clock.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(o.DSN)
	if err != nil {
		// pgx leaves the password out of this error.
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	cfg.MaxConns = int32(max(o.MaxConns, 4))
	cfg.ConnConfig.RuntimeParams["application_name"] = "rotatord"
	// Every timestamp of ours is read and shown in UTC.
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.AfterConnect = settle
	s := &Store{}
	cfg.ConnConfig.Tracer = &s.refusals
	if points := failpoint.Tracer(); points != nil { // in tests
		cfg.ConnConfig.Tracer = multitracer.New(&s.refusals, points)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	s.pool = pool
	if err := migrations.Check(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	if _, err := s.SyncClock(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for running statements and closes all connections.
func (s *Store) Close() { s.pool.Close() }

// Ready says whether the database answers, its schema suits, and it took what
// it was given lately ([ErrNoWrites]).
func (s *Store) Ready(ctx context.Context) error {
	if err := migrations.Check(ctx, s.pool); err != nil {
		return err
	}
	return s.refusals.recent()
}

// Now is the database's clock, carried on by this process's monotonic clock,
// in whole microseconds. All replicas agree on it, whatever their own clocks
// say.
func (s *Store) Now() time.Time {
	s.clock.Lock()
	defer s.clock.Unlock()
	return s.clock.database.Add(time.Since(s.clock.local)).UTC().Truncate(time.Microsecond)
}

// SyncClock reads the database's clock and returns how far this machine's is
// ahead of it (negative: behind).
func (s *Store) SyncClock(ctx context.Context) (skew time.Duration, err error) {
	before := time.Now()
	var database time.Time
	if err := s.pool.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&database); err != nil {
		return 0, fmt.Errorf("reading the database's clock: %w", err)
	}
	return s.setClock(database, before, time.Now()), nil
}

// setClock takes a reading that was answered between before and after.
func (s *Store) setClock(database, before, after time.Time) (skew time.Duration) {
	middle := before.Add(after.Sub(before) / 2)
	s.clock.Lock()
	defer s.clock.Unlock()
	s.clock.database, s.clock.local = database, middle
	return middle.Round(0).Sub(database)
}

// inTx runs f in a transaction and commits it.
func (s *Store) inTx(ctx context.Context, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, f)
}

// column collects one field of many rows as the array that unnest takes.
func column[T, V any](rows []T, field func(T) V) []V {
	out := make([]V, len(rows))
	for i, r := range rows {
		out[i] = field(r)
	}
	return out
}

// inOrder sorts a batch by wallet id: rows are locked in that order.
func inOrder[T any](steps []T, walletID func(T) int64) []T {
	sorted := slices.Clone(steps)
	slices.SortStableFunc(sorted, func(a, b T) int { return cmp.Compare(walletID(a), walletID(b)) })
	return sorted
}

// plain makes text of others fit for PostgreSQL, which takes neither invalid
// UTF-8 nor NUL: one bad byte in a vendor's message must not keep a step off
// the record.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// null turns the zero value into SQL's null.
func null[V comparable](v V) *V {
	var zero V
	if v == zero {
		return nil
	}
	return &v
}

// nullTime turns the zero time into SQL's null; times that are equal but not
// identical (location) make null unusable for them.
func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

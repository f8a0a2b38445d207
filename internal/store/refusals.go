package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoWrites says that the database answers and stores nothing.
var ErrNoWrites = errors.New("the database takes no writes")

// refusing are the SQLSTATEs of a database that answers and stores nothing
// (PostgreSQL manual, appendix A).
var refusing = map[string]bool{
	"25006": true, // read_only_sql_transaction: a standby
	"53100": true, // disk_full
}

// refusalMemory is how long a refused write counts. What the daemon cannot
// write it tries again every few seconds, so while the trouble lasts there is
// always a younger one. A write that succeeds proves nothing: on a full disk
// rows that find room in their own page are still taken, heartbeats above all.
const refusalMemory = 10 * time.Second

// refusals remembers the last write that the database refused. As a tracer it
// hears of every statement.
type refusals struct {
	mu   sync.Mutex
	last error
	at   time.Time
}

// TraceQueryStart implements [pgx.QueryTracer].
func (r *refusals) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (r *refusals) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	var pg *pgconn.PgError
	if data.Err == nil || !errors.As(data.Err, &pg) || !refusing[pg.Code] {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.at = pg, time.Now()
}

// recent is ErrNoWrites if a write was refused a short while ago.
func (r *refusals) recent() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || time.Since(r.at) >= refusalMemory {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNoWrites, r.last)
}

// Writable is [ErrNoWrites] if the database refused a write a short while ago,
// without asking it. What must not be done unless it can be recorded afterwards
// is better not begun then.
func (s *Store) Writable() error { return s.refusals.recent() }

package store

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotRecorded says that the database refused a row: it is no longer in the
// expected state, or belongs to another replica. Nothing of that row changed.
var ErrNotRecorded = errors.New("the rotation is not where this replica left it")

// retryable are the SQLSTATEs after which the same statement may succeed
// unchanged (PostgreSQL manual, appendix A).
var retryable = map[string]bool{
	"25P03": true, // idle_in_transaction_session_timeout: rolled back, see longestPause
	"40001": true, // serialization_failure: also what rotatord_same_count raises
	"40P01": true, // deadlock_detected
	"53300": true, // too_many_connections
	"57P01": true, // admin_shutdown
	"57P02": true, // crash_shutdown
	"57P03": true, // cannot_connect_now: starting up, or shutting down
}

// IsRetryable says whether the database, not the data, was the reason of err:
// the same call may succeed when it is repeated, whole or row by row. After a
// broken connection it is unknown whether the statement took effect; the
// statements of this package are guarded so that repeating them is safe. It is
// false when the caller's own context ended, and for a closed Store.
func IsRetryable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return retryable[pg.Code] || strings.HasPrefix(pg.Code, "08")
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // nobody answered, or not in time
	}
	// context.DeadlineExceeded is a net.Error as well.
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		pgconn.SafeToRetry(err) // closed before anything was sent
}

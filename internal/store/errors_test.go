package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestIsRetryable(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("something else"), false},
		{ErrNotRecorded, false},
		{pgx.ErrNoRows, false},
		{&pgconn.PgError{Code: "25P03"}, true},
		{&pgconn.PgError{Code: "40001"}, true},
		{&pgconn.PgError{Code: "40P01"}, true},
		{&pgconn.PgError{Code: "57P01"}, true},
		{&pgconn.PgError{Code: "57P02"}, true},
		{&pgconn.PgError{Code: "57P03"}, true},
		{&pgconn.PgError{Code: "53300"}, true},
		{&pgconn.PgError{Code: "08006"}, true},
		{&pgconn.PgError{Code: "08P01"}, true},
		{&pgconn.PgError{Code: "23505"}, false},
		{&pgconn.PgError{Code: "23514"}, false},
		{&pgconn.PgError{Code: "42501"}, false},
		{&pgconn.PgError{Code: "57014"}, false}, // a person cancelled it
		{fmt.Errorf("recording: %w", &pgconn.PgError{Code: "40001"}), true},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{context.Canceled, false},
		{context.DeadlineExceeded, false},
		{fmt.Errorf("timeout: %w", context.DeadlineExceeded), false},
	} {
		if got := IsRetryable(c.err); got != c.want {
			t.Errorf("%v (%T): %t", c.err, c.err, got)
		}
	}
}

// TestRealBrokenConnections takes the errors from a real server.
func TestRealBrokenConnections(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := w.Policies(ended); IsRetryable(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}

	// The server ends the connection while a statement waits on it.
	tx, err := w.connect("").Begin(ctx)
	w.ok(err)
	p := w.policy("treasury")
	_, err = tx.Exec(ctx, `SELECT FROM policy_state FOR UPDATE`)
	w.ok(err)
	result := make(chan error, 1)
	go func() { result <- w.RecordVerdict(ctx, Verdict{PolicyID: p, Version: 1}) }()
	w.waiting(1)
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	if err := <-result; !IsRetryable(err) {
		t.Errorf("a terminated connection: %v", err)
	}
	w.ok(tx.Rollback(ctx))
	// And again while it is idle in the pool.
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rotatord'`)
	w.eventually(func() bool {
		_, err := w.Policies(ctx)
		if err != nil && !IsRetryable(err) {
			t.Fatalf("after all connections were ended: %v", err)
		}
		return err == nil
	}, "the pool is of use again")

	// A port where nobody answers.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	nobody := listener.Addr().String()
	w.ok(listener.Close())
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = Open(limited, Options{DSN: "postgres://rotatord@" + nobody + "/rotatord?sslmode=disable"})
	if !IsRetryable(err) {
		t.Errorf("a server that is away: %v", err)
	}

	closed := w.open()
	closed.Close()
	if _, err := closed.Policies(ctx); err == nil || IsRetryable(err) {
		t.Errorf("a closed store: %v", err)
	}
}

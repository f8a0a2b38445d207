//go:build failpoint

package failpoint

import (
	"context"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Transport has a point before each request and after the head of its reply.
func Transport(next http.RoundTripper) http.RoundTripper { return transport{next} }

type transport struct{ http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	name := "call "
	if who := who(); who != "" {
		name += who + " "
	}
	name += r.Method + " " + route(r.URL.Path)
	pass("before " + name)
	reply, err := t.RoundTripper.RoundTrip(r)
	pass("after " + name)
	return reply, err
}

// CloseIdleConnections is what http.Client looks for.
func (t transport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Tracer has a point before each statement that may change the database for
// good, and one after it if it did. Inside a transaction that is its commit, if
// anything was changed before it.
func Tracer() pgx.QueryTracer { return &tracer{} }

type tracer struct {
	changed sync.Map // connections whose open transaction has changed something
}

// statement is what TraceQueryEnd must know of one.
type statement struct {
	name             string // of its points; empty: it has none
	changes, commits bool
}

type executing struct{} // context key of a statement

func (t *tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s := statement{changes: changes(data.SQL), commits: commits(data.SQL)}
	_, changed := t.changed.Load(conn)
	if s.changes && conn.PgConn().TxStatus() == 'I' || s.commits && changed {
		s.name = "record " + method()
		pass("before " + s.name)
	}
	return context.WithValue(ctx, executing{}, s)
}

func (t *tracer) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	s, _ := ctx.Value(executing{}).(statement)
	done := data.Err == nil && (s.commits || data.CommandTag.RowsAffected() > 0)
	switch {
	case s.name != "":
		t.changed.Delete(conn)
		if done {
			pass("after " + s.name)
		}
	case s.changes && done:
		t.changed.Store(conn, true)
	case conn.PgConn().TxStatus() == 'I':
		t.changed.Delete(conn) // rolled back
	}
}

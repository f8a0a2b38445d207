//go:build failpoint

package failpoint

import (
	"context"
	"net/http"

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

// Tracer has a point before and after each statement that changes the database
// for good.
func Tracer() pgx.QueryTracer { return tracer{} }

type tracer struct{}

type writing struct{} // context key: name of the write

func (tracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !durable(data.SQL, conn.PgConn().TxStatus() != 'I') {
		return ctx
	}
	name := "record " + method()
	pass("before " + name)
	return context.WithValue(ctx, writing{}, name)
}

func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if name, ok := ctx.Value(writing{}).(string); ok {
		pass("after " + name)
	}
}

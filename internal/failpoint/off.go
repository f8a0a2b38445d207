//go:build !failpoint

package failpoint

import (
	"net/http"

	"github.com/jackc/pgx/v5"
)

// Transport is next.
func Transport(next http.RoundTripper) http.RoundTripper { return next }

// Tracer is nil: nothing is traced.
func Tracer() pgx.QueryTracer { return nil }

package pgdev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ourPrefix starts the name of every database on a server that is not ours.
const ourPrefix = "rotatord_dev_"

// borrow uses a server that runs already. Everything goes into databases with
// a random prefix, so that no name can be somebody else's.
func borrow(ctx context.Context, opts Options) (*Server, error) {
	if _, err := pgx.ParseConfig(opts.URL); err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", hidden(err))
	}
	s := &Server{base: opts.URL, prefix: ourPrefix + strings.ToLower(rand.Text()[:10]) + "_"}
	dsn, err := s.CreateDatabase(ctx, "main", "")
	if err != nil {
		return nil, fmt.Errorf("using the PostgreSQL at the given URL: %w", err)
	}
	s.url = dsn
	fmt.Fprintf(opts.Log, "using the PostgreSQL at the given URL; what is made there is named %s… and dropped at the end\n", s.prefix)
	fmt.Fprintf(opts.Log, "open it with: %s\n", s.PsqlCommand(s.url))
	return s, nil
}

// dropAll drops what was made on a server that is not ours, the last one first.
func (s *Server) dropAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
	defer cancel()
	var failed error
	for _, real := range slices.Backward(slices.Clone(s.made)) {
		failed = errors.Join(failed, s.drop(ctx, real))
	}
	return failed
}

// hidden is an error about a DSN without the DSN, which may hold a password.
func hidden(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err // pgx masks the password itself
}

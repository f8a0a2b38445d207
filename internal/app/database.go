package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/store"
	"github.com/rotatord/rotatord/migrations"
)

// connectTimeout is for a database that does not answer at start.
const connectTimeout = 15 * time.Second

// openStore opens the daemon's database, and migrates it before where the
// configuration says so.
func openStore(ctx context.Context, cfg *config.Config, log *slog.Logger) (*store.Store, error) {
	if cfg.Database.AutoMigrate {
		dsn, err := cfg.Database.MigrateURL.Current()
		if err != nil {
			return nil, err
		}
		before, err := Migrate(ctx, dsn)
		if err != nil {
			return nil, err
		}
		if before < migrations.Latest {
			log.Info("database migrated", "from", before, "to", migrations.Latest)
		}
	}
	dsn, err := cfg.Database.URL.Current()
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	s, err := store.Open(opening, store.Options{DSN: dsn, MaxConns: cfg.Database.MaxConnections})
	return s, OneLine(err)
}

// Migrate brings the schema of a database up to this daemon's, and returns the
// migration it was at before. A schema of a newer daemon is left alone.
func Migrate(ctx context.Context, dsn string) (before int, err error) {
	parsed, err := pgx.ParseConfig(dsn)
	if err != nil {
		return 0, fmt.Errorf("reading the database URL: %w", OneLine(err))
	}
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, parsed)
	if err != nil {
		return 0, fmt.Errorf("connecting to migrate: %w", OneLine(err))
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // of no further use either way
	if before, err = migrations.Version(ctx, conn); err != nil {
		return 0, err
	}
	return before, migrations.Migrate(ctx, conn)
}

// OneLine makes a sentence of pgx's error about a connection, which lists
// every address that it tried in a line of its own. Other errors stay as they
// are.
func OneLine(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return err
	}
	where := net.JoinHostPort(connect.Config.Host, fmt.Sprint(connect.Config.Port))
	reason := innermost(connect)
	return &connectError{fmt.Sprintf("PostgreSQL at %s does not let %s in: %s", where, connect.Config.User, reason), err}
}

// innermost is the first reason at the bottom of an error.
func innermost(err error) string {
	for {
		var next error
		switch e := err.(type) {
		case *pgconn.PgError:
			return e.Message
		case interface{ Unwrap() error }:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[0]
			}
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// connectError keeps the error that it puts in other words.
type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.err }

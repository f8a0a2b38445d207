// Package migrations holds the schema of rotatord's database as numbered SQL
// files, and takes a database from any earlier version to this one.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/tern/v2/migrate"
)

//go:embed *.sql
var files embed.FS

// Latest is the migration this daemon was built with.
const Latest = 10

const versionTable = "public.rotatord_schema_version"

var (
	// ErrTooOld: the database lacks migrations that this daemon needs.
	ErrTooOld = errors.New("the database schema is older than this daemon: run rotatord migrate")
	// ErrTooNew: the database was migrated by a newer daemon, in a way this one
	// cannot live with.
	ErrTooNew = errors.New("the database schema no longer supports this version of the daemon: upgrade the daemon")
)

// Migrate brings the database to Latest. Concurrent callers wait for each
// other (an advisory lock); a database that is already there, or newer, is
// left alone. Each migration is one transaction: a failed one leaves nothing.
func Migrate(ctx context.Context, conn *pgx.Conn) error {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return fmt.Errorf("preparing the migration: %w", err)
	}
	if err := m.LoadMigrations(files); err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if n := len(m.Migrations); n != Latest {
		return fmt.Errorf("this build holds %d migrations and expects %d", n, Latest)
	}
	version, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the schema version: %w", err)
	}
	if version > Latest {
		return Check(ctx, conn)
	}
	if err := m.Migrate(ctx); err != nil {
		return fmt.Errorf("migrating the schema: %w", err)
	}
	return nil
}

// Version is the migration the database is at; 0 when it was never migrated.
func Version(ctx context.Context, db Querier) (int, error) {
	var v int
	err := db.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&v)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	return v, nil
}

// Querier is a connection or a pool.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Check says whether this daemon may use the database as it is: nil, ErrTooOld
// or ErrTooNew (wrapped, with the numbers), or a failure to ask.
func Check(ctx context.Context, db Querier) error {
	version, err := Version(ctx, db)
	if err != nil {
		return err
	}
	if version < Latest {
		return fmt.Errorf("%w (it is at migration %d, this daemon needs %d)", ErrTooOld, version, Latest)
	}
	var from int
	if err := db.QueryRow(ctx, "SELECT compatible_from FROM rotatord_schema").Scan(&from); err != nil {
		return fmt.Errorf("reading what the schema is compatible with: %w", err)
	}
	if from > Latest {
		return fmt.Errorf("%w (it needs a daemon built with migration %d or later, this one has %d)", ErrTooNew, from, Latest)
	}
	return nil
}

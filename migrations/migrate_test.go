package migrations_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/migrations"
)

func TestLatestIsTheNumberOfFiles(t *testing.T) {
	files, err := filepath.Glob("[0-9][0-9][0-9]_*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != migrations.Latest {
		t.Fatalf("Latest is %d, there are %d files", migrations.Latest, len(files))
	}
}

func TestMigrateTwice(t *testing.T) {
	s := connect(t, pgtest.NewEmpty(t))
	if v, err := migrations.Version(t.Context(), s); err != nil || v != 0 {
		t.Fatalf("version of an empty database: %d, %v", v, err)
	}
	if err := migrations.Check(t.Context(), s); !errors.Is(err, migrations.ErrTooOld) {
		t.Fatalf("checking an empty database: %v, want ErrTooOld", err)
	}
	for range 2 {
		if err := migrations.Migrate(t.Context(), s.Conn); err != nil {
			t.Fatal(err)
		}
		if v, err := migrations.Version(t.Context(), s); err != nil || v != migrations.Latest {
			t.Fatalf("version %d, %v", v, err)
		}
		if err := migrations.Check(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMigrateAtTheSameTime(t *testing.T) {
	dsn := pgtest.NewEmpty(t)
	// tern's own lock, so that all are certain to arrive while one is at work.
	holder := connect(t, dsn)
	const lock = int64(9628173550095224)
	holder.exec(`SELECT pg_advisory_lock($1)`, lock)
	var g errgroup.Group
	const callers = 4
	for range callers {
		conn := connect(t, dsn)
		g.Go(func() error { return migrations.Migrate(t.Context(), conn.Conn) })
	}
	eventually(t, "all callers wait", func() bool {
		return ask[int](holder, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == callers
	})
	holder.exec(`SELECT pg_advisory_unlock($1)`, lock)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if v := ask[int](holder, `SELECT version FROM rotatord_schema_version`); v != migrations.Latest {
		t.Fatalf("version %d", v)
	}
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	s := connect(t, pgtest.NewEmpty(t))
	s.exec(`CREATE TABLE share_set_history (mine int)`)
	err := migrations.Migrate(t.Context(), s.Conn)
	if err == nil || !strings.Contains(err.Error(), "migrating the schema") {
		t.Fatalf("migrating over somebody's table: %v", err)
	}
	if v := ask[int](s, `SELECT version FROM rotatord_schema_version`); v != 2 {
		t.Fatalf("version %d after 003 failed", v)
	}
	if n := ask[int](s, `SELECT count(*) FROM pg_proc WHERE proname = 'share_set_history_refuse'`); n != 0 {
		t.Fatal("half a migration is left over")
	}
	if err := migrations.Check(t.Context(), s); !errors.Is(err, migrations.ErrTooOld) {
		t.Fatalf("checking: %v, want ErrTooOld", err)
	}
	s.exec(`DROP TABLE share_set_history`)
	if err := migrations.Migrate(t.Context(), s.Conn); err != nil {
		t.Fatal(err)
	}
}

func TestNewerSchema(t *testing.T) {
	s := migrated(t)
	s.exec(`UPDATE rotatord_schema_version SET version = $1`, migrations.Latest+1)
	// A later migration that this daemon can live with.
	if err := migrations.Check(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Migrate(t.Context(), s.Conn); err != nil {
		t.Fatal(err)
	}
	if v := ask[int](s, `SELECT version FROM rotatord_schema_version`); v != migrations.Latest+1 {
		t.Fatalf("version %d: an older daemon went back", v)
	}
	// One that it cannot live with.
	s.exec(`UPDATE rotatord_schema SET compatible_from = $1`, migrations.Latest+1)
	if err := migrations.Check(t.Context(), s); !errors.Is(err, migrations.ErrTooNew) {
		t.Fatalf("checking: %v, want ErrTooNew", err)
	}
	if err := migrations.Migrate(t.Context(), s.Conn); !errors.Is(err, migrations.ErrTooNew) {
		t.Fatalf("migrating: %v, want ErrTooNew", err)
	}
}

func TestCheckThatCannotAsk(t *testing.T) {
	s := migrated(t)
	s.exec(`DROP TABLE rotatord_schema`)
	if err := migrations.Check(t.Context(), s); err == nil || errors.Is(err, migrations.ErrTooOld) || errors.Is(err, migrations.ErrTooNew) {
		t.Fatalf("checking without the table: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrations.Version(ended, s); !errors.Is(err, context.Canceled) {
		t.Fatalf("asking with an ended context: %v", err)
	}
	if err := migrations.Migrate(ended, s.Conn); !errors.Is(err, context.Canceled) {
		t.Fatalf("migrating with an ended context: %v", err)
	}
}

// TestMigrateWithoutCreateRole runs on a server of its own, because the roles
// belong to all databases of a server.
func TestMigrateWithoutCreateRole(t *testing.T) {
	server, err := pgdev.Start(t.Context(), pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn, err := server.CreateDatabase(t.Context(), "fleet", "")
	if err != nil {
		t.Fatal(err)
	}
	super := connect(t, dsn)
	super.exec(`CREATE ROLE schema_login LOGIN`)
	super.exec(`GRANT CREATE ON SCHEMA public TO schema_login`)
	login := connect(t, withUser(t, dsn, "schema_login"))

	err = migrations.Migrate(t.Context(), login.Conn)
	if want := "this login may not create the role rotatord_app: let a superuser run deploy/sql/roles.sql once, then migrate again"; err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("migrating: %v, want %q", err, want)
	}
	roles, err := os.ReadFile("../deploy/sql/roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := super.PgConn().Exec(t.Context(), string(roles)).ReadAll(); err != nil {
		t.Fatalf("roles.sql: %v", err)
	}
	if err := migrations.Migrate(t.Context(), login.Conn); err != nil {
		t.Fatal(err)
	}
	// What it made is of use to a daemon's login.
	super.exec(`CREATE ROLE daemon_login LOGIN IN ROLE rotatord_app`)
	daemon := connect(t, withUser(t, dsn, "daemon_login"))
	if err := migrations.Check(t.Context(), daemon); err != nil {
		t.Fatal(err)
	}
	daemon.exec(`INSERT INTO replicas (epoch, id, version) VALUES (7, 'a', 'v')`)
	// And an operator's edits go through triggers that belong to schema_login.
	super.exec(`CREATE ROLE alice LOGIN IN ROLE rotatord_operator`)
	alice := connect(t, withUser(t, dsn, "alice"))
	alice.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '0 3 * * 0')`)
	if by := ask[string](alice, `SELECT updated_by FROM rotation_policies`); by != "alice" {
		t.Fatalf("updated by %s", by)
	}
}

func withUser(t *testing.T, dsn, user string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	q := u.Query()
	q.Del("user")
	q.Del("password")
	u.RawQuery = q.Encode()
	if cfg, err := pgx.ParseConfig(u.String()); err != nil || cfg.User != user {
		t.Fatalf("DSN for %s: %v", user, err)
	}
	return u.String()
}

// eventually looks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

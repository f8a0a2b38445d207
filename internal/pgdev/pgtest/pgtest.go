// Package pgtest gives each test a fresh, real database with the schema in it.
// A test package uses it with
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// or, when it also looks for goroutines left behind,
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }
//
// The first test that asks starts one PostgreSQL for the whole test process,
// or uses the one that DATABASE_URL names. It ends with the process, whatever
// ends the process.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/migrations"
)

// template is the database that the others are cloned from.
const template = "template"

// timeout is for anything done here; the longest, starting a server, takes a
// second.
const timeout = time.Minute

var shared struct {
	around   atomic.Bool // between the start and the end of Around's Run
	start    sync.Once
	server   *pgdev.Server
	startErr error
	migrate  sync.Once
	tmplErr  error
	count    atomic.Int64
}

// Main runs the tests, stops the server and exits.
func Main(m *testing.M) { os.Exit(Around(m).Run()) }

// Around is m, whose Run also stops the server.
func Around(m *testing.M) interface{ Run() int } { return around{m} }

type around struct{ tests *testing.M }

func (a around) Run() (code int) {
	shared.around.Store(true)
	defer func() {
		if shared.server == nil {
			return
		}
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "pgtest: stopping the server: %v\n", err)
			code = max(code, 1)
		}
	}()
	return a.tests.Run()
}

// New is the DSN of a fresh database with the schema, as its owner. It is
// dropped when the test ends.
func New(t testing.TB) string {
	t.Helper()
	s := Server(t)
	shared.migrate.Do(func() { shared.tmplErr = makeTemplate(s) })
	if shared.tmplErr != nil {
		t.Fatalf("pgtest: making the template: %v", shared.tmplErr)
	}
	return create(t, s, template)
}

// NewEmpty is the DSN of a fresh database with nothing in it. It is dropped
// when the test ends.
func NewEmpty(t testing.TB) string {
	t.Helper()
	return create(t, Server(t), "")
}

// Server is the server that all tests of the process share. A test that
// restarts it must not run beside others; it may rather start its own.
func Server(t testing.TB) *pgdev.Server {
	t.Helper()
	if !shared.around.Load() {
		t.Fatal("pgtest: nobody would stop the server: this package's TestMain must call pgtest.Main")
	}
	shared.start.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		shared.server, shared.startErr = pgdev.Start(ctx, pgdev.Options{URL: os.Getenv("DATABASE_URL")})
	})
	if shared.startErr != nil {
		t.Fatalf("pgtest: %v", shared.startErr)
	}
	return shared.server
}

// makeTemplate migrates a database once per process. Roles belong to the whole
// server, which DATABASE_URL may share between processes.
func makeTemplate(s *pgdev.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.Exclusive(ctx, func(ctx context.Context) error {
		dsn, err := s.CreateDatabase(ctx, template, "")
		if err != nil {
			return err
		}
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return migrations.Migrate(ctx, conn)
	})
}

func create(t testing.TB, s *pgdev.Server, from string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	name := databaseName(shared.count.Add(1), t.Name())
	dsn, err := s.CreateDatabase(ctx, name, from)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := s.DropDatabase(ctx, name); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return dsn
}

// databaseName is unique in the process and tells a person whose database it
// is. It leaves room for the prefix on a shared server.
func databaseName(n int64, test string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("t%d_%.28s", n, name)
}

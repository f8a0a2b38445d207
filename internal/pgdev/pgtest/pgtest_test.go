package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	return conn
}

// count is the answer of a query that counts.
func count(t *testing.T, conn *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestNewIsMigratedAndFresh(t *testing.T) {
	for range 2 { // the second one sees nothing of the first
		conn := connect(t, pgtest.New(t))
		if n := count(t, conn, "SELECT count(*) FROM rotation_policies"); n != 0 {
			t.Fatalf("%d policies in a fresh database", n)
		}
		if _, err := conn.Exec(t.Context(), "INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '0 3 * * 0')"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewEmptyHasNoSchema(t *testing.T) {
	conn := connect(t, pgtest.NewEmpty(t))
	if n := count(t, conn, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); n != 0 {
		t.Fatalf("%d tables in an empty database", n)
	}
}

func TestManyAtOnce(t *testing.T) {
	for range 8 {
		t.Run("clone", func(t *testing.T) {
			t.Parallel()
			count(t, connect(t, pgtest.New(t)), "SELECT count(*) FROM wallets")
		})
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	var name string
	t.Run("inner", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), pgtest.New(t)) // left open: the drop must not wait for it
		if err != nil {
			t.Fatal(err)
		}
		name = conn.Config().Database
	})
	conn := connect(t, pgtest.Server(t).URL())
	if n := count(t, conn, "SELECT count(*) FROM pg_database WHERE datname = $1", name); n != 0 {
		t.Fatalf("database %s outlived its test", name)
	}
}

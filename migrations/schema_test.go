package migrations_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// schema is a fresh, migrated database, seen by its owner.
type schema struct {
	*pgx.Conn
	t testing.TB
}

func connect(t testing.TB, dsn string) schema {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return schema{conn, t}
}

func migrated(t testing.TB) schema {
	t.Helper()
	return connect(t, pgtest.New(t))
}

func (s schema) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](s schema, sql string, args ...any) (v T) {
	s.t.Helper()
	if err := s.QueryRow(s.t.Context(), sql, args...).Scan(&v); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// try runs statements and takes them back. It returns what refused them.
func (s schema) try(sql string) *pgconn.PgError {
	s.t.Helper()
	tx, err := s.Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}()
	_, err = tx.Exec(s.t.Context(), sql)
	if err == nil {
		// What is checked at the end of the transaction counts too.
		_, err = tx.Exec(s.t.Context(), "SET CONSTRAINTS ALL IMMEDIATE")
	}
	var refused *pgconn.PgError
	if err != nil && !errors.As(err, &refused) {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return refused
}

// people is a policy (1) with two wallets (1 and 2), a policy without wallets
// (2), a history and a request.
const people = `
INSERT INTO rotation_policies (id, name, schedule) VALUES (1, 'treasury', '0 3 * * 0'), (2, 'idle', '@daily');
INSERT INTO wallets (id, provider, external_id, policy_id, public_key) VALUES (1, 'dyn', 'w1', 1, 'aa'), (2, 'dyn', 'w2', 1, NULL);
INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash)
VALUES (1, 1, 0, 'baseline', now(), 's0', sha256('x'));
SELECT setval('rotation_policies_id_seq', 10), setval('wallets_id_seq', 10);
INSERT INTO rotation_requests (action, wallet_id) VALUES ('rotate', 1);
`

// A rotation of wallet 1 in waiting, and the way from there to each state.
const waiting = `INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, claimed_at)
VALUES (1, gen_random_uuid(), 1, now(), 'schedule', now());`

var reach = func() map[string]string {
	opening := waiting + `UPDATE rotations SET state = 'opening', attempt_id = gen_random_uuid(), old_share_set = 's0';`
	ceremony := opening + `UPDATE rotations SET state = 'ceremony', pending_share_set = 's1';`
	prepared := ceremony + `UPDATE rotations SET state = 'prepared';`
	promoted := prepared + `UPDATE rotations SET state = 'promoted';`
	return map[string]string{"waiting": waiting, "opening": opening, "ceremony": ceremony, "prepared": prepared, "promoted": promoted,
		"failed": waiting + `UPDATE rotations SET state = 'failed';`}
}()

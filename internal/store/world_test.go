package store

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// world is a fresh database, seen by its owner through admin and by the daemon
// through Store. The daemon is always rotatord_app: what that role may not do
// fails every test that needs it.
type world struct {
	*Store
	t     testing.TB
	dsn   string
	admin *pgx.Conn
	epoch int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dsn: pgtest.New(t)}
	w.admin = w.connect("")
	w.Store = w.open()
	w.epoch = w.register()
	return w
}

// connect opens a connection of its own in the given role; empty: the owner.
func (w *world) connect(role string) *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), as(w.t, w.dsn, role))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// open is another process of the daemon.
func (w *world) open() *Store {
	w.t.Helper()
	s, err := Open(w.t.Context(), Options{DSN: as(w.t, w.dsn, "rotatord_app"), MaxConns: 8})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Close)
	return s
}

func (w *world) register() int64 {
	w.t.Helper()
	epoch, err := w.Register(w.t.Context(), "test", "v0")
	if err != nil {
		w.t.Fatal(err)
	}
	return epoch
}

// as is dsn, used in a role.
func as(t testing.TB, dsn, role string) string {
	t.Helper()
	if role == "" {
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

// exec runs SQL as the owner, the way a person or a test's stagehand does.
func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.admin.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// ask reads one value as the owner.
func ask[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.admin.QueryRow(w.t.Context(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) same(got, want any, what string, args ...any) {
	w.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Fatalf("%s: got %v, want %v", fmt.Sprintf(what, args...), got, want)
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// policy inserts a policy and judges it good; its schedule counts from long
// ago, so that a test may tick it in the past.
func (w *world) policy(name string) int32 {
	w.t.Helper()
	id := ask[int32](w, `INSERT INTO rotation_policies (name, schedule) VALUES ($1, '0 3 * * 0') RETURNING id`, name)
	w.judge(id)
	w.exec(`UPDATE policy_state SET schedule_since = '2020-01-01' WHERE policy_id = $1`, id)
	return id
}

func (w *world) judge(policyID int32) {
	w.t.Helper()
	w.ok(w.RecordVerdict(w.t.Context(), Verdict{PolicyID: policyID, Spec: []byte(`{"max_attempts": 3}`),
		Version: ask[int64](w, `SELECT version FROM rotation_policies WHERE id = $1`, policyID)}))
}

// wallets inserts n wallets that last satisfied a tick a month ago.
func (w *world) wallets(policyID int32, n int) []int64 {
	w.t.Helper()
	rows, err := w.admin.Query(w.t.Context(), `
		INSERT INTO wallets (provider, external_id, policy_id)
		SELECT 'dyn', 'w' || nextval('wallets_id_seq'), $1 FROM generate_series(1, $2) RETURNING id`, null(policyID), n)
	w.ok(err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	w.ok(err)
	w.exec(`UPDATE wallet_state SET cycle_at = date_trunc('day', now()) - interval '30 days', eligible_after = '2020-01-01' WHERE wallet_id = ANY($1)`, ids)
	return ids
}

// hoursAgo is a tick on the hour.
func (w *world) hoursAgo(n int) time.Time {
	return w.Now().Truncate(time.Hour).Add(time.Duration(-n) * time.Hour)
}

// tick fires a policy and insists that this was the first to do so.
func (w *world) tick(policyID int32, at time.Time) {
	w.t.Helper()
	first, err := w.Advance(w.t.Context(), Tick{PolicyID: policyID, At: at, Trigger: Schedule,
		Version: ask[int64](w, `SELECT running_version FROM policy_state WHERE policy_id = $1`, policyID)})
	w.ok(err)
	w.same(first, true, "first to record the tick")
}

// claim claims wallets without limits, in order of their ids, and insists that
// all were due.
func (w *world) claim(policyID int32, tick time.Time, ids ...int64) map[int64]*Rotation {
	w.t.Helper()
	got, err := w.Claim(w.t.Context(), Claim{Owner: w.epoch, PolicyID: policyID, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids})
	w.ok(err)
	w.same(len(got.Rotations), len(ids), "claimed rotations")
	out := map[int64]*Rotation{}
	for _, r := range got.Rotations {
		out[r.Wallet.ID] = r
	}
	return out
}

// claimed is a world with one policy, one tick an hour ago and one claimed
// wallet.
func claimed(t testing.TB) (*world, *Rotation) {
	t.Helper()
	w := newWorld(t)
	p := w.policy("treasury")
	id := w.wallets(p, 1)[0]
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	return w, w.claim(p, tick, id)[id]
}

// reload reads a rotation anew and insists that this replica has it.
func (w *world) reload(r *Rotation) *Rotation {
	w.t.Helper()
	got, err := w.Load(w.t.Context(), w.epoch, []int64{r.Wallet.ID})
	w.ok(err)
	w.same(len(got), 1, "rotations in hand")
	return got[0]
}

// waiting looks until n statements on this database wait for a lock.
func (w *world) waiting(n int) {
	w.t.Helper()
	w.eventually(func() bool {
		return ask[int](w, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) >= n
	}, "%d statements wait for a lock", n)
}

// eventually looks until it is so.
func (w *world) eventually(so func() bool, what string, args ...any) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			w.t.Fatalf("not within 20 s: "+what, args...)
		}
	}
}

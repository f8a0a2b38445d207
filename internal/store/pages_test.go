package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func (w *world) reader(role string) *Reader {
	w.t.Helper()
	r, err := ConnectReader(w.t.Context(), as(w.t, w.dsn, role))
	w.ok(err)
	w.t.Cleanup(func() { r.Close(w.t.Context()) })
	return r
}

// TestEveryRoleReadsTheHistory, and all read the same.
func TestEveryRoleReadsTheHistory(t *testing.T) {
	w, r := claimed(t)
	w.rotate(r)
	w.wallets(0, 1)
	want, err := w.HistoryPage(t.Context(), WholeHistory())
	w.ok(err)
	w.same(len(want.Rows), 2, "rows")
	w.same(len(want.Heads), 2, "heads")
	for _, role := range []string{"rotatord_app", "rotatord_operator", "rotatord_readonly"} {
		r := w.reader(role)
		got, err := r.HistoryPage(t.Context(), WholeHistory())
		w.ok(err)
		w.same(fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want), "what %s reads", role)
		first, last, err := r.Bounds(t.Context())
		w.ok(err)
		w.same([]int64{first, last}, []int64{want.Heads[0].WalletID, want.Heads[1].WalletID}, "bounds")
		version, now, err := r.Schema(t.Context())
		w.ok(err)
		w.same(version, ask[int](w, `SELECT version FROM rotatord_schema_version`), "schema")
		w.same(now.IsZero(), false, "no time")
	}
}

// TestWalletIDs: a deleted wallet that was inserted anew has two histories.
func TestWalletIDs(t *testing.T) {
	w := newWorld(t)
	r := w.reader("rotatord_readonly")
	first := ask[int64](w, `INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'a') RETURNING id`)
	w.exec(`DELETE FROM wallets`)
	second := ask[int64](w, `INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'a') RETURNING id`)
	w.exec(`INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'b'), ('else', 'a')`)
	ids, err := r.WalletIDs(t.Context(), "dyn", "a")
	w.ok(err)
	w.same(ids, []int64{first, second}, "wallets")
	if _, err := r.WalletIDs(t.Context(), "dyn", "c"); !errors.Is(err, ErrNoWallet) {
		t.Errorf("an unknown wallet: %v", err)
	}
}

// TestPagesReadByIndex: a page costs what it holds, however large the fleet is.
func TestPagesReadByIndex(t *testing.T) {
	w := newWorld(t)
	w.exec(`SET session_replication_role = replica;
		INSERT INTO wallets (provider, external_id) SELECT 'dyn', 'w' || n FROM generate_series(1, 20000) n;
		INSERT INTO wallet_state (wallet_id, cycle_at, eligible_after) SELECT id, now(), now() FROM wallets WHERE id % 10 > 0;
		INSERT INTO deleted_wallets (wallet_id, provider, external_id, seq, hash, deleted_by) SELECT id, 'dyn', external_id, 0, '', 'x' FROM wallets WHERE id % 10 = 0;
		INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash)
		SELECT id, n, n, 'activated', now(), 's', sha256('x') FROM wallets, generate_series(1, 3) n; ANALYZE`)
	daemon := w.connect("rotatord_readonly")
	w.ok(settle(t.Context(), daemon))
	for name, sql := range map[string]string{
		"heads": strings.NewReplacer("$1", "5000", "$2", "9000", "$3", "100").Replace(headsSQL),
		"lost":  strings.NewReplacer("$1", "5000", "$2", "5100", "$3", "100").Replace(lostSQL),
		"rows":  strings.NewReplacer("$1", "5000", "$2", "2", "$3", "9000", "$4", "100").Replace(rowsSQL),
	} {
		rows, err := daemon.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) `+sql)
		w.ok(err)
		var plan strings.Builder
		for rows.Next() {
			var line string
			w.ok(rows.Scan(&line))
			plan.WriteString(line + "\n")
		}
		w.ok(rows.Err())
		for _, bad := range []string{"Seq Scan", "Sort (", "Sort  (", "Incremental Sort", "Hash"} {
			if strings.Contains(plan.String(), bad) {
				t.Errorf("%s:\n%s", name, plan.String())
			}
		}
		for _, line := range strings.Split(plan.String(), "\n") {
			var n int
			if _, after, found := strings.Cut(line, "rows="); found && strings.Contains(line, "Scan") {
				if _, err := fmt.Sscan(after, &n); err == nil && n > 250 {
					t.Errorf("%s reads %d rows for 100:\n%s", name, n, plan.String())
				}
			}
		}
	}
}

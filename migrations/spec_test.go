package migrations_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestNameAndScheduleAreACompletePolicy(t *testing.T) {
	s := migrated(t)
	s.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '0 3 * * 0')`)
	var enabled bool
	var version int64
	var since time.Time
	if err := s.QueryRow(t.Context(), `SELECT p.enabled AND paused_reason IS NULL, p.version, st.schedule_since
		FROM rotation_policies p JOIN policy_state st ON st.policy_id = p.id`).Scan(&enabled, &version, &since); err != nil {
		t.Fatal(err)
	}
	if !enabled || version != 1 || since.IsZero() {
		t.Fatalf("enabled %t, version %d, schedule since %s", enabled, version, since)
	}
}

// The daemon judges schedules; the database takes them, so that one bad row
// among many does not undo a person's whole edit.
func TestBadSchedulesAreTaken(t *testing.T) {
	s := migrated(t)
	for i, schedule := range []string{"TZ=", "CRON_TZ=UTC", "@every -5h", "@every 0s", "0 0 30 2 *", "gibberish", ""} {
		s.exec(`INSERT INTO rotation_policies (name, schedule, timezone) VALUES ($1, $2, 'No/Where')`, "p"+string(rune('a'+i)), schedule)
	}
	s.exec(`INSERT INTO rotation_policies (name) VALUES ('by-hand')`)
}

func TestPolicyEditsAreRecorded(t *testing.T) {
	s := migrated(t)
	s.exec(`INSERT INTO rotation_policies (name, schedule, version, updated_by) VALUES ('treasury', '@daily', 99, 'mallory')`)
	s.exec(`SET rotatord.actor = 'alice@example.com'`)
	s.exec(`UPDATE rotation_policies SET schedule = '@weekly', version = 1`)
	s.exec(`RESET rotatord.actor`)
	s.exec(`UPDATE rotation_policies SET paused_reason = 'audit'`)
	if by := ask[string](s, `SELECT updated_by FROM rotation_policies`); by != s.Config().User {
		t.Errorf("updated by %s", by)
	}
	s.exec(`DELETE FROM rotation_policies`)

	type edit struct {
		Version           int64
		Operation         string
		User              string
		Actor             *string
		OldSchedule, New  *string
		OldVersion, NewVn *string
	}
	rows, err := s.Query(t.Context(), `SELECT version, operation, session_user_name, actor, old_row->>'schedule', new_row->>'schedule',
		old_row->>'version', new_row->>'version' FROM rotation_policy_edits ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	edits, err := pgx.CollectRows(rows, pgx.RowToStructByPos[edit])
	if err != nil {
		t.Fatal(err)
	}
	str := func(p *string) string {
		if p == nil {
			return "-"
		}
		return *p
	}
	want := [][]string{
		{"insert", "-", "-", "@daily", "-", "1"},
		{"update", "alice@example.com", "@daily", "@weekly", "1", "2"},
		{"update", "-", "@weekly", "@weekly", "2", "3"},
		{"delete", "-", "@weekly", "-", "3", "-"},
	}
	if len(edits) != len(want) {
		t.Fatalf("%d edits, want %d", len(edits), len(want))
	}
	for i, e := range edits {
		got := []string{e.Operation, str(e.Actor), str(e.OldSchedule), str(e.New), str(e.OldVersion), str(e.NewVn)}
		for j := range got {
			if got[j] != want[i][j] {
				t.Errorf("edit %d: %v, want %v", i, got, want[i])
				break
			}
		}
		if e.User != s.Config().User || e.Version != min(int64(i)+1, 3) {
			t.Errorf("edit %d: version %d by %s", i, e.Version, e.User)
		}
	}
}

func TestDeletedPolicyTakesItsStateAlong(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	s.exec(`INSERT INTO rotation_cycles (policy_id, tick) VALUES (2, now())`)
	s.exec(`INSERT INTO cycle_counters (policy_id, tick, owner) VALUES (2, now(), 1), (1, now(), 1)`)
	s.exec(`DELETE FROM rotation_policies WHERE id = 2`)
	for _, table := range []string{"policy_state", "rotation_cycles", "cycle_counters"} {
		if n := ask[int](s, `SELECT count(*) FROM `+table+` WHERE policy_id = 2`); n != 0 {
			t.Errorf("%s keeps %d rows", table, n)
		}
	}
	if n := ask[int](s, `SELECT count(*) FROM cycle_counters`); n != 1 {
		t.Errorf("counters of another policy: %d, want 1", n)
	}
}

func TestWalletEditsReachTheState(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	s.exec(`UPDATE wallet_state SET eligible_after = '2020-01-01', cycle_at = '2020-01-01'`)
	state := func(want string) {
		t.Helper()
		if got := ask[string](s, `SELECT coalesce(policy_id::text, '-') || CASE WHEN eligible_after > '2021-01-01' THEN ' waits' ELSE '' END
			FROM wallet_state WHERE wallet_id = 1`); got != want {
			t.Fatalf("state is %q, want %q", got, want)
		}
	}
	state("1")
	for _, step := range []struct{ set, want string }{
		{`labels = '{"a": 1}'`, "1"},
		{`enabled = false`, "-"},
		{`enabled = true`, "1"}, // it goes on where it was
		{`paused_reason = 'audit'`, "-"},
		{`paused_reason = 'longer audit'`, "-"},
		{`paused_reason = NULL`, "1"},
		{`policy_id = 2`, "2 waits"}, // for the next tick of its new policy
	} {
		s.exec(`UPDATE wallets SET ` + step.set + ` WHERE id = 1`)
		state(step.want)
	}
	s.exec(`UPDATE wallet_state SET eligible_after = '2020-01-01'`)
	s.exec(`UPDATE wallets SET policy_id = NULL`)
	state("- waits")
	s.exec(`UPDATE wallet_state SET eligible_after = '2020-01-01'`)
	s.exec(`UPDATE wallets SET policy_id = 1, paused_reason = 'not yet'`)
	state("- waits")
	s.exec(`UPDATE wallets SET paused_reason = NULL`)
	state("1 waits")
	if at := ask[time.Time](s, `SELECT cycle_at FROM wallet_state WHERE wallet_id = 1`); at.Year() != 2020 {
		t.Fatalf("an edit moved cycle_at to %s", at)
	}
}

func TestWalletsComeDisabledOrNot(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	s.exec(`INSERT INTO wallets (provider, external_id, policy_id, enabled, paused_reason)
		VALUES ('dyn', 'on', 2, true, NULL), ('dyn', 'off', 2, false, NULL), ('dyn', 'paused', 2, true, 'why')`)
	if n := ask[int](s, `SELECT count(*) FROM wallet_state WHERE policy_id = 2`); n != 1 {
		t.Fatalf("%d of them are rotated, want 1", n)
	}
	if n := ask[int](s, `SELECT count(*) FROM wallets w JOIN wallet_state s ON s.wallet_id = w.id`); n != 5 {
		t.Fatalf("%d wallets have a state, want 5", n)
	}
}

// A public key may be given later, once.
func TestPublicKeyMayBeGivenLater(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	s.exec(`UPDATE wallets SET public_key = 'bb' WHERE id = 2`)
	if refused := s.try(`UPDATE wallets SET public_key = 'cc' WHERE id = 2`); refused == nil {
		t.Fatal("a public key was changed")
	}
}

func TestDeletedWalletKeepsItsHead(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	s.exec(`UPDATE wallet_state SET seq = 1, hash = sha256('x') WHERE wallet_id = 1`)
	s.exec(`SET rotatord.actor = 'alice'`)
	s.exec(`DELETE FROM wallets WHERE id = 1`)
	if got := ask[string](s, `SELECT provider || ' ' || external_id || ' ' || seq || ' ' || deleted_by FROM deleted_wallets
		WHERE wallet_id = 1 AND hash = sha256('x')`); got != "dyn w1 1 alice" {
		t.Fatalf("on record: %s", got)
	}
	if n := ask[int](s, `SELECT count(*) FROM wallet_state WHERE wallet_id = 1`); n != 0 {
		t.Fatal("its state is left over")
	}
	if n := ask[int](s, `SELECT count(*) FROM share_set_history WHERE wallet_id = 1`); n != 1 {
		t.Fatal("its history went along")
	}
	// The same wallet may come back under another id.
	s.exec(`INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'w1')`)
}

func TestControlIsStamped(t *testing.T) {
	s := migrated(t)
	s.exec(`UPDATE rotation_control SET updated_at = '2020-01-01'`)
	s.exec(`SET rotatord.actor = 'alice'`)
	s.exec(`UPDATE rotation_control SET paused = true, reason = 'incident', updated_by = 'mallory'`)
	if got := ask[string](s, `SELECT updated_by || ' ' || (updated_at > '2021-01-01') FROM rotation_control`); got != "alice true" {
		t.Fatalf("stamped: %s", got)
	}
}

func TestEditsNotify(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	heard := make(chan *pgconn.Notification, 10)
	cfg := s.Config().Copy()
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { heard <- n }
	ear, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ear.Close(t.Context()) })
	if _, err := ear.Exec(t.Context(), `LISTEN rotatord_policies; LISTEN rotatord_requests`); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []struct{ sql, channel string }{
		{`INSERT INTO rotation_policies (name) VALUES ('p')`, "rotatord_policies"},
		{`UPDATE rotation_policies SET enabled = false WHERE name = 'p'`, "rotatord_policies"},
		{`DELETE FROM rotation_policies WHERE name = 'p'`, "rotatord_policies"},
		{`UPDATE rotation_control SET paused = true`, "rotatord_policies"},
		{`INSERT INTO rotation_requests (action, wallet_id) VALUES ('rotate', 1)`, "rotatord_requests"},
	} {
		s.exec(edit.sql)
		// The notification is there before the answer to whatever is asked next.
		if _, err := ear.Exec(t.Context(), `SELECT 1`); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-heard:
			if n.Channel != edit.channel {
				t.Errorf("%s: heard on %s", edit.sql, n.Channel)
			}
		default:
			t.Errorf("%s: not heard", edit.sql)
		}
	}
}

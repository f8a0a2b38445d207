package migrations_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// may is everything that a role may write. Whatever is not here is refused.
var may = map[string]map[string]string{
	"rotatord_app": {
		"rotation_requests": "INSERT", "share_set_history": "INSERT",
		"wallet_state": "UPDATE", "policy_state": "UPDATE",
		"rotation_cycles": "INSERT UPDATE", "cycle_counters": "INSERT UPDATE", "provider_state": "INSERT UPDATE",
		"request_status": "INSERT UPDATE", "reconcile_state": "UPDATE", "fleet_state": "UPDATE",
		"rotations": "INSERT UPDATE DELETE", "retirements": "INSERT UPDATE DELETE", "replicas": "INSERT UPDATE DELETE",
		"history_verifications": "INSERT UPDATE", "history_breaks": "INSERT DELETE",
	},
	"rotatord_operator": {
		"rotation_policies": "INSERT UPDATE DELETE", "wallets": "INSERT UPDATE DELETE",
		"rotation_requests": "INSERT", "rotation_control": "UPDATE",
	},
	"rotatord_readonly": {},
	"rotatord_migrate":  {},
}

// TestGrants compares every privilege on every table and view with the list.
func TestGrants(t *testing.T) {
	s := migrated(t)
	rows, err := s.Query(t.Context(), `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'm')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for role, allowed := range may {
		got := map[string]string{}
		for _, table := range tables {
			var granted []string
			for _, p := range []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES"} {
				check := "has_table_privilege"
				if p == "INSERT" || p == "UPDATE" || p == "REFERENCES" {
					check = "has_any_column_privilege"
				}
				if ask[bool](s, `SELECT `+check+`($1, $2, $3)`, role, "public."+table, p) {
					granted = append(granted, p)
				}
			}
			if len(granted) > 0 {
				got[table] = strings.Join(granted, " ")
			}
		}
		if diff := cmp.Diff(allowed, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
		if ask[bool](s, `SELECT has_schema_privilege($1, 'public', 'CREATE')`, role) {
			t.Errorf("%s may create things in the schema", role)
		}
	}
}

func TestReading(t *testing.T) {
	s := migrated(t)
	views := []string{"share_sets", "policy_status", "wallet_status", "rotation_log", "attention", "share_set_history", "rotation_cycles",
		"history_heads", "history_verifications", "history_breaks", "deleted_wallets", "rotatord_schema", "rotatord_schema_version",
		"running_policies", "planned_wallets"}
	state := []string{"rotations", "wallet_state", "policy_state", "retirements", "replicas"}
	for role, hidden := range map[string][]string{"rotatord_app": nil, "rotatord_operator": state, "rotatord_readonly": state} {
		s.exec(`SET ROLE ` + role)
		for _, table := range slices.Concat(views, state) {
			_, err := s.Exec(t.Context(), `SELECT count(*) FROM `+table)
			if slices.Contains(hidden, table) != (err != nil) {
				t.Errorf("%s reading %s: %v", role, table, err)
			}
		}
		s.exec(`RESET ROLE`)
	}
}

// TestRefusedInPractice tries what would hurt most, so that the catalog is not
// the only witness.
func TestRefusedInPractice(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	writes := map[string][]string{
		"rotatord_operator": {
			waiting, `UPDATE rotations SET state = 'failed'`, `DELETE FROM rotations`,
			`UPDATE wallet_state SET active_share_set = 'mine', public_key = 'aa'`, `UPDATE policy_state SET tick = now()`,
			`DELETE FROM retirements`, `INSERT INTO request_status (request_id, state, detail) VALUES (1, 'done', '')`,
			`INSERT INTO share_set_history SELECT * FROM share_set_history`, `UPDATE share_set_history SET hash = ''`, `DELETE FROM share_set_history`,
			`DELETE FROM rotation_policy_edits`, `DELETE FROM rotation_requests`, `DELETE FROM rotation_control`, `INSERT INTO rotation_control DEFAULT VALUES`,
		},
		"rotatord_app": {
			`UPDATE share_set_history SET hash = ''`, `DELETE FROM share_set_history`, `TRUNCATE share_set_history`,
			`INSERT INTO rotation_policies (name) VALUES ('p')`, `UPDATE rotation_policies SET enabled = true`, `DELETE FROM rotation_policies`,
			`INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'w3')`, `UPDATE wallets SET enabled = true`, `DELETE FROM wallets`,
			`UPDATE rotation_requests SET actor = 'x'`, `UPDATE rotation_control SET paused = false`, `DELETE FROM rotation_policy_edits`,
			`DELETE FROM wallet_state`, `INSERT INTO deleted_wallets SELECT 1, 'a', 'b', 0, '', now(), 'x'`,
		},
		"rotatord_readonly": {
			`INSERT INTO rotation_policies (name) VALUES ('p')`, `UPDATE wallets SET enabled = true`,
			`INSERT INTO rotation_requests (action, wallet_id) VALUES ('rotate', 1)`, `UPDATE rotation_control SET paused = true`, `DELETE FROM share_set_history`,
		},
	}
	for role, statements := range writes {
		for _, sql := range statements {
			refused := s.try(`SET LOCAL ROLE ` + role + `; ` + sql)
			if refused == nil || refused.Code != "42501" { // insufficient_privilege
				t.Errorf("%s: %s: %v", role, sql, refused)
			}
		}
	}
}

// TestOperatorEditsWithItsGrantsAlone goes through the triggers that carry an
// edit over to tables which the operator cannot write.
func TestOperatorEditsWithItsGrantsAlone(t *testing.T) {
	s := migrated(t)
	login := fmt.Sprintf("alice_%d", s.PgConn().PID()) // roles belong to all databases
	s.exec(`CREATE ROLE ` + login + ` IN ROLE rotatord_operator`)
	operator := connect(t, s.Config().ConnString())
	t.Cleanup(func() {
		if _, err := operator.Exec(context.Background(), `RESET SESSION AUTHORIZATION; DROP OWNED BY `+login+`; DROP ROLE `+login); err != nil {
			t.Error(err)
		}
	})
	s.exec(`GRANT TEMPORARY ON DATABASE ` + pgx.Identifier{s.Config().Database}.Sanitize() + ` TO ` + login)
	operator.exec(`SET SESSION AUTHORIZATION ` + login)
	// A trap: tables of the operator's own that stand before the real ones.
	operator.exec(`CREATE TEMP TABLE wallet_state (wallet_id bigint, policy_id int, cycle_at timestamptz, eligible_after timestamptz, seq int, hash bytea);
		CREATE TEMP TABLE policy_state (policy_id int); CREATE TEMP TABLE rotations (wallet_id bigint);
		CREATE TEMP TABLE deleted_wallets (wallet_id bigint, provider text, external_id text, seq int, hash bytea, deleted_by text); SET search_path = pg_temp, public`)

	operator.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '0 3 * * 0')`)
	operator.exec(`INSERT INTO wallets (provider, external_id, policy_id) SELECT 'dyn', 'w1', id FROM rotation_policies`)
	operator.exec(`UPDATE rotation_policies SET max_concurrent = 3`)
	operator.exec(`UPDATE rotation_control SET paused = true, reason = 'incident'`)
	operator.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	if n := ask[int](s, `SELECT count(*) FROM wallet_state s JOIN policy_state p USING (policy_id)`); n != 1 {
		t.Fatalf("%d states, want 1", n)
	}
	operator.exec(`UPDATE wallets SET policy_id = NULL`)
	if n := ask[int](s, `SELECT count(*) FROM wallet_state WHERE policy_id IS NULL`); n != 1 {
		t.Fatal("the edit did not reach the state")
	}
	// The second look finds the real rotation, not the operator's empty table.
	s.exec(`INSERT INTO rotations (wallet_id, rotation_id, tick, trigger, claimed_at) SELECT id, gen_random_uuid(), now(), 'manual', now() FROM wallets`)
	_, err := operator.Exec(t.Context(), `DELETE FROM wallets`)
	if refused, ok := err.(*pgconn.PgError); !ok || refused.ConstraintName != "wallets_nothing_open" {
		t.Fatalf("deleting a wallet with an open rotation: %v", err)
	}
	s.exec(`DELETE FROM rotations`)
	operator.exec(`DELETE FROM wallets`)
	operator.exec(`DELETE FROM rotation_policies`)

	for what, sql := range map[string]string{
		"policy edits":   `SELECT count(*) = 3 AND bool_and(session_user_name = $1) FROM rotation_policy_edits`,
		"deleted wallet": `SELECT count(*) = 1 AND bool_and(deleted_by = $1) FROM deleted_wallets`,
		"control":        `SELECT bool_and(updated_by = $1) FROM rotation_control`,
		"request":        `SELECT bool_and(actor = $1) FROM rotation_requests`,
	} {
		if !ask[bool](s, sql, login) {
			t.Errorf("%s: not under the name of %s", what, login)
		}
	}
	if n := ask[int](operator, `SELECT count(*) FROM pg_temp.wallet_state`) + ask[int](operator, `SELECT count(*) FROM pg_temp.deleted_wallets`); n != 0 {
		t.Fatal("a trigger wrote to the operator's own table")
	}
}

// A trigger function with a search path of its caller's would do its caller's
// bidding with its owner's rights.
func TestFunctionsPinTheirSearchPath(t *testing.T) {
	s := connect(t, pgtest.New(t))
	rows, err := s.Query(t.Context(), `SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		AND NOT ('search_path=pg_catalog, public, pg_temp' = ANY (coalesce(proconfig, '{}')))`)
	if err != nil {
		t.Fatal(err)
	}
	loose, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(loose) > 0 {
		t.Errorf("no pinned search_path: %v", loose)
	}
	if n := ask[int](s, `SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef`); n < 4 {
		t.Errorf("%d functions are SECURITY DEFINER, want those of the spec triggers", n)
	}
}

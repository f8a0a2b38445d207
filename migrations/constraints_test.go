package migrations_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// attempt tries to break one constraint or trigger of the schema.
type attempt struct {
	// table.name of what must refuse it, as the catalog has it.
	object string
	sql    string
	// named in the error where that is not the object's own name.
	named string
}

const retirement = `INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, attempt_id, promoted_at, due_at)
VALUES (1, 's1', 's0', gen_random_uuid(), gen_random_uuid(), now(), now());`

const verification = `INSERT INTO history_verifications (owner, next_wallet, digest) VALUES (gen_random_uuid(), 1, sha256('x'));`

const historyBreak = `INSERT INTO history_breaks (wallet_id, verification_id, found_at, seq, what, breaks)
SELECT 1, coalesce(max(id), 77), now(), 2, 'x', 1 FROM history_verifications;`

func policyWith(column, value string) string {
	return `INSERT INTO rotation_policies (name, ` + column + `) VALUES ('p', ` + value + `)`
}

func rotationSet(set string) string { return waiting + `UPDATE rotations SET ` + set }

func historySet(columns, values string) string {
	return `INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash, ` + columns + `)
		VALUES (1, 2, 0, 'activated', now(), 's1', sha256('x'), ` + values + `)`
}

// Every constraint, unique index and trigger of the schema stands here.
var attempts = []attempt{
	{object: "rotation_policies.rotation_policies_pkey", sql: `INSERT INTO rotation_policies (id, name) VALUES (1, 'other')`},
	{object: "rotation_policies.rotation_policies_name_key", sql: `INSERT INTO rotation_policies (name) VALUES ('treasury')`},
	{object: "rotation_policies.rotation_policies_name_is_plain", sql: `INSERT INTO rotation_policies (name) VALUES ('')`},
	{object: "rotation_policies.rotation_policies_name_is_plain", sql: `INSERT INTO rotation_policies (name) VALUES ('a/b')`},
	{object: "rotation_policies.rotation_policies_name_is_plain", sql: `INSERT INTO rotation_policies (name) VALUES (E'a\n')`},
	{object: "rotation_policies.rotation_policies_name_is_plain", sql: `INSERT INTO rotation_policies (name) VALUES ('-a')`},
	{object: "rotation_policies.rotation_policies_name_is_plain", sql: `INSERT INTO rotation_policies (name) VALUES (repeat('a', 64))`},
	{object: "rotation_policies.rotation_policies_run_window_positive", sql: policyWith("run_window", "'0'")},
	{object: "rotation_policies.rotation_policies_spread_not_negative", sql: policyWith("spread", "'-1 second'")},
	{object: "rotation_policies.rotation_policies_max_share_age_positive", sql: policyWith("max_share_age", "'0'")},
	{object: "rotation_policies.rotation_policies_intervals_within_a_century", sql: policyWith("run_window", "'100 years 1 day'")},
	{object: "rotation_policies.rotation_policies_intervals_within_a_century", sql: policyWith("spread", "'101 years'")},
	{object: "rotation_policies.rotation_policies_intervals_within_a_century", sql: policyWith("max_share_age", "'1000000 years'")},
	{object: "rotation_policies.rotation_policies_canary_not_negative", sql: policyWith("canary", "-1")},
	{object: "rotation_policies.rotation_policies_max_concurrent_positive", sql: policyWith("max_concurrent", "0")},
	{object: "rotation_policies.rotation_policies_max_per_minute_not_negative", sql: policyWith("max_per_minute", "-1")},
	{object: "rotation_policies.rotation_policies_max_attempts_positive", sql: policyWith("max_attempts", "0")},
	{object: "rotation_policies.rotation_policies_max_attempts_positive", sql: policyWith("max_attempts", "1001")},
	{object: "rotation_policies.rotation_policies_failure_budget_not_negative", sql: policyWith("failure_budget", "-1")},
	{object: "rotation_policies.rotation_policies_stamp", named: "rotation_policies_id_immutable", sql: `UPDATE rotation_policies SET id = 9`},
	{object: "rotation_policies.rotation_policies_no_truncate", named: "-", sql: `TRUNCATE rotation_policies CASCADE`},

	{object: "rotation_policy_edits.rotation_policy_edits_pkey",
		sql: `INSERT INTO rotation_policy_edits OVERRIDING SYSTEM VALUE SELECT * FROM rotation_policy_edits`},
	{object: "rotation_policy_edits.rotation_policy_edits_operation_known",
		sql: `INSERT INTO rotation_policy_edits (policy_id, version, operation, session_user_name) VALUES (1, 1, 'guess', 'me')`},

	{object: "wallets.wallets_pkey", sql: `INSERT INTO wallets (id, provider, external_id) VALUES (1, 'dyn', 'other')`},
	{object: "wallets.wallets_provider_external_id_key", sql: `INSERT INTO wallets (provider, external_id) VALUES ('dyn', 'w1')`},
	{object: "wallets.wallets_policy_exists", sql: `INSERT INTO wallets (provider, external_id, policy_id) VALUES ('dyn', 'w3', 77)`},
	{object: "wallets.wallets_policy_exists", sql: `DELETE FROM rotation_policies WHERE id = 1`},
	{object: "wallets.wallets_external_id_not_empty", sql: `INSERT INTO wallets (provider, external_id) VALUES ('dyn', '')`},
	{object: "wallets.wallets_labels_is_object", sql: `INSERT INTO wallets (provider, external_id, labels) VALUES ('dyn', 'w3', '[]')`},
	{object: "wallets.wallets_settings_is_object", sql: `INSERT INTO wallets (provider, external_id, settings) VALUES ('dyn', 'w3', '7')`},
	{object: "wallets.wallets_identity_immutable", sql: `UPDATE wallets SET id = 9 WHERE id = 1`},
	{object: "wallets.wallets_identity_immutable", sql: `UPDATE wallets SET provider = 'cobo'`},
	{object: "wallets.wallets_identity_immutable", sql: `UPDATE wallets SET external_id = 'w9' WHERE id = 1`},
	{object: "wallets.wallets_identity_immutable", sql: `UPDATE wallets SET public_key = 'bb' WHERE id = 1`},
	{object: "wallets.wallets_identity_immutable", sql: `UPDATE wallets SET public_key = NULL WHERE id = 1`},
	{object: "wallets.wallets_inserted", named: "wallets_id_never_reused",
		sql: `DELETE FROM wallets WHERE id = 1; INSERT INTO wallets (id, provider, external_id) VALUES (1, 'dyn', 'w1')`},
	{object: "wallets.wallets_deleted", named: "wallets_nothing_open", sql: waiting + `DELETE FROM wallets WHERE id = 1`},
	{object: "wallets.wallets_deleted", named: "wallets_nothing_open", sql: reach["promoted"] + `DELETE FROM wallets WHERE id = 1`},
	{object: "wallets.wallets_deleted", named: "wallets_nothing_open", sql: retirement + `DELETE FROM wallets WHERE id = 1`},
	{object: "wallets.wallets_no_truncate", named: "-", sql: `TRUNCATE wallets`},

	{object: "rotation_requests.rotation_requests_pkey",
		sql: `INSERT INTO rotation_requests OVERRIDING SYSTEM VALUE SELECT * FROM rotation_requests`},
	{object: "rotation_requests.rotation_requests_action_known", sql: `INSERT INTO rotation_requests (action, wallet_id) VALUES ('delete', 1)`},
	{object: "rotation_requests.rotation_requests_target_fits", sql: `INSERT INTO rotation_requests (action, policy_id) VALUES ('rotate', 1)`},
	{object: "rotation_requests.rotation_requests_target_fits", sql: `INSERT INTO rotation_requests (action) VALUES ('retry')`},
	{object: "rotation_requests.rotation_requests_target_fits", sql: `INSERT INTO rotation_requests (action, wallet_id, policy_id) VALUES ('abort', 1, 1)`},
	{object: "rotation_requests.rotation_requests_target_fits", sql: `INSERT INTO rotation_requests (action, wallet_id) VALUES ('run_policy', 1)`},
	{object: "rotation_requests.rotation_requests_target_fits", sql: `INSERT INTO rotation_requests (action, policy_id) VALUES ('reconcile', 1)`},
	{object: "rotation_requests.rotation_requests_discard_gives_reason", sql: `INSERT INTO rotation_requests (action, wallet_id) VALUES ('discard', 1)`},
	{object: "rotation_requests.rotation_requests_append_only", sql: `UPDATE rotation_requests SET reason = 'x'`},
	{object: "rotation_requests.rotation_requests_append_only", sql: `DELETE FROM rotation_requests`},
	{object: "rotation_requests.rotation_requests_append_only", sql: `TRUNCATE rotation_requests CASCADE`},

	{object: "rotation_control.rotation_control_pkey", sql: `INSERT INTO rotation_control DEFAULT VALUES`},
	{object: "rotation_control.rotation_control_one_row", sql: `INSERT INTO rotation_control (id) VALUES (false)`},
	{object: "rotation_control.rotation_control_keep", named: "rotation_control_one_row", sql: `DELETE FROM rotation_control`},
	{object: "rotation_control.rotation_control_keep", named: "rotation_control_one_row", sql: `TRUNCATE rotation_control`},
	{object: "rotatord_schema.rotatord_schema_pkey", sql: `INSERT INTO rotatord_schema (compatible_from) VALUES (1)`},
	{object: "rotatord_schema.rotatord_schema_one_row", sql: `INSERT INTO rotatord_schema (id, compatible_from) VALUES (false, 1)`},

	{object: "wallet_state.wallet_state_pkey", sql: `INSERT INTO wallet_state (wallet_id, cycle_at, eligible_after) VALUES (1, now(), now())`},
	{object: "wallet_state.wallet_state_baseline_complete", sql: `UPDATE wallet_state SET active_share_set = 's0'`},
	{object: "wallet_state.wallet_state_baseline_complete", sql: `UPDATE wallet_state SET public_key = 'aa'`},
	{object: "deleted_wallets.deleted_wallets_pkey",
		sql: `DELETE FROM wallets; INSERT INTO deleted_wallets SELECT * FROM deleted_wallets`},
	{object: "policy_state.policy_state_pkey", sql: `INSERT INTO policy_state (policy_id) VALUES (1)`},
	{object: "policy_state.policy_state_policy_id_fkey", sql: `INSERT INTO policy_state (policy_id) VALUES (77)`},
	{object: "rotation_cycles.rotation_cycles_pkey",
		sql: `INSERT INTO rotation_cycles (policy_id, tick) VALUES (1, '2026-01-01');
			INSERT INTO rotation_cycles (policy_id, tick, state, ended_at) VALUES (1, '2026-01-01', 'missed', now())`},
	{object: "rotation_cycles.rotation_cycles_policy_id_fkey", sql: `INSERT INTO rotation_cycles (policy_id, tick) VALUES (77, now())`},
	{object: "rotation_cycles.rotation_cycles_one_running",
		sql: `INSERT INTO rotation_cycles (policy_id, tick) VALUES (1, '2026-01-01'), (1, '2026-01-02')`},
	{object: "rotation_cycles.rotation_cycles_state_known",
		sql: `INSERT INTO rotation_cycles (policy_id, tick, state, ended_at) VALUES (1, now(), 'lost', now())`},
	{object: "rotation_cycles.rotation_cycles_trigger_known", sql: `INSERT INTO rotation_cycles (policy_id, tick, trigger) VALUES (1, now(), 'whim')`},
	{object: "rotation_cycles.rotation_cycles_ended_when_over", sql: `INSERT INTO rotation_cycles (policy_id, tick, state) VALUES (1, now(), 'completed')`},
	{object: "rotation_cycles.rotation_cycles_ended_when_over", sql: `INSERT INTO rotation_cycles (policy_id, tick, ended_at) VALUES (1, now(), now())`},
	{object: "cycle_counters.cycle_counters_pkey",
		sql: `INSERT INTO cycle_counters (policy_id, tick, owner) VALUES (1, '2026-01-01', 1), (1, '2026-01-01', 1)`},
	{object: "replicas.replicas_pkey",
		sql: `INSERT INTO replicas (epoch, id, version) VALUES (7, 'a', 'v'), (7, 'b', 'v')`},
	{object: "reconcile_state.reconcile_state_pkey", sql: `INSERT INTO reconcile_state DEFAULT VALUES`},
	{object: "reconcile_state.reconcile_state_one_row", sql: `INSERT INTO reconcile_state (id) VALUES (false)`},
	{object: "reconcile_state.reconcile_state_owner_of_a_walk", sql: `UPDATE reconcile_state SET owner = 1`},
	{object: "provider_state.provider_state_pkey", sql: `INSERT INTO provider_state (provider) VALUES ('dyn'), ('dyn')`},
	{object: "provider_state.provider_state_circuit_complete", sql: `INSERT INTO provider_state (provider, open_until) VALUES ('dyn', now())`},
	{object: "provider_state.provider_state_circuit_complete", sql: `INSERT INTO provider_state (provider, open_until, opened_at) VALUES ('dyn', now(), now())`},
	{object: "provider_state.provider_state_circuit_complete", sql: `INSERT INTO provider_state (provider, probe_wallet) VALUES ('dyn', 1)`},
	{object: "fleet_state.fleet_state_pkey", sql: `INSERT INTO fleet_state DEFAULT VALUES`},
	{object: "fleet_state.fleet_state_one_row", sql: `INSERT INTO fleet_state (id) VALUES (false)`},

	{object: "rotations.rotations_pkey", sql: waiting + waiting}, // two open rotations of one wallet
	{object: "rotations.rotations_state_known", sql: waiting + `ALTER TABLE rotations DISABLE TRIGGER USER; 
		UPDATE rotations SET state = 'lost', attempt_id = gen_random_uuid(), old_share_set = 's0'`},
	{object: "rotations.rotations_trigger_known", sql: rotationSet(`trigger = 'whim'`)},
	{object: "rotations.rotations_error_class_known", sql: rotationSet(`error_class = 'bad'`)},
	{object: "rotations.rotations_wish_known", sql: rotationSet(`wish = 'more'`)},
	{object: "rotations.rotations_reconcile_opens_nothing", sql: rotationSet(`wish = 'reconcile'; `) + reach["opening"][len(waiting):]},
	{object: "rotations.rotations_reconcile_opens_nothing", sql: reach["prepared"] + `UPDATE rotations SET wish = 'reconcile'`},
	{object: "rotations.rotations_pending_set_fits_state", sql: rotationSet(`pending_share_set = 's1'`)},                      // pending set without ceremony
	{object: "rotations.rotations_pending_set_fits_state", sql: reach["opening"] + `UPDATE rotations SET state = 'ceremony'`}, // ceremony without pending set
	{object: "rotations.rotations_pending_set_fits_state", sql: reach["prepared"] + `UPDATE rotations SET state = 'waiting'`}, // abandoned with pending set
	{object: "rotations.rotations_attempt_fits_state", sql: rotationSet(`state = 'opening', old_share_set = 's0'`)},
	{object: "rotations.rotations_attempt_fits_state", sql: rotationSet(`state = 'opening', attempt_id = gen_random_uuid()`)},
	{object: "rotations.rotations_sets_differ", sql: reach["opening"] + `UPDATE rotations SET state = 'ceremony', pending_share_set = 's0'`},
	{object: "rotations.rotations_attention_dated", sql: rotationSet(`attention = 'drift'`)},
	{object: "rotations.rotations_attention_dated", sql: rotationSet(`attention_since = now()`)},
	{object: "rotations.rotations_transition_insert", named: "rotations_transition_allowed",
		sql: strings.NewReplacer("claimed_at)", "claimed_at, state)", "now());", "now(), 'failed');").Replace(waiting)},
	{object: "rotations.rotations_transition_update", named: "rotations_transition_allowed", sql: reach["prepared"] + `UPDATE rotations SET state = 'ceremony'`},
	{object: "rotations.rotations_transition_delete", named: "rotations_transition_allowed", sql: reach["prepared"] + `DELETE FROM rotations`},
	{object: "rotations.rotations_no_truncate", named: "-", sql: `TRUNCATE rotations`},

	{object: "retirements.retirements_pkey", sql: retirement + retirement},
	{object: "retirements.retirements_sets_differ", sql: retirement + `UPDATE retirements SET new_share_set = 's0'`},
	{object: "retirements.retirements_attention_dated", sql: retirement + `UPDATE retirements SET attention = 'drift'`},
	{object: "request_status.request_status_pkey",
		sql: `INSERT INTO request_status (request_id, state, detail) SELECT id, 'done', '' FROM rotation_requests, generate_series(1, 2)`},
	{object: "request_status.request_status_request_id_fkey", sql: `INSERT INTO request_status (request_id, state, detail) VALUES (77, 'done', '')`},
	{object: "request_status.request_status_state_known", sql: `INSERT INTO request_status (request_id, state, detail) SELECT id, 'maybe', '' FROM rotation_requests`},

	{object: "share_set_history.share_set_history_pkey",
		sql: `INSERT INTO share_set_history SELECT * FROM share_set_history`}, // a fork
	{object: "share_set_history.share_set_history_outcome_known",
		sql: strings.Replace(historySet("actor", "'me'"), "activated", "lost", 1)},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("actor", "''")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("trigger", "''")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("replaced", "''")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("vendor_said", "''")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("key_fingerprint", "''")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("policy_id", "0")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("rotation_id", "'00000000-0000-0000-0000-000000000000'")},
	{object: "share_set_history.share_set_history_null_not_empty", sql: historySet("attempt_id", "'00000000-0000-0000-0000-000000000000'")},
	{object: "share_set_history.share_set_history_seq_positive", sql: strings.Replace(historySet("actor", "'me'"), "(1, 2,", "(1, 0,", 1)},
	{object: "share_set_history.share_set_history_hash_is_sha256", sql: strings.Replace(historySet("actor", "'me'"), "sha256('x')", "'\\x00'", 1)},
	{object: "share_set_history.share_set_history_append_only", sql: `UPDATE share_set_history SET share_set = 's9'`},
	{object: "share_set_history.share_set_history_append_only", sql: `DELETE FROM share_set_history`},
	{object: "share_set_history.share_set_history_append_only", sql: `TRUNCATE share_set_history`},

	{object: "history_verifications.history_verifications_pkey",
		sql: verification + `INSERT INTO history_verifications OVERRIDING SYSTEM VALUE SELECT * FROM history_verifications`},
	{object: "history_verifications.history_verifications_one_running", sql: verification + verification}, // two replicas at once
	{object: "history_verifications.history_verifications_digest_is_sha256", sql: verification + `UPDATE history_verifications SET digest = ''`},
	{object: "history_breaks.history_breaks_pkey", sql: verification + historyBreak + historyBreak},
	{object: "history_breaks.history_breaks_verification_id_fkey", sql: historyBreak}, // of none
	{object: "history_breaks.history_breaks_verification_id_fkey", sql: verification + historyBreak + `DELETE FROM history_verifications`},
}

// These refuse nothing; what they do is tested by the function of that name.
var effects = map[string]string{
	"rotation_policies.rotation_policies_record": "TestPolicyEditsAreRecorded",
	"wallets.wallets_updated":                    "TestWalletEditsReachTheState",
	"rotation_requests.rotation_requests_notify": "TestEditsNotify",
	"rotation_control.rotation_control_stamp":    "TestControlIsStamped",
}

func TestConstraintsRefuse(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	for _, a := range attempts {
		_, name, _ := strings.Cut(a.object, ".")
		t.Run(name, func(t *testing.T) {
			want := name
			switch a.named {
			case "":
			case "-":
				want = ""
			default:
				want = a.named
			}
			refused := s.try(a.sql)
			if refused == nil {
				t.Fatalf("%s took it: %s", name, a.sql)
			}
			if refused.ConstraintName != want {
				t.Fatalf("%s\nwas refused by %q (%v), want %q", a.sql, refused.ConstraintName, refused, want)
			}
			if !strings.HasPrefix(refused.Code, "23") { // integrity constraint violation
				t.Fatalf("refused with code %s: %v", refused.Code, refused)
			}
		})
	}
	if n := ask[int](s, `SELECT count(*) FROM wallets`); n != 2 {
		t.Fatalf("%d wallets left over, want 2: attempts were not taken back", n)
	}
}

// TestEveryConstraintHasAnAttempt fails when somebody adds a constraint, a
// unique index or a trigger and no attempt to break it.
func TestEveryConstraintHasAnAttempt(t *testing.T) {
	s := migrated(t)
	rows, err := s.Query(t.Context(), `
		SELECT c.relname || '.' || k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		 WHERE c.relnamespace = 'public'::regnamespace
		UNION
		SELECT c.relname || '.' || i.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
		 WHERE c.relnamespace = 'public'::regnamespace AND x.indisunique
		UNION
		SELECT c.relname || '.' || g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
		 WHERE c.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal`)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	covered := maps.Clone(effects)
	for _, a := range attempts {
		covered[a.object] = a.sql
	}
	for _, o := range objects {
		if covered[o] == "" {
			t.Errorf("nothing tries to break %s", o)
		}
	}
	for o := range covered {
		if !slices.Contains(objects, o) {
			t.Errorf("%s is not in the schema", o)
		}
	}
}

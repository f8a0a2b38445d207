package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestEveryColumnIsRevertedOrLeftOnPurpose: a column that is added later has to
// be put on one side.
func TestEveryColumnIsRevertedOrLeftOnPurpose(t *testing.T) {
	w := newWorld(t)
	rows, err := w.admin.Query(t.Context(), `SELECT attname FROM pg_attribute WHERE attrelid = 'rotation_policies'::regclass AND attnum > 0 AND NOT attisdropped`)
	w.ok(err)
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	known := append(strings.Split(reverted, ", "), "id", "name", "enabled", "paused_reason", "version", "updated_at", "updated_by")
	slices.Sort(columns)
	slices.Sort(known)
	w.same(columns, known, "columns")
}

// TestRevert goes through every column, under an operator's own grants: what
// version 1 said is true again, in a version of its own, and who stopped the
// policy meanwhile has stopped it still.
func TestRevert(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.exec(`SET intervalstyle = iso_8601`) // as somebody's client might
	w.exec(`INSERT INTO rotation_policies (name, schedule, timezone, run_window, spread, canary, max_share_age, max_concurrent, max_per_minute, max_attempts, failure_budget)
		VALUES ('treasury', '0 3 * * 0', 'Europe/Zurich', '4 hours', '1 hour', 2, '1 month 3 days', 7, 8, 9, 3)`)
	w.exec(`UPDATE rotation_policies SET schedule = NULL, timezone = 'UTC', run_window = NULL, spread = '0', canary = 0, max_share_age = NULL,
		max_concurrent = 1, max_per_minute = 0, max_attempts = 1, failure_budget = 0`)
	w.exec(`UPDATE rotation_policies SET name = 'vault', enabled = false, paused_reason = 'incident'`)
	w.exec(`RESET intervalstyle`)
	values := `SELECT (` + reverted + `)::text FROM rotation_policies`
	o := w.operator("rotatord_operator")

	for version, want := range map[int64]error{0: ErrNoVersion, 4: ErrNoVersion, -1: ErrNoVersion} {
		if _, err := o.Reversal(ctx, "vault", version); !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	if _, err := o.Reversal(ctx, "treasury", 1); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("a name that it no longer has: %v", err)
	}
	v, err := o.Reversal(ctx, "vault", 1)
	w.ok(err)
	for column, want := range map[string]any{"schedule": "0 3 * * 0", "run_window": "04:00:00", "name": "vault", "enabled": false, "paused_reason": "incident"} {
		w.same(v.Then[column], want, "%s then", column)
	}
	version, err := o.Revert(ctx, v, "alice@laptop", "it was better before")
	w.ok(err)
	w.same(version, 4, "version")
	w.same(ask[string](w, values), `("0 3 * * 0",Europe/Zurich,04:00:00,01:00:00,2,"1 mon 3 days",7,8,9,3)`, "values")
	w.same(ask[string](w, `SELECT (name, enabled, paused_reason, updated_by)::text FROM rotation_policies`), `(vault,f,incident,alice@laptop)`, "what is left alone")

	// The same look does not serve twice: the row has a new version.
	if _, err := o.Revert(ctx, v, "alice@laptop", ""); !errors.Is(err, ErrEditedMeanwhile) {
		t.Errorf("reverting what was edited meanwhile: %v", err)
	}
	w.same(ask[int64](w, `SELECT version FROM rotation_policies`), 4, "version")

	edits, err := w.reader("rotatord_readonly").PolicyEdits(ctx, "vault", 0)
	w.ok(err)
	w.same(len(edits), 4, "edits")
	w.same(fmt.Sprint(edits[0].Version, edits[0].Operation, edits[0].Actor, edits[0].Reason), fmt.Sprint(4, "update", "alice@laptop", "it was better before"), "the latest")
	w.same(edits[0].SessionUser, ask[string](w, `SELECT session_user`), "login")
	w.same(fmt.Sprint(edits[1].Actor, edits[1].Reason, edits[3].Old), "map[]", "what plain SQL leaves out")
	w.same(fmt.Sprint(edits[3].New["run_window"], edits[0].New["run_window"]), "04:00:0004:00:00", "the same interval in two styles")
}

// TestPolicyEdits: who reads sees what is known of the verdicts, and the edits
// of a policy that is gone.
func TestPolicyEdits(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	id := w.policy("treasury")
	w.exec(`UPDATE rotation_policies SET schedule = 'TZ='`)
	w.ok(w.RecordVerdict(ctx, Verdict{PolicyID: id, Version: 2, Error: "not that"}))
	w.exec(`INSERT INTO rotation_policies (name) VALUES ('other')`)
	r := w.reader("rotatord_operator")
	told := func(limit int) (text string) {
		t.Helper()
		edits, err := r.PolicyEdits(ctx, "treasury", limit)
		w.ok(err)
		for _, e := range edits {
			text += fmt.Sprintf("%d %s %t %t %s;", e.Version, e.Operation, e.Running, e.Judged, e.Error)
		}
		return text
	}
	w.same(told(0), "2 update false true not that;1 insert true false ;", "edits")
	w.exec(`UPDATE rotation_policies SET schedule = '@daily' WHERE name = 'treasury'`)
	w.same(told(1), "3 update false false ;", "the latest edit")
	w.exec(`DELETE FROM rotation_policies WHERE name = 'treasury'`)
	w.same(told(2), "3 delete false false ;3 update false false ;", "edits of a deleted policy")
	w.exec(`INSERT INTO rotation_policies (name) VALUES ('treasury')`)
	w.same(told(0), "1 insert false false ;", "edits of another one under its name")
	if _, err := r.PolicyEdits(ctx, "none", 0); !errors.Is(err, ErrNoPolicy) {
		t.Errorf("a policy that never was: %v", err)
	}
}

// TestOnlyOperatorsRevert: not those who look, and not the daemon.
func TestOnlyOperatorsRevert(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.policy("treasury")
	w.exec(`UPDATE rotation_policies SET canary = 3`)
	for _, role := range []string{"rotatord_readonly", "rotatord_app"} {
		o := w.operator(role)
		v, err := o.Reversal(ctx, "treasury", 1)
		w.ok(err)
		if _, err := o.Revert(ctx, v, "me", ""); !errors.Is(err, ErrMayNot) {
			t.Errorf("%s: %v", role, err)
		}
	}
	w.same(ask[int64](w, `SELECT version FROM rotation_policies`), 2, "version")
}

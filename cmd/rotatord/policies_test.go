package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// count reads one number.
func count(t *testing.T, db *pgx.Conn, sql string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// moments are what differs from one run of a test to the next.
var moments = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?`)

// TestPoliciesLogAndRevert: who changed what is told, and one version is made
// true again under the name of who asked.
func TestPoliciesLogAndRevert(t *testing.T) {
	dsn := pgtest.New(t)
	people := connect(t, dsn)
	exec := func(sql string) {
		t.Helper()
		if _, err := people.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	operator := inRole(t, dsn, "rotatord_operator")
	log := func(args ...string) result {
		r := rotatord(t.Context(), nil, append([]string{"policies", "log", "treasury", "--database-url", inRole(t, dsn, "rotatord_readonly")}, args...)...)
		r.stdout = strings.ReplaceAll(moments.ReplaceAllString(r.stdout, "WHEN"), people.Config().User, "LOGIN")
		return r
	}
	revert := func(args ...string) result {
		return rotatord(t.Context(), nil, append([]string{"policies", "revert", "treasury", "--database-url", operator, "--actor", "alice@laptop"}, args...)...)
	}
	exec(`INSERT INTO rotation_policies (name, schedule, max_share_age) VALUES ('treasury', '0 3 * * 0', '30 days')`)
	exec(`UPDATE policy_state SET running_version = 1, judged_version = 1, valid = true, running_spec = '{}'`)
	exec(`SET rotatord.actor = 'bob'; SET rotatord.reason = 'ticket 4711'`)
	exec(`UPDATE rotation_policies SET schedule = '0 3 * * 1,4', run_window = '4 hours', max_share_age = NULL`)
	exec(`RESET rotatord.actor; RESET rotatord.reason`)
	exec(`UPDATE policy_state SET judged_version = 2, valid = false, error = 'it would not do'`)
	exec(`UPDATE rotation_policies SET paused_reason = 'it''s an incident'`)

	unasked := revert("--to", "1")
	unasked.want(t, 2, "schedule '0 3 * * 1,4' → '0 3 * * 0'\n")
	if !strings.Contains(unasked.stderr, "add --yes") {
		t.Errorf("nobody was asked: %q", unasked.stderr)
	}
	if n := count(t, people, `SELECT version FROM rotation_policies`); n != 3 {
		t.Fatalf("without a yes the policy is at version %d", n)
	}
	done := revert("--to", "1", "--reason", "it was better before", "--yes")
	done.want(t, 0, "Policy treasury is at version 4 now.")
	golden(t, "policies/revert.txt", done.stdout)
	if n := count(t, people, `SELECT count(*) FROM rotation_policies WHERE schedule = '0 3 * * 0' AND run_window IS NULL AND max_share_age = '30 days'
		AND paused_reason = 'it''s an incident' AND updated_by = 'alice@laptop'`); n != 1 {
		t.Error("the row has not the values of version 1, or what stopped it is gone")
	}
	all := log()
	if all.code != 0 || all.stderr != "" {
		t.Errorf("got %+v", all)
	}
	golden(t, "policies/log.txt", all.stdout)
	if two := log("--last", "2"); strings.Count(two.stdout, "version ") != 2 {
		t.Errorf("two edits: %q", two.stdout)
	}
	var edits []app.Edit
	if err := json.Unmarshal([]byte(rotatord(t.Context(), nil, "policies", "log", "treasury", "--database-url", operator, "-o", "json").stdout), &edits); err != nil || len(edits) != 4 {
		t.Fatalf("%v: %+v", err, edits)
	}
	if e := edits[2]; e.Version != 2 || e.Actor != "bob" || e.Reason != "ticket 4711" || len(e.Changes) != 3 {
		t.Errorf("the edit by bob is %+v", e)
	}

	for _, c := range []struct {
		r    result
		code int
		want string
	}{
		{revert("--to", "1", "--yes"), 2, "nothing to revert: policy treasury is as it was in version 1"},
		{revert("--to", "9", "--yes"), 2, "there is no such version: policy treasury has versions 1 to 4, not 9"},
		{revert("--yes"), 2, `required flag(s) "to" not set`},
		{rotatord(t.Context(), nil, "policies", "revert", "none", "--to", "1", "--database-url", operator), 2, `there is no such policy: "none"`},
		{rotatord(t.Context(), nil, "policies", "revert", "treasury", "--to", "2", "--yes", "--database-url", inRole(t, dsn, "rotatord_app")), 1, "it takes a member of the role rotatord_operator"},
		{rotatord(t.Context(), nil, "policies", "log", "none", "--database-url", operator), 2, `there is no such policy: "none"`},
	} {
		if c.r.code != c.code || !strings.Contains(c.r.stderr, c.want) {
			t.Errorf("got exit code %d and %q, want %d and %q", c.r.code, c.r.stderr, c.code, c.want)
		}
	}
	if n := count(t, people, `SELECT version FROM rotation_policies`); n != 4 {
		t.Errorf("the policy is at version %d, want 4", n)
	}

	j := revert("--to", "2", "--yes", "-o", "json")
	var r app.Reverted
	if err := json.Unmarshal([]byte(j.stdout), &r); err != nil || r.From != 4 || r.To != 2 || r.Version != 5 || len(r.Changes) != 3 {
		t.Errorf("%v: %+v", err, j)
	}
}

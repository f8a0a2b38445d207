package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
)

// TestPlanOfAProposal needs no database: the runs, what the clocks do to them,
// and the daemon's own judgement.
func TestPlanOfAProposal(t *testing.T) {
	spring := rotatord(t.Context(), nil, "plan", "--schedule", "30 2 * * *", "--timezone", "America/New_York", "--run-window", "4h",
		"--max-share-age", "2d", "--from", "2026-03-07", "--count", "3")
	if spring.code != 0 || spring.stderr != "" {
		t.Errorf("got %+v", spring)
	}
	golden(t, "plan/spring.txt", spring.stdout)
	autumn := rotatord(t.Context(), nil, "plan", "--schedule", "30 1 * * 0", "--timezone", "America/New_York", "--from", "2026-10-30", "--count", "3")
	golden(t, "plan/autumn.txt", autumn.stdout)

	refused := rotatord(t.Context(), nil, "plan", "--schedule", "@daily", "--run-window", "25h", "--spread", "30h")
	refused.want(t, 1, "a new policy, as proposed: does not run\n  would be refused: run_window 25h is longer than the 24h")
	refused.want(t, 1, "spread 30h is longer than the run_window 25h")
	rotatord(t.Context(), nil, "plan", "--schedule", "*/30 * * * *").want(t, 1, "more often than every 1h")
	rotatord(t.Context(), nil, "plan", "--schedule", "*/30 * * * *", "--min-interval", "15m").want(t, 0, "as proposed, */30 * * * * in UTC")
	rotatord(t.Context(), nil, "plan", "--schedule", "").want(t, 0, "a new policy: as proposed, only by hand\n")
	path := filepath.Join(t.TempDir(), "rotatord.yaml")
	if err := os.WriteFile(path, []byte("scheduler: {min_interval: 10m}\nproviders: [{name: dynamic, type: dynamic, api_token_file: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rotatord(t.Context(), nil, "plan", "--schedule", "*/30 * * * *", "--config", path).want(t, 0, "as proposed, */30 * * * * in UTC")

	every := rotatord(t.Context(), nil, "plan", "--schedule", "@every 720h", "--from", "2026-01-01T10:00:00Z", "--count", "2", "-o", "json")
	var p app.Plan
	if err := json.Unmarshal([]byte(every.stdout), &p); err != nil || len(p.Policies) != 1 || len(p.Policies[0].Runs) != 2 {
		t.Fatalf("%v: %+v", err, every)
	}
	if run := p.Policies[0].Runs[0]; !run.At.Equal(time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)) || !run.Ends.Equal(p.Policies[0].Runs[1].At) || run.Wallets != nil {
		t.Errorf("the first run is %+v", run)
	}
}

// TestPlan under a login that may only read: what runs, what a bad edit leaves
// running, what no daemon has judged, who is stopped, and an edit that is only
// proposed.
func TestPlan(t *testing.T) {
	dsn := pgtest.New(t)
	people := connect(t, dsn)
	exec := func(sql string) {
		t.Helper()
		if _, err := people.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	plan := func(args ...string) result {
		return rotatord(t.Context(), nil, append([]string{"plan", "--database-url", inRole(t, dsn, "rotatord_readonly"), "--count", "2"}, args...)...)
	}
	plan().want(t, 0, "There are no policies.\n")
	exec(`INSERT INTO rotation_policies (name, schedule, timezone, run_window) VALUES
		('treasury', '0 3 * * 0', 'Europe/Zurich', '4 hours'), ('new', '@daily', 'UTC', NULL), ('bad', 'TZ=', 'UTC', NULL), ('hand', NULL, 'UTC', NULL)`)
	exec(`INSERT INTO wallets (provider, external_id, policy_id, enabled) SELECT 'dynamic', n::text, id, n < 7 FROM rotation_policies, generate_series(1, 8) n WHERE name = 'treasury'`)
	// As a daemon leaves it, that saw a good version and then a bad one.
	exec(`UPDATE rotation_policies SET schedule = '0 3 30 2 *', paused_reason = 'audit' WHERE name = 'treasury'`)
	exec(`UPDATE policy_state SET running_version = 1, judged_version = 2, valid = false, error = 'it never fires', warnings = '{it is tight}',
		running_spec = '{"version": 1, "schedule": "0 3 * * 0", "timezone": "Europe/Zurich", "run_window": "4h"}', schedule_since = '2026-01-01', tick = '2026-03-01 02:00Z'
		WHERE policy_id = (SELECT id FROM rotation_policies WHERE name = 'treasury')`)
	exec(`INSERT INTO rotation_cycles (policy_id, tick, window_ends, total) SELECT id, '2026-03-01 02:00Z', '2026-03-01 06:00Z', 6 FROM rotation_policies WHERE name = 'treasury'`)
	exec(`UPDATE wallet_state SET cycle_at = '2026-02-01', eligible_after = '2026-02-01' WHERE wallet_id % 2 = 0`)
	exec(`UPDATE rotation_control SET paused = true, reason = 'incident'`)

	from := time.Date(2096, 3, 20, 0, 0, 0, 0, time.UTC) // ahead of any clock
	all := plan("--from", from.Format(time.RFC3339))
	if all.code != 0 || all.stderr != "" {
		t.Errorf("got %+v", all)
	}
	golden(t, "plan/all.txt", all.stdout)

	one := plan("hand")
	one.want(t, 0, "hand: version 1, only by hand, 0 wallets\n  no daemon has judged version 1 yet: it will run as shown\n")
	proposed := plan("treasury", "--schedule", "0 4 * * *", "--max-share-age", "3d", "--from", from.Format(time.DateOnly))
	golden(t, "plan/proposed.txt", proposed.stdout)
	plan("treasury", "--run-window", "null", "--spread", "200h").want(t, 1, "would be refused")
	if plan("none").want(t, 2, ""); !strings.Contains(plan("none").stderr, `there is no such policy: "none"`) {
		t.Error("a policy that is not there")
	}
	if n := count(t, people, `SELECT count(*) FROM rotation_policy_edits`); n != 5 {
		t.Errorf("planning edited something: %d edits", n)
	}
}

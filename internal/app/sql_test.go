package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// TestRecipes runs every statement of docs/sql.md as the role that it is for,
// and looks whether what the document says comes true.
func TestRecipes(t *testing.T) {
	r := newRigWith(t, sandbox.Options{Wallets: 5})
	r.cfg.Rotation.Backoff.Initial, r.cfg.Rotation.Backoff.Max = 50*time.Millisecond, 200*time.Millisecond
	r.cfg.Rotation.QuietTime = 50 * time.Millisecond
	c := &cookbook{rig: r.start(), recipes: recipes(t), cooked: map[string]int{}}
	var err error
	if c.readonly, err = pgx.Connect(t.Context(), login(t, r.dsn, "rotatord_readonly")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.readonly.Close(context.Background()) })
	for _, step := range []struct {
		about string
		cook  func(*cookbook)
	}{{"policies", cookPolicies}, {"wallets", cookWallets}, {"requests", cookRequests}, {"trouble", cookTrouble}, {"pauses", cookPauses}, {"reading", cookReading}} {
		step.cook(c)
		if t.Failed() {
			t.Fatalf("while trying the recipes about %s", step.about)
		}
	}
	r.stop()
	r.wantAgreement()
	for heading, blocks := range c.recipes {
		if c.cooked[heading] != len(blocks) {
			t.Errorf("docs/sql.md has %d statements under %q, %d were tried", len(blocks), heading, c.cooked[heading])
		}
	}
	if len(c.recipes) < 20 {
		t.Errorf("docs/sql.md has %d recipes", len(c.recipes))
	}
}

// runs waits until the daemon runs a version of treasury.
func (c *cookbook) runs(version int64) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("version %d of treasury runs", version), func() bool {
		return ask[bool](c.rig, `SELECT valid AND coalesce(running_version, 0) = $1 AND version = $1 FROM policy_status WHERE name = 'treasury'`, version)
	})
}

func cookPolicies(c *cookbook) {
	c.run("SQL recipes", 1)
	c.run("Add a policy", 1)
	c.runs(1)
	eventually(c.t, "cold runs", func() bool { return ask[bool](c.rig, `SELECT valid FROM policy_status WHERE name = 'cold'`) })
	c.run("Change a schedule", 1)
	c.runs(2)
	var seen []map[string]any
	eventually(c.t, "three runs are announced", func() bool {
		seen = c.run("Is it understood, and what runs next?", 1)
		return len(seen) == 4
	})
	if seen[0]["name"] != "cold" || seen[0]["next_utc"] != nil {
		c.t.Fatalf("policies: %v", seen)
	}
	for _, line := range seen[1:] {
		local, utc := line["next_local"].(time.Time), line["next_utc"].(time.Time)
		if day := local.Weekday(); local.Hour() != 3 || day != time.Monday && day != time.Thursday || utc.Hour() != 1 && utc.Hour() != 2 {
			c.t.Errorf("a run at %s, %s UTC", local, utc)
		}
	}
	c.run("Raise a limit for one night", 1)
	c.runs(3)
	c.run("Raise a limit for one night", 2)
	c.runs(4)
	c.run("Go back to an earlier version", 1)
	c.runs(5)
	c.want(ask[string](c.rig, `SELECT (schedule, timezone, max_concurrent, max_per_minute)::text FROM rotation_policies WHERE name = 'treasury'`), `("0 3 * * 1,4",Europe/Zurich,10,0)`)

	edits := c.run("Who edited a policy?", 1)
	var told []string
	for _, e := range edits {
		if e["who"] != "alice" || e["reason"] != "ticket 4711" {
			c.t.Errorf("edit: %v", e)
		}
		told = append(told, fmt.Sprint(e["version"], " ", e["column"], " ", e["was"], " ", e["became"]))
	}
	for _, want := range []string{"5 max_per_minute 20 0", "4 max_concurrent 50 10", "3 max_concurrent 10 50", "2 schedule 0 3 * * 0 0 3 * * 1,4", "2 timezone UTC Europe/Zurich"} {
		if !slices.Contains(told, want) {
			c.t.Errorf("the edits %q do not have %q", told, want)
		}
	}

	// What the document says of a version that never was.
	if _, err := c.people.Exec(c.t.Context(), strings.Replace(c.recipes["Go back to an earlier version"][0], "e.version = 2", "e.version = 99", 1)); err == nil || !strings.Contains(err.Error(), "timezone") {
		c.t.Errorf("going back to a version that never was: %v", err)
	}
}

func cookWallets(c *cookbook) {
	c.run("Add wallets", 1)
	for _, w := range c.sandbox.State()[2:] {
		c.exec(`INSERT INTO wallets (provider, external_id, policy_id) SELECT 'dynamic', $1, id FROM rotation_policies WHERE name = 'treasury'`, w.ID)
	}
	c.want(ask[string](c.rig, `SELECT string_agg(wallet_id || ' ' || policy, ', ' ORDER BY wallet_id) FROM wallet_status`), "1 treasury, 2 treasury, 3 treasury, 4 treasury, 5 treasury")
	c.run("Move wallets to another policy", 1)
	c.want(ask[string](c.rig, `SELECT string_agg(wallet_id || ' ' || policy, ', ' ORDER BY wallet_id) FROM wallet_status`), "1 treasury, 2 cold, 3 treasury, 4 treasury, 5 cold")
	if due := c.run("What is due?", 1); len(due) != 0 {
		c.t.Errorf("due before any tick: %v", due)
	}
}

func cookRequests(c *cookbook) {
	c.want(c.request("Rotate one wallet now", 1), "done: rotation ")
	c.rotated(1, 1)
	c.want(c.request("Run a policy now", 1), "done: a cycle was started")
	c.rotated(2, 1)
	c.rotated(5, 1)
	seen := c.run("What did the daemon answer?", 1)
	if len(seen) != 2 || seen[0]["action"] != "run_policy" || seen[0]["state"] != "done" || seen[1]["reason"] != "laptop lost" {
		c.t.Errorf("answers: %v", seen)
	}
	c.want(c.request("Reconcile", 1), "done: vendor, co-signer and record are compared now")
	eventually(c.t, "it was compared", func() bool { return c.state(1) == "" })
	before := ask[int64](c.rig, `SELECT count(*) FROM reconcile_state WHERE completed_at IS NOT NULL`)
	c.want(c.request("Reconcile", 2), "done: all wallets are compared now")
	eventually(c.t, "all were compared", func() bool {
		return ask[bool](c.rig, `SELECT NOT running AND completed_at IS NOT NULL AND results->'dynamic'->>'agree' = '3' FROM reconcile_state`)
	})
	if before != 0 {
		c.t.Error("they were compared before anybody asked")
	}
	if n := c.generation(1); n != 1 {
		c.t.Errorf("a comparison has rotated wallet 1: %d", n)
	}
}

func cookTrouble(c *cookbook) {
	c.exec(`UPDATE rotation_policies SET max_attempts = 1`)
	c.runs(6)
	fail := func(wallets ...int64) {
		c.t.Helper()
		c.fails("dynamic.refresh", wallets...)
		for _, id := range wallets {
			c.want(c.rotate(id), "done")
			eventually(c.t, "it fails", func() bool { return c.state(id) == "failed" })
		}
		c.fails("dynamic.refresh")
	}
	fail(3, 4)
	seen := c.run("What needs a person?", 1)
	if len(seen) != 2 || seen[0]["wallet_id"] != int64(3) || seen[0]["reason"] != "attempts_used_up" || seen[0]["next_step"] == "" {
		c.t.Errorf("attention: %v", seen)
	}
	c.want(c.request("Retry", 1), "done: the rotation goes on now")
	c.rotated(3, 1)
	seen = c.run("Retry", 2)
	if len(seen) != 1 || seen[0]["wallet_id"] != int64(4) {
		c.t.Fatalf("retried: %v", seen)
	}
	c.want(c.answer(seen[0]["id"].(int64)), "done")
	c.rotated(4, 1)

	fail(3)
	c.want(c.request("Abort", 1), "done")
	c.rotated(3, 1)

	// The vendor refuses the swap; then somebody has looked there.
	c.exec(`UPDATE rotation_policies SET max_attempts = 5`)
	c.runs(7)
	c.fails("dynamic.locations", 4)
	c.want(c.rotate(4), "done")
	eventually(c.t, "it is prepared", func() bool { return c.state(4) == "prepared" })
	c.want(c.request("Discard", 1), "done: the discard takes effect")
	eventually(c.t, "it was given up", func() bool {
		return ask[bool](c.rig, `SELECT EXISTS (SELECT FROM share_sets WHERE wallet_id = 4 AND state = 'abandoned')`)
	})
	c.fails("dynamic.locations")
	c.rotated(4, 2)
}

func cookPauses(c *cookbook) {
	c.run("Pause a wallet", 1)
	c.want(c.rotate(1), "refused: wallet 1 is disabled or paused")
	c.run("Pause a wallet", 2)
	c.want(c.rotate(1), "done")
	c.rotated(1, 2)

	run := func(policy string) string {
		return c.answer(ask[int64](c.rig, `INSERT INTO rotation_requests (action, policy_id) SELECT 'run_policy', id FROM rotation_policies WHERE name = $1 RETURNING id`, policy))
	}
	c.run("Pause a policy", 1)
	c.want(run("treasury"), "refused: the policy is paused: quarter end")
	c.run("Pause a policy", 2)
	c.want(run("treasury"), "done")
	c.rotated(1, 3)
	c.rotated(3, 2)
	c.rotated(4, 3)

	c.run("Pause a provider", 1)
	c.heeded()
	c.want(c.rotate(2), "done")
	c.parked(2)
	c.want(run("cold"), "done")
	due := c.run("What is due?", 1)
	if len(due) != 1 || due[0]["name"] != "cold" || due[0]["due"] != int64(2) {
		c.t.Errorf("due: %v", due)
	}
	if c.generation(2) != 1 || c.generation(5) != 1 {
		c.t.Error("a wallet of a paused provider was rotated")
	}
	c.run("Pause a provider", 2)
	c.rotated(2, 2)
	c.rotated(5, 2)

	c.run("Stop everything", 1)
	c.heeded()
	c.want(c.rotate(1), "done")
	c.parked(1)
	if seen := c.run("Stop everything", 2); len(seen) != 0 {
		c.t.Errorf("under way: %v", seen)
	}
	c.run("Stop everything", 3)
	c.rotated(1, 4)
	c.want(ask[string](c.rig, `SELECT updated_by FROM rotation_control`), "alice")
}

func cookReading(c *cookbook) {
	var told []string
	for _, set := range c.run("The history of a wallet", 1) {
		told = append(told, fmt.Sprint(set["generation"], " ", set["state"]))
	}
	if got := strings.Join(told, ", "); got != "0 retired, 1 retired, 2 retired, 3 retired, 4 active" {
		c.t.Errorf("share sets of wallet 1: %s", got)
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// steered is a database with a policy and some wallets, steered by the command
// line under an operator's login. Its configuration names secrets of vendors
// that this person cannot read.
type steered struct {
	t      *testing.T
	dsn    string
	config string
	box    *sandbox.Sandbox
	info   sandbox.Info
	owner  *pgx.Conn
}

func newSteered(t *testing.T, wallets int) *steered {
	t.Helper()
	box, err := sandbox.New(sandbox.Options{Wallets: wallets, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	base, err := box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.New(t)
	s := &steered{t: t, dsn: dsn, config: filepath.Join(t.TempDir(), "rotatord.yaml"), box: box, info: box.Info(base), owner: connect(t, dsn)}
	if err := os.WriteFile(s.config, fmt.Appendf(nil, "database: {url: %q}\nproviders: [{name: dynamic, type: dynamic, api_token_file: none}]\n",
		inRole(t, dsn, "rotatord_operator")), 0o600); err != nil {
		t.Fatal(err)
	}
	s.exec(`INSERT INTO rotation_policies (name, max_attempts) VALUES ('treasury', 1)`)
	for _, w := range box.State() {
		s.exec(`INSERT INTO wallets (provider, external_id, policy_id) SELECT 'dynamic', $1, id FROM rotation_policies`, w.ID)
	}
	return s
}

func (s *steered) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.owner.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// says compares what a statement reads, as text.
func (s *steered) says(want, sql string, args ...any) {
	s.t.Helper()
	var got string
	if err := s.owner.QueryRow(s.t.Context(), `SELECT coalesce(string_agg(x::text, ' '), '') FROM (`+sql+`) x`, args...).Scan(&got); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if got != want {
		s.t.Errorf("%s: got %s, want %s", sql, got, want)
	}
}

func (s *steered) run(args ...string) result {
	s.t.Helper()
	return rotatord(s.t.Context(), nil, append(args, "--config", s.config)...)
}

// TestAsking: the daemon's answer is the command's.
func TestAsking(t *testing.T) {
	s := newSteered(t, 3)
	external := s.box.State()[2].ID
	early := s.run("rotate", "--wallet", "1", "--actor", "ann", "--wait", "1ms")
	early.want(t, 1, "Of 1 requests 1 are still open after 1ms: is a daemon running?\n")
	s.run("rotate", "--wallet", "2").want(t, 0, "REQUEST  TARGET    ANSWER  DETAIL\n2        wallet 2  open    -\n")
	s.says("(rotate,1,ann,\"\") (rotate,2,"+thisPerson()+",\"\")", `SELECT action, wallet_id, actor, reason FROM rotation_requests ORDER BY id`)

	serve(t, s.dsn, s.info)
	s.run("rotate", "--provider", "dynamic", "--external-id", external, "--reason", "laptop lost", "--wait", "1m").want(t, 0, "was opened")
	s.says("(rotate,\"laptop lost\")", `SELECT action, reason FROM rotation_requests WHERE wallet_id = 3`)
	closed := func() bool {
		var open, never int
		if err := s.owner.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM rotations), (SELECT count(*) FROM wallet_state WHERE generation = 0)`).Scan(&open, &never); err != nil {
			t.Fatal(err)
		}
		return open+never == 0
	}
	eventually(t, "all are rotated", closed)
	s.run("rotate", "--policy", "treasury", "--wait", "1m").want(t, 0, "policy treasury  done    a cycle was started for every wallet of the policy")
	eventually(t, "the cycle is through", func() bool {
		var state string
		if err := s.owner.QueryRow(t.Context(), `SELECT state FROM rotation_cycles`).Scan(&state); err != nil {
			t.Fatal(err)
		}
		return state == "completed" && closed()
	})

	// What is refused is no failure to ask.
	for verb, why := range map[string]string{"retry": "has no rotation that waits", "abort": "has no open rotation", "discard": "has no open rotation"} {
		r := s.run(verb, "--wallet", "1", "--reason", "a test", "--wait", "1m", "--database-url", inRole(t, s.dsn, "rotatord_operator"))
		if verb == "discard" {
			r = s.run(verb, "--wallet", "1", "--reason", "the vendor was checked", "--wait", "1m", "--yes")
		}
		r.want(t, 1, why)
		if r.stderr != "" {
			t.Errorf("%s: the answer is said twice: %q", verb, r.stderr)
		}
	}
	s.run("retry", "--policy", "treasury", "--wait", "1m").want(t, 0, "Nothing was requested: no rotation of policy treasury waits")

	// A retry of a policy is one for each of its wallets that waits.
	if err := s.box.SetFaults(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 500}); err != nil {
		t.Fatal(err)
	}
	s.run("rotate", "--wallet", "1", "--wait", "1m").want(t, 0, "done")
	s.run("rotate", "--wallet", "3", "--wait", "1m").want(t, 0, "done")
	eventually(t, "both failed", func() bool {
		var n int
		if err := s.owner.QueryRow(t.Context(), `SELECT count(*) FROM rotations WHERE state = 'failed'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 2
	})
	if err := s.box.SetFaults(); err != nil {
		t.Fatal(err)
	}
	r := s.run("retry", "--policy", "treasury", "--reason", "mended", "--wait", "1m", "-o", "json")
	var out app.Requested
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil || r.code != 0 {
		t.Fatalf("%+v: %v", r, err)
	}
	if len(out.Requests) != 2 || out.Count("done") != 2 || out.Requests[0].WalletID != 1 || out.Requests[1].WalletID != 3 || out.Action != "retry" || out.Target != "policy treasury" {
		t.Errorf("%+v", out)
	}
	eventually(t, "both are rotated", closed)
}

// TestInterruptedWaiting: who stops waiting is told what was requested.
func TestInterruptedWaiting(t *testing.T) {
	s := newSteered(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan result, 1)
	go func() { ended <- rotatord(ctx, nil, "rotate", "--wallet", "1", "--wait", "10m", "--config", s.config) }()
	eventually(t, "the request is there", func() bool {
		var n int
		if err := s.owner.QueryRow(t.Context(), `SELECT count(*) FROM rotation_requests`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	cancel()
	r := <-ended
	if r.want(t, 2, "1        wallet 1  open    -\n"); !strings.Contains(r.stderr, "context canceled") || strings.Contains(r.stdout, "10m") || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("%+v", r)
	}
}

// TestPausing: what is edited, who is on record for it, and what is said.
func TestPausing(t *testing.T) {
	s := newSteered(t, 2)
	me := thisPerson()
	s.run("pause", "--wallet", "1", "--reason", "audit").want(t, 0, "Wallet 1 is paused.\nHeld: wallet 1 is paused: audit ("+me+").\n")
	s.run("pause", "--wallet", "1", "--reason", "another").want(t, 0, "Wallet 1 was paused already.\nHeld: wallet 1 is paused: audit ("+me+").\n")
	s.run("pause", "--policy", "treasury", "--reason", "quarter end", "--actor", "ann").want(t, 0, "Policy treasury is paused.\nHeld: policy treasury is paused: quarter end.\n")
	s.says("(ann,ann,\"quarter end\")", `SELECT p.updated_by, e.actor, e.reason FROM rotation_policies p JOIN rotation_policy_edits e USING (version)`)
	s.run("pause", "--provider", "dynamic", "--reason", "maintenance", "--actor", "bob").want(t, 0, "Provider dynamic is paused.\nHeld: provider dynamic is paused: maintenance.\n")
	s.run("pause", "--all", "--yes", "--reason", "incident", "--actor", "eve").want(t, 0, "Everything is paused.\nHeld: everything is paused: maintenance; incident.\nHeld: paused providers: dynamic: maintenance; incident.\n")
	s.says("(t,{dynamic},\"maintenance; incident\",eve)", `SELECT paused, paused_providers, reason, updated_by FROM rotation_control`)

	all := s.run("resume", "--wallet", "1", "-o", "json")
	var out app.Paused
	if err := json.Unmarshal([]byte(all.stdout), &out); err != nil {
		t.Fatalf("%+v: %v", all, err)
	}
	if len(out.Holds) != 3 || !out.Changed || out.Target != "wallet 1" || out.UnderWay == nil {
		t.Errorf("%+v", out)
	}
	s.says("(f,)", `SELECT paused_reason IS NOT NULL, paused_reason FROM wallets WHERE id = 1`)
	s.run("resume", "--all").want(t, 0, "Everything is resumed.\nHeld: paused providers: dynamic: maintenance; incident.\n")
	s.run("resume", "--provider", "dynamic").want(t, 0, "Provider dynamic is resumed.\n")
	s.says("(f,{},\"\")", `SELECT paused, paused_providers, reason FROM rotation_control`)
	s.run("resume", "--policy", "treasury", "--actor", "ann", "--reason", "audited").want(t, 0, "Policy treasury is resumed.\n")
	s.says("(ann,audited)", `SELECT actor, reason FROM rotation_policy_edits ORDER BY id DESC LIMIT 1`)
	s.run("resume", "--policy", "treasury").want(t, 0, "Policy treasury was not paused.\n")
	s.exec(`UPDATE rotation_policies SET enabled = false`)
	s.run("resume", "--wallet", "2").want(t, 0, "Wallet 2 was not paused.\nHeld: policy treasury is disabled.\n")

	// What is under way is said, since it goes on.
	s.exec(`INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, claimed_at, next_check)
		SELECT 2, gen_random_uuid(), id, now(), 'manual', now(), now() FROM rotation_policies`)
	s.exec(`UPDATE rotations SET state = 'opening', attempt = 1, attempt_id = gen_random_uuid(), opened_at = now(), old_share_set = 'x'`)
	s.run("pause", "--wallet", "2", "--reason", "x").want(t, 0, "Attempts that are open come to their end: 1 in opening.\n")
	s.run("pause", "--wallet", "1", "--reason", "x").want(t, 0, "Wallet 1 is paused.\nHeld: policy treasury is disabled.\nHeld: wallet 1 is paused: x ("+me+").\n")
}

// TestSteeringThatCannot: one sentence, exit code 2, and nothing was changed.
func TestSteeringThatCannot(t *testing.T) {
	s := newSteered(t, 1)
	readonly := inRole(t, s.dsn, "rotatord_readonly")
	for args, want := range map[string]string{
		"rotate --wallet 99":                                      "there is no such wallet: 99",
		"rotate --policy none":                                    `there is no such policy: "none"`,
		"rotate --provider dynamic --external-id none":            "there is no such wallet: none of dynamic",
		"pause --provider none --reason x":                        `no wallet in the table is of provider "none"`,
		"rotate":                                                  "what to rotate? give --wallet, --provider with --external-id or --policy",
		"abort --reason x":                                        "what to abort? give --wallet or --provider with --external-id",
		"pause --reason x":                                        "--provider alone or --all",
		"rotate --wallet 1 --policy treasury":                     "there is more than one target",
		"pause --all --wallet 1 --reason x":                       "there is more than one target",
		"retry --wallet 1 --provider dynamic --external-id x":     "there is more than one target",
		"rotate --provider dynamic":                               "give both",
		"pause --external-id x --reason x":                        "give both",
		"rotate --wallet -1":                                      "a positive number",
		"pause --wallet 1 --reason  ":                             "--reason is empty: say why",
		"rotate --wallet 1 --wait -1s":                            "--wait is negative",
		"pause --all --reason x":                                  "this keeps all rotations of all wallets from beginning, and there is no terminal to ask at: add --yes if that is meant",
		"discard --wallet 1 --reason x":                           "discarding states that the vendor was checked and still uses the old share set of wallet 1, and there is no terminal",
		"rotate --wallet 1 --database-url " + readonly:            "this login may not: it takes a member of the role rotatord_operator; give --database-url",
		"pause --wallet 1 --reason x --database-url " + readonly:  "this login may not",
		"resume --all --database-url postgres://127.0.0.1:1/none": "does not let",
		"rotate --wallet 1 --database-url " + pgtest.NewEmpty(t):  "run rotatord migrate",
	} {
		r := s.run(strings.Split(args, " ")...)
		if args == "pause --wallet 1 --reason  " {
			r = s.run("pause", "--wallet", "1", "--reason", " ")
		}
		r.want(t, 2, "")
		if !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: %+v, want one sentence with %q", args, r, want)
		}
	}
	for _, verb := range []string{"pause", "abort", "discard"} {
		if r := s.run(verb, "--wallet", "1"); r.code != 2 || !strings.Contains(r.stderr, `required flag(s) "reason" not set`) {
			t.Errorf("%s without a reason: %+v", verb, r)
		}
	}
	if r := rotatord(t.Context(), nil, "rotate", "--wallet", "1"); r.code != 2 || !strings.Contains(r.stderr, "which database? give --config or --database-url") {
		t.Errorf("no database: %+v", r)
	}
	s.says("(0,0,f)", `SELECT (SELECT count(*) FROM rotation_requests), (SELECT count(*) FROM wallets WHERE paused_reason IS NOT NULL), paused FROM rotation_control`)
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/user"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// TestReconcile reads as people and scripts do; what it is about is tested in
// internal/app and internal/rotation.
func TestReconcile(t *testing.T) {
	box, config, dsn := vendors(t, sandbox.Options{Wallets: 2, Vaults: 2, Seed: 5})
	people := connect(t, dsn)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := people.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`INSERT INTO rotation_policies (name) VALUES ('treasury')`)
	for _, w := range box.State() {
		exec(`INSERT INTO wallets (provider, external_id, address, policy_id) SELECT $1, $2, nullif($3, ''), id FROM rotation_policies`, w.Provider, w.ID, w.Address)
	}
	reconcile := func(args ...string) result {
		t.Helper()
		return rotatord(t.Context(), nil, append([]string{"reconcile", "--config", config}, args...)...)
	}
	r := reconcile()
	r.want(t, 0, "Nothing differs among 4 wallets.")
	golden(t, "reconcile/agree.txt", r.stdout)

	exec(`UPDATE wallets SET address = '0xdead' WHERE id = 2`)
	r = reconcile()
	r.want(t, 1, "With --apply the daemon is requested")
	golden(t, "reconcile/differs.txt", r.stdout)
	var out struct {
		Differ  []rotation.Comparison
		Again   []rotation.Comparison
		Summary struct {
			Results               map[string]map[string]int
			Wallets, Differ, Open int
			Requests, NextWallet  int
		}
	}
	r = reconcile("-o", "json", "--apply", "--reason", "restored", "--wait", "1ms")
	r.want(t, 1, "")
	if err := json.Unmarshal([]byte(r.stdout), &out); err != nil {
		t.Fatalf("%v in %s", err, r.stdout)
	}
	if len(out.Differ) != 1 || out.Differ[0].WalletID != 2 || out.Differ[0].Result != rotation.Mismatch || len(out.Again) != 1 ||
		out.Summary.Wallets != 4 || out.Summary.Differ != 1 || out.Summary.Requests != 1 || out.Summary.Open != 1 || out.Summary.Results["cobo"]["no_baseline"] != 2 {
		t.Errorf("%s", r.stdout)
	}
	var actor, reason string
	if err := people.QueryRow(t.Context(), `SELECT actor, reason FROM rotation_requests WHERE action = 'reconcile' AND wallet_id = 2`).Scan(&actor, &reason); err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(actor, me.Username+"@") || reason != "restored" {
		t.Errorf("%s asked for %q", actor, reason)
	}
	reconcile("--apply", "--wait", "1ms").want(t, 1, "Of 1 requests 1 are still open after 1ms: is a daemon running?")
	reconcile("--apply", "--actor", "ann").want(t, 1, "The daemon was requested to reconcile 1 of them.")

	// Others are asked for alone.
	reconcile("--wallet", "1").want(t, 0, "among 1 wallets")
	reconcile("--provider", "cobo", "--policy", "treasury").want(t, 0, "among 2 wallets")
	reconcile("--from-wallet", "3").want(t, 0, "among 2 wallets")

	if err := box.SetFaults(faults.Fault{Operation: "cobo.get_vault", Kind: faults.Status, Status: 503}); err != nil {
		t.Fatal(err)
	}
	r = reconcile("--provider", "cobo", "--apply")
	r.want(t, 1, "2 of 2 wallets differ. Nothing was requested")
	if strings.Count(r.stdout, "unreachable") != 2 {
		t.Errorf("%s", r.stdout)
	}
}

// TestReconcileThatCannot says why in one sentence.
func TestReconcileThatCannot(t *testing.T) {
	_, config, _ := vendors(t, sandbox.Options{Wallets: 1, Seed: 5})
	_, elsewhere, _ := vendors(t, sandbox.Options{Wallets: 1, Seed: 5})
	replace(t, elsewhere, "database: {url: ", `database: {max_connections: 5, url: "`+pgtest.NewEmpty(t)+`"} #`)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		args []string
		ctx  context.Context
		want string
	}{
		"no such provider":    {[]string{"--config", config, "--provider", "none"}, t.Context(), `the configuration has no provider "none"`},
		"no such policy":      {[]string{"--config", config, "--policy", "none"}, t.Context(), `there is no such policy: "none"`},
		"no such wallet":      {[]string{"--config", config, "--wallet", "99"}, t.Context(), "there is no such wallet: 99"},
		"never migrated":      {[]string{"--config", elsewhere}, t.Context(), "run rotatord migrate"},
		"interrupted":         {[]string{"--config", config}, ended, "context canceled"},
		"no configuration":    {[]string{"--config", "missing.yaml"}, t.Context(), "missing.yaml"},
		"wait for what":       {[]string{"--config", config, "--wait", "1m"}, t.Context(), "add --apply"},
		"two ways":            {[]string{"--config", config, "--wallet", "1", "--from-wallet", "2"}, t.Context(), "give one"},
		"a wallet below zero": {[]string{"--config", config, "--wallet", "-1"}, t.Context(), "a positive number"},
		"a wait below zero":   {[]string{"--config", config, "--apply", "--wait", "-1s"}, t.Context(), "is negative"},
	} {
		r := rotatord(c.ctx, nil, append([]string{"reconcile"}, c.args...)...)
		r.want(t, 2, "")
		if !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
			t.Errorf("%s: %+v, want one sentence with %q", name, r, c.want)
		}
	}
}

// replace edits a file.
func replace(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

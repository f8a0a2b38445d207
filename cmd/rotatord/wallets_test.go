package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// vendors is a configuration with both, and a database.
func vendors(t *testing.T, o sandbox.Options) (box *sandbox.Sandbox, config, dsn string) {
	t.Helper()
	box, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	base, err := box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	info := box.Info(base)
	dsn = pgtest.New(t)
	config = filepath.Join(t.TempDir(), "rotatord.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
database: {url: %q}
providers:
  - {name: dynamic, type: dynamic, base_url: %s, environment_id: %s, api_token: %s, rate_limits: []}
  - {name: cobo, type: cobo, base_url: %s, api_secret: %q, response_public_key: %q, tss_nodes: [%s], rate_limits: []}
cosigners: [{name: vault, url: %s, token: %s}]
`, inRole(t, dsn, "rotatord_app"), info.Dynamic.BaseURL, info.Dynamic.EnvironmentID, info.Dynamic.APIToken,
		info.Cobo.BaseURL, info.Cobo.APISecret, info.Cobo.ResponsePublicKey, strings.Join(info.Cobo.TSSNodes, ", "),
		info.Cosigner.URL, info.Cosigner.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	return box, config, dsn
}

// inRole is dsn in another role.
func inRole(t *testing.T, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

// TestWalletsSync: it proposes, inserts when it is told to, and then has
// nothing left to do. What people wrote stays as it is.
func TestWalletsSync(t *testing.T) {
	box, config, dsn := vendors(t, sandbox.Options{Wallets: 3, Vaults: 60, Seed: 5}) // two pages of vaults
	people := connect(t, dsn)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := people.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	state := box.State()
	exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('custody', '@daily'), ('other', '@daily')`)
	exec(`INSERT INTO wallets (provider, external_id, policy_id, address) SELECT 'cobo', $1, id, 'as it was' FROM rotation_policies WHERE name = 'other'`, state[3].ID)
	exec(`INSERT INTO wallets (provider, external_id) VALUES ('cobo', 'gone-from-the-vendor'), ('else', $1)`, state[4].ID)
	table := func() (text string) {
		t.Helper()
		if err := people.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', w.provider, w.external_id, p.name, w.address, w.chain), E'\n' ORDER BY w.provider, w.external_id)
			FROM wallets w LEFT JOIN rotation_policies p ON p.id = w.policy_id`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	sync := func(args ...string) result {
		return rotatord(t.Context(), nil, append([]string{"wallets", "sync", "--config", config, "--database-url", inRole(t, dsn, "rotatord_operator")}, args...)...)
	}

	before := table()
	proposed := sync("--provider", "cobo", "--policy", "custody")
	proposed.want(t, 0, "cobo: 60 wallets at the vendor, 2 in the table\n")
	proposed.want(t, 0, "\nNothing was changed. With --apply 59 are inserted, under policy custody.\n")
	for _, w := range state[4:] {
		proposed.want(t, 0, "\n"+w.ID)
	}
	proposed.want(t, 0, "\nNOT AT THE VENDOR     WALLET  POLICY\ngone-from-the-vendor  2       -\n")
	if strings.Contains(proposed.stdout, state[3].ID) {
		t.Error("it proposes a vault that is in the table")
	}
	if after := table(); after != before {
		t.Errorf("a proposal changed the table:\n%s", after)
	}

	var s app.Sync
	applied := sync("--provider", "cobo", "--policy", "custody", "--apply", "-o", "json")
	if err := json.Unmarshal([]byte(applied.stdout), &s); err != nil {
		t.Fatalf("%v: %+v", err, applied)
	}
	if s.AtVendor != 60 || s.InTable != 2 || len(s.Missing) != 59 || len(s.NotAtVendor) != 1 || !s.Applied || s.Inserted != 59 || s.Policy != "custody" {
		t.Errorf("got %+v", s)
	}
	after := table()
	for line := range strings.SplitSeq(before, "\n") {
		if !strings.Contains(after, line) {
			t.Errorf("%q was changed", line)
		}
	}
	if n := strings.Count(after, " custody"); n != 59 {
		t.Errorf("%d vaults are under the policy, want 59", n)
	}
	sync("--provider", "cobo", "--apply").want(t, 0, "\nNothing is missing.\n")

	// Dynamic tells addresses, and a chain in its list's own word for it.
	sync("--provider", "dynamic", "--apply").want(t, 0, "\nInserted 3, without a policy: they are not rotated until they get one.\n")
	for _, w := range state[:3] {
		if want := strings.Join([]string{"dynamic", w.ID, w.Address, ""}, " "); !strings.Contains(table(), want) {
			t.Errorf("%q is not in the table:\n%s", want, table())
		}
	}
}

// TestWalletsSyncThatCannot says why in one sentence, and changes nothing.
func TestWalletsSyncThatCannot(t *testing.T) {
	_, config, dsn := vendors(t, sandbox.Options{Vaults: 1, Seed: 5})
	people := connect(t, dsn)
	sync := func(ctx context.Context, args ...string) result {
		return rotatord(ctx, nil, append([]string{"wallets", "sync", "--config", config, "--provider", "cobo", "--apply"}, args...)...)
	}
	empty := pgtest.NewEmpty(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		result
		code int
		want string
	}{
		"the daemon's login": {sync(t.Context()), 1, "it takes a member of the role rotatord_operator; give --database-url"},
		"no such policy":     {sync(t.Context(), "--policy", "none"), 2, `there is no such policy: "none"`},
		"never migrated":     {sync(t.Context(), "--database-url", empty), 1, "run rotatord migrate"},
		"no database":        {sync(t.Context(), "--database-url", "postgres://me:s3cret@127.0.0.1:1/x"), 1, "PostgreSQL at 127.0.0.1:1 does not let me in"},
		"no vendor":          {sync(ended), 1, "listing the vaults of cobo"},
	} {
		c.result.want(t, c.code, "")
		if !strings.Contains(c.stderr, c.want) || strings.Count(c.stderr, "\n") != 1 || c.stdout != "" || strings.Contains(c.stderr, "s3cret") {
			t.Errorf("%s: %+v, want one sentence with %q", name, c.result, c.want)
		}
	}
	var n int
	if err := people.QueryRow(t.Context(), `SELECT count(*) FROM wallets`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d wallets were inserted, %v", n, err)
	}
}

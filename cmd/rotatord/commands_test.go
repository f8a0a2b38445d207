package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/migrations"
)

func (r result) want(t *testing.T, code int, stdout string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) {
		t.Errorf("got exit code %d, standard output %q, standard error %q; want %d and %q", r.code, r.stdout, r.stderr, code, stdout)
	}
}

func TestVersion(t *testing.T) {
	rotatord(t.Context(), nil, "version").want(t, 0, "rotatord "+versionText())
	r := rotatord(t.Context(), nil, "version", "-o", "json")
	var v struct{ Version, Revision, Go, Platform string }
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("%q: %v", r.stdout, err)
	}
	if v.Version != versionText() || v.Revision == "" || !strings.HasPrefix(v.Go, "go1.") || !strings.Contains(v.Platform, "/") {
		t.Errorf("got %+v", v)
	}
}

func TestMigrate(t *testing.T) {
	dsn := pgtest.NewEmpty(t)
	first := rotatord(t.Context(), nil, "migrate", "--database-url", dsn)
	first.want(t, 0, fmt.Sprintf("the schema went from migration 0 to %d\n", migrations.Latest))
	again := rotatord(t.Context(), nil, "migrate", "--database-url", dsn)
	again.want(t, 0, fmt.Sprintf("the schema is at migration %d already\n", migrations.Latest))

	// By a configuration, with the login that may.
	other := pgtest.NewEmpty(t)
	path := filepath.Join(t.TempDir(), "rotatord.yaml")
	text := fmt.Sprintf("database:\n  url: postgres://nobody@127.0.0.1:1/x\n  migrate_url: %s\n", other)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := rotatord(t.Context(), nil, "migrate", "--config", path, "-o", "json")
	var v struct{ Before, After int }
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || v.Before != 0 || v.After != migrations.Latest {
		t.Errorf("got %q and %q, %v; want 0 and %d", r.stdout, r.stderr, err, migrations.Latest)
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("token", "dyn_x\n")
	const good = `
database: {url: "postgres://rotatord@db.invalid/rotatord"}
cosigners: [{name: vault, url: "https://cosigner.invalid", token: x}]
providers: [{name: dynamic, type: dynamic, environment_id: 6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13, api_token_file: token}]
`
	// None of its hosts exists: whoever asks the network fails.
	rotatord(t.Context(), nil, "validate", "--config", write("good.yaml", good)).want(t, 0, "OK: ")

	for name, c := range map[string]struct{ text, want string }{
		"secret.yaml": {strings.Replace(good, "file: token", "file: none", 1), "none"},
		"empty.yaml":  {"", "database.url"},
		"ca.yaml":     {strings.Replace(good, "token: x}", "token: x, tls: {ca_file: token}}", 1), "holds no certificate"},
	} {
		r := rotatord(t.Context(), nil, "validate", "--config", write(name, c.text))
		r.want(t, 2, "")
		if !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("%s: %+v, want %q on standard error alone", name, r, c.want)
		}
	}
}

// TestSandbox: what it prints is what its info says, and a signal ends it.
func TestSandbox(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr said
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, &cli{stdout: &stdout, stderr: &stderr}, strings.Fields("sandbox --listen 127.0.0.1:0 --wallets 3 --vaults 2 --seed 5 --assume old_share=dies_at_ceremony_end"))
	}()
	var info sandbox.Info
	eventually(t, "the sandbox prints where it is", func() bool { return json.Unmarshal([]byte(stdout.String()), &info) == nil })
	if info.Assume["old_share"] != "dies_at_ceremony_end" || info.Dynamic.APIToken == "" || info.Cosigner.Token == "" ||
		info.Cobo.APISecret == "" || info.Cobo.ResponsePublicKey == "" || len(info.Cobo.TSSNodes) < 3 {
		t.Errorf("got %+v", info)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(info.Dynamic.BaseURL + "/_sandbox/state")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var state struct{ Wallets []sandbox.WalletState }
	if err := json.NewDecoder(response.Body).Decode(&state); err != nil || len(state.Wallets) != 5 {
		t.Errorf("there are %d wallets and vaults (%v), want 5", len(state.Wallets), err)
	}
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d and %q, want 0", code, stderr.String())
	}
}

// TestSandboxLeavesNothing, not even when it is told twice to end.
func TestSandboxLeavesNothing(t *testing.T) {
	p := start(t, "sandbox", "--listen", "127.0.0.1:0", "--wallets", "1")
	eventually(t, "the sandbox runs", func() bool { return strings.Contains(p.stdout.String(), "}\n") && len(p.left()) > 0 })
	p.Process.Signal(os.Interrupt)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d and %q, want 0", code, p.stderr.String())
	}
	p.wantNothingLeft()
}

// left is what the program has in its temporary folder.
func (p *program) left() []string {
	p.t.Helper()
	entries, err := os.ReadDir(p.tmp)
	if err != nil {
		p.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (p *program) wantNothingLeft() {
	p.t.Helper()
	if left := p.left(); len(left) > 0 {
		p.t.Errorf("left behind: %v", left)
	}
}

package config

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// environment is what the fixtures may name.
func environment(name string) (string, bool) {
	value, ok := map[string]string{"PASSWORD": "hunter2", "WORKERS": "8", "EMPTY": ""}[name]
	return value, ok
}

func parseFile(t *testing.T, path string) (*Config, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(path, data, environment)
}

// TestRules reads one file per rule, named after it, and compares with what
// the operator gets to read. Files named valid_… must be taken.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 80 {
		t.Fatalf("only %d fixtures, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if name == "web" { // a file that fixtures point at
			continue
		}
		t.Run(name, func(t *testing.T) {
			_, err := parseFile(t, path)
			if strings.HasPrefix(name, "valid_") {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it was taken")
			}
			got := err.Error() + "\n"
			for _, secret := range []string{"hunter2", "dyn_", "two words"} {
				if strings.Contains(got, secret) {
					t.Errorf("the error shows a secret: %s", got)
				}
			}
			if !errors.As(err, new(*Error)) {
				t.Errorf("%T holds no *Error", err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".error"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestFull reads a file that sets nearly everything.
func TestFull(t *testing.T) {
	c, err := parseFile(t, "testdata/valid_full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const url = "postgres://rotatord:hunter2@db/rotatord?application_name=${x}"
	p := c.Providers[0].Dynamic
	for _, s := range []struct {
		name   string
		secret Secret
		want   string
	}{
		{"url", c.Database.URL, url},
		{"migrate_url defaults to it", c.Database.MigrateURL, url},
		{"api_token from a file", p.APIToken, "dyn_fromfile"},
		{"signing_proof from a file with a Windows line end", p.SigningProof, "dyn_fromfile"},
		{"a token of digits keeps its zero", c.CoSigners[1].Token, "0123"},
	} {
		if got := s.secret.Reveal(); got != s.want {
			t.Errorf("%s: %q, want %q", s.name, got, s.want)
		}
	}
	want := Default()
	want.Database.AutoMigrate = true
	want.HTTP = HTTP{Listen: "0.0.0.0:9464", WebConfigFile: "testdata/web.yaml"}
	want.Log = Log{Level: slog.LevelDebug, Format: LogText}
	want.Scheduler.MinInterval, want.Scheduler.Workers = 36*time.Hour, 8
	want.Rotation.Backoff = Backoff{Initial: time.Second, Max: 720 * time.Hour}
	want.Providers = []Provider{{Name: "dynamic-prod", Type: TypeDynamic, Dynamic: &Dynamic{
		BaseURL: "http://localhost:8080", EnvironmentID: "6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13",
		APITokenFile: "testdata/secrets/token", SigningProofFile: "testdata/secrets/crlf",
		Auth: AuthServer, RateLimits: []RateLimit{}, CoSigner: "second",
	}}}
	want.CoSigners = []CoSigner{
		{Name: "first", URL: "https://cosigner.internal:8443", TLS: TLS{CertFile: "testdata/client.pem", KeyFile: "testdata/client-key.pem"}},
		{Name: "second", URL: "http://127.0.0.1:9000"},
	}
	secretsAside := cmp.Comparer(func(Secret, Secret) bool { return true })
	if diff := cmp.Diff(want, c, secretsAside); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.ReadyToServe(); err != nil {
		t.Error(err)
	}
}

// TestCobo reads an organisation with nothing but what it must say, and one
// that says everything.
func TestCobo(t *testing.T) {
	for path, want := range map[string]Cobo{
		"testdata/valid_cobo_defaults.yaml": {
			BaseURL: "https://api.cobo.com/v2", TSSNodes: []string{"cobo1", "cobo2"},
			OriginalMainGroupHandling: ConvertToSigningGroup, RetireGrace: 24 * time.Hour, ApprovalAttention: 10 * time.Minute,
			RateLimits: []RateLimit{{Requests: 600, Per: time.Minute}},
		},
		"testdata/valid_cobo.yaml": {
			BaseURL: "http://127.0.0.1:8070/v2", APISecretFile: "testdata/secrets/seed",
			ResponsePublicKey: "a04ea1d5fa8da71f1dcfccf972b9c4eba0a2d8aba1f6da26f49977b08a0d2718", TSSNodes: []string{},
			OriginalMainGroupHandling: Invalidate, RetireGrace: 24 * time.Hour, RefreshOtherGroups: true, ApprovalAttention: 90 * time.Second,
			RateLimits: []RateLimit{},
		},
	} {
		c, err := parseFile(t, path)
		if err != nil {
			t.Fatal(err)
		}
		p := c.Providers[0]
		if diff := cmp.Diff(&want, p.Cobo, cmp.Comparer(func(Secret, Secret) bool { return true })); diff != "" || p.Dynamic != nil {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		if got := p.Cobo.APISecret.Reveal(); len(got) != keyHexLength {
			t.Errorf("%s: the secret has %d characters", path, len(got))
		}
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, path := range []string{"testdata/valid_empty.yaml", "testdata/valid_only_comments.yaml", "testdata/valid_sections_commented_out.yaml"} {
		c, err := parseFile(t, path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Default(), c, cmp.Comparer(func(a, b Secret) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		const want = "database.url or database.url_file is missing: name the PostgreSQL database that replicas share\n" +
			"providers is empty: add the account whose wallets are to be rotated"
		if err := c.ReadyToServe(); err == nil || err.Error() != want {
			t.Errorf("%s is ready to serve: %v", path, err)
		}
	}
}

func TestTheOnlyCoSignerIsTheDefault(t *testing.T) {
	c, err := Parse("x.yaml", []byte(`
providers:
  - {name: a, type: dynamic, environment_id: 6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13, api_token: t}
cosigners:
  - {name: vault, url: "https://cosigner.internal", token: t}
`), environment)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Providers[0].Dynamic.CoSigner; got != "vault" {
		t.Errorf("co-signer %q", got)
	}
	if got := c.Providers[0].Dynamic.RateLimits; len(got) != 3 {
		t.Errorf("rate limits %v", got)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := Parse("x.yaml", []byte(strings.Repeat("# log\n", 20_000)), environment)
	if err == nil || err.Error() != "x.yaml: the file is larger than 64 KiB: is it a configuration of rotatord?" {
		t.Errorf("error %v", err)
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("testdata/valid_only_comments.yaml"); err != nil {
		t.Error(err)
	}
	if _, err := Load("testdata/nowhere.yaml"); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "reading config: ") {
		t.Errorf("error %v", err)
	}
	t.Setenv("DB_PASSWORD", "hunter2")
	dir := t.TempDir()
	path, migrate := filepath.Join(dir, "rotatord.yaml"), filepath.Join(dir, "migrate")
	for file, text := range map[string]string{
		path:    "database:\n  url: |\n    postgres://r:${DB_PASSWORD}@db/rotatord\n  migrate_url_file: " + migrate + "\n",
		migrate: "postgres://m@db/rotatord\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Database.URL.Reveal(); got != "postgres://r:hunter2@db/rotatord" {
		t.Errorf("url %q", got)
	}
	if got := c.Database.MigrateURL.Reveal(); got != "postgres://m@db/rotatord" {
		t.Errorf("migrate_url %q", got)
	}
}

// FuzzParse: no file panics or hangs, and every error is a line per mistake.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "../../config.example.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, environment)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		if err == nil {
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, e := range all {
			if e.Msg == "" || !strings.HasPrefix(e.Error(), "fuzz.yaml") || strings.Contains(e.Error(), "\n") {
				t.Errorf("%q is not a sentence in one line", e.Error())
			}
		}
	})
}

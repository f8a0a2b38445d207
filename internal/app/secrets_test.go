package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/config"
)

// TestSecretFilesAreFollowed: a token that is replaced on disk takes effect,
// and a moment in which it is not there costs nothing.
func TestSecretFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	cfg, err := config.Parse(filepath.Join(dir, "rotatord.yaml"), []byte(`
cosigners: [{name: vault, url: "http://127.0.0.1:1", token_file: token}]
providers:
  - {name: dynamic, type: dynamic, environment_id: 6f1c7a52-3d0e-4b8e-9c41-2b7f0a5d9e13, api_token_file: token}
`), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var log safeBuffer
	token := follow(cfg.CoSigners[0].Token, slog.New(slog.NewTextHandler(&log, nil)))
	want := func(want string) {
		t.Helper()
		if got := token(); got != want {
			t.Errorf("the token is %q, want %q", got, want)
		}
	}
	want("first")
	write("second\n")
	want("second")
	if got, err := cfg.Providers[0].Dynamic.APIToken.Current(); got != "second" || err != nil {
		t.Errorf("the API token is %q, %v, want second", got, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want("second")
	want("second")
	if n := strings.Count(log.String(), "keeping the last good value"); n != 1 {
		t.Errorf("the log says so %d times, want once", n)
	}
	write("third")
	want("third")
	if s := log.String(); strings.Contains(s, "first") || strings.Contains(s, "second") {
		t.Errorf("the log holds a token: %s", s)
	}
}

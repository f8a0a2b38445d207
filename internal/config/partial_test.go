package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLoadMinInterval: the one value is read, whatever else the file names.
func TestLoadMinInterval(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	load := func(text string) (time.Duration, error) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\nproviders: [{name: dynamic, type: dynamic, api_token_file: /nowhere/token}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return LoadMinInterval(path)
	}
	for text, want := range map[string]time.Duration{
		"scheduler: {min_interval: 15m, workers: 3}": 15 * time.Minute,
		"scheduler:":                        time.Hour,
		`database: {url: "${NOWHERE_SET}"}`: time.Hour,
	} {
		if d, err := load(text); err != nil || d != want {
			t.Errorf("%s: got %s and %v, want %s", text, d, err, want)
		}
	}
	for text, want := range map[string]string{
		"scheduler: {min_interval: soon}": "scheduler.min_interval",
		"scheduler: {min_intreval: 1h}":   "min_intreval",
		"scheduler: [":                    "not valid YAML",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", text, err, want)
		}
	}
	if _, err := LoadMinInterval(path + "x"); err == nil {
		t.Error("a file that is not there was read")
	}
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoadDatabase: the one URL is read, whatever else the file names.
func TestLoadDatabase(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("url", "postgres://by-file/x\n")
	const vendor = "\nproviders: [{name: dynamic, type: dynamic, api_token_file: /nowhere/token}]\ncosigners: [{name: vault, token_file: /nowhere/else}]\n"
	if _, err := Load(write("all.yaml", "database: {url: postgres://in-line/x}"+vendor)); err == nil {
		t.Fatal("the whole file can be loaded: its secrets are not unreadable, and this test is worth nothing")
	}
	for text, want := range map[string]string{
		"database: {url: postgres://in-line/x}":                                       "postgres://in-line/x",
		"database: {url_file: url}":                                                   "postgres://by-file/x",
		"database: {url_file: url, migrate_url_file: /nowhere/x, max_connections: 9}": "postgres://by-file/x",
		"database:": "",
		"http: {}":  "",
	} {
		url, err := LoadDatabase(write("x.yaml", text+vendor))
		if err != nil || url.Reveal() != want {
			t.Errorf("%s: got %q and %v, want %q", text, url.Reveal(), err, want)
		}
	}
	for text, want := range map[string]string{
		"database: {url_file: none}":             "cannot read the secret",
		"database: {ulr: x}":                     "ulr",
		"database: x":                            "must hold keys",
		"database: [":                            "not valid YAML",
		"database: {url: a}\ndatabase: {url: b}": "second time",
	} {
		if url, err := LoadDatabase(write("x.yaml", text)); err == nil || !strings.Contains(err.Error(), want) || url.IsSet() {
			t.Errorf("%s: got %q and %v, want an error with %q", text, url.Reveal(), err, want)
		}
	}
	if _, err := LoadDatabase(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

// golden compares text that people read with what was agreed on.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestHelp(t *testing.T) {
	commands := []string{}
	var collect func(above string, all []*cobra.Command)
	collect = func(above string, all []*cobra.Command) {
		for _, c := range all {
			commands = append(commands, above+c.Name())
			collect(above+c.Name()+" ", c.Commands())
		}
	}
	collect("", newRoot(&cli{}).Commands())
	if len(commands) < 6 {
		t.Fatalf("there are %d commands, want at least 6", len(commands))
	}
	r := rotatord(t.Context(), nil, "--help")
	golden(t, "help/rotatord.txt", r.stdout)
	if bare := rotatord(t.Context(), nil); bare != r || r.code != 0 {
		t.Errorf("without arguments: %+v, want the help and 0", bare)
	}
	for _, name := range commands {
		r := rotatord(t.Context(), nil, append(strings.Fields(name), "--help")...)
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%s --help: exit code %d, standard error %q", name, r.code, r.stderr)
		}
		// The list has a home and tests of its own.
		golden(t, "help/"+strings.ReplaceAll(name, " ", "-")+".txt", strings.Replace(r.stdout, assume.Describe(), "(the list of assumptions)\n", 1))
	}
}

//go:build sdk

package sdkwire

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// TestOfficialPackages runs every flow of wire.mjs. It fails, never skips, when
// npm or node are missing: the tag asked for them.
func TestOfficialPackages(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "wire.mjs"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, nil, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")

	s, err := sandbox.New(sandbox.Options{Wallets: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	output := run(t, dir, []string{"SANDBOX_URL=" + url}, "node", "wire.mjs")

	// Every flow that the script defines must have been held.
	script, err := os.ReadFile("wire.mjs")
	if err != nil {
		t.Fatal(err)
	}
	defined := submatches(`(?m)^flows\['(.+)'\] = async`, script)
	held := submatches(`(?m)^held: (.+)$`, output)
	if len(defined) < 10 || !slices.Equal(defined, held) {
		t.Errorf("defined %q\nheld %q", defined, held)
	}
	for _, w := range s.State() {
		if !w.CanSign || !w.Recoverable || w.OldShareSigns {
			t.Errorf("%+v", w)
		}
	}
}

func run(t *testing.T, dir string, env []string, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, output)
	}
	return output
}

func submatches(pattern string, text []byte) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		found = append(found, string(m[1]))
	}
	return found
}

//go:build sdk

package sdkwire

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// TestOfficialPackages runs every flow of each script. It fails, never skips,
// when npm or node are missing: the tag asked for them.
func TestOfficialPackages(t *testing.T) {
	dir := t.TempDir()
	copied(t, dir, "package.json")
	run(t, dir, nil, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
	for script, flows := range map[string]int{"dynamic.mjs": 10, "cobo.mjs": 8} {
		t.Run(script, func(t *testing.T) {
			s, err := sandbox.New(sandbox.Options{Wallets: 3, Vaults: 2, CoboPace: 5 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			url, err := s.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			text := copied(t, dir, script)
			output := run(t, dir, []string{"SANDBOX_URL=" + url}, "node", script)

			// Every flow that the script defines must have been held.
			defined := submatches(`(?m)^flows\['(.+)'\] = async`, text)
			held := submatches(`(?m)^held: (.+)$`, output)
			if len(defined) < flows || !slices.Equal(defined, held) {
				t.Errorf("defined %q\nheld %q", defined, held)
			}
			for _, w := range s.State() {
				if !w.CanSign || !w.Recoverable || w.OldShareSigns {
					t.Errorf("%+v", w)
				}
			}
			if orphans := s.Stats().Cobo.Orphans; len(orphans.Groups)+len(orphans.TSSRequests) != 0 {
				t.Errorf("left behind: %+v", orphans)
			}
		})
	}
}

func copied(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return text
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

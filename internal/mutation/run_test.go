//go:build mutation

package mutation

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestEveryMutationIsCaught runs the tests against the broken code. The tree
// itself is not touched: the compiler is given an overlay.
func TestEveryMutationIsCaught(t *testing.T) {
	for _, m := range mutations {
		for pkg, tests := range m.by {
			t.Run(m.name, func(t *testing.T) { m.caught(t, pkg, tests) })
		}
	}
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)

func (m mutation) caught(t *testing.T, pkg, tests string) {
	dir := t.TempDir()
	file, overlay := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json")
	original, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: file}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{file: m.mutated(t), overlay: replace} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-overlay", overlay, "-run", tests, "./"+pkg)
	run.Dir = root
	said, err := run.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if found := failed.FindSubmatch(said); found != nil {
		t.Logf("caught by %s", found[1])
		return
	}
	if err == nil {
		t.Errorf("nothing in %s fails", pkg)
		return
	}
	t.Errorf("the tests did not run: %s", said)
}

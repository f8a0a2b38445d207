package mutation

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root of the module, from this package's folder.
const root = "../.."

// mutated is the mutation's file after it.
func (m mutation) mutated(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.from); n != 1 {
		t.Fatalf("%s: what is to be replaced occurs %d times in %s, want once: bring the mutation up to the code", m.name, n, m.file)
	}
	return []byte(strings.Replace(string(text), m.from, m.to, 1))
}

// TestMutationsFit: a mutation that no longer fits would prove nothing, and one
// that is not in the docs would be known to nobody.
func TestMutationsFit(t *testing.T) {
	docs, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		m.mutated(t)
		if !strings.Contains(string(docs), m.row()) {
			t.Errorf("docs/reliability.md has no line\n%s", m.row())
		}
	}
}

// row is the mutation's line in docs/reliability.md.
func (m mutation) row() string {
	var by []string
	for _, pkg := range slices.Sorted(maps.Keys(m.by)) {
		by = append(by, fmt.Sprintf("`%s`: `%s`", pkg, strings.ReplaceAll(m.by[pkg], "|", "`, `")))
	}
	return fmt.Sprintf("| %s | %s |", m.name, strings.Join(by, "; "))
}

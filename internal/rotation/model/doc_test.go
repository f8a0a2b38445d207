//go:build !race

package model

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables in docs/model.md anew")

const guide = "../../../docs/model.md"

// TestGuideTellsTheTruth: the tables in the guide are what the search finds.
func TestGuideTellsTheTruth(t *testing.T) {
	if *faults != defaultFaults {
		t.Fatalf("the guide is about %d faults", defaultFaults)
	}
	read, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	want := replace(t, string(read), "bounds", fmt.Sprintf(
		"%d attempts, %d ticks, %d faults and %d request of a person", maxAttempts, maxTicks, defaultFaults, maxOrders))
	var b strings.Builder
	b.WriteString("\n| among | states |\n|---|---|\n")
	for _, x := range explored() {
		fmt.Fprintf(&b, "| %s | %d |\n", x.parties.name, x.worlds)
	}
	want = replace(t, want, "states", b.String())
	b.Reset()
	b.WriteString("\n| without this | among | is found | shortest way |\n|---|---|---|---|\n")
	for i, x := range table {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", x.says, x.parties.name, wrongs[x.harm], abridge(crippled()[i].trace))
	}
	want = replace(t, want, "rules", b.String())
	b.Reset()
	for x := nothing + 1; x <= staleWrite; x++ {
		fmt.Fprintf(&b, "\n- %s", wrongs[x])
	}
	want = replace(t, want, "invariants", b.String()+"\n")
	switch {
	case want == string(read):
	case *update:
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/model.md is not what the search finds; -update writes it anew")
	}
}

// replace puts text between the marks of a name.
func replace(t *testing.T, doc, name, text string) string {
	t.Helper()
	head, rest, ok := strings.Cut(doc, "<!-- "+name+" -->")
	_, tail, closed := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !closed {
		t.Fatalf("docs/model.md has no place for %s", name)
	}
	return head + "<!-- " + name + " -->" + text + "<!-- /" + name + " -->" + tail
}

package model

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/store"
)

var faults = flag.Uint("faults", defaultFaults, "how many faults there may be; 3 take minutes and gigabytes")

// summary is what is kept of a search.
type summary struct {
	parties parties
	worlds  int
	quiet   int
	took    time.Duration
	found   wrong
	trace   []string
	moves   map[[2]state]bool
}

func (m *model) summary() summary {
	began := time.Now()
	s := m.run()
	x := summary{parties: m.parties, worlds: len(s.worlds), quiet: s.quiet, found: s.found, moves: s.moves}
	if s.found != nothing {
		x.trace = s.trace()
	}
	x.took = time.Since(began).Round(time.Millisecond)
	return x
}

// explored is the search of the whole protocol, among all parties.
var explored = sync.OnceValue(func() (all []summary) {
	for _, p := range allParties {
		m := &model{parties: p, rules: everyRule, faults: uint8(*faults)}
		all = append(all, m.summary())
	}
	return all
})

func TestHolds(t *testing.T) {
	for _, x := range explored() {
		t.Logf("%s: %d faults: %d worlds, %d of them quiet, %s", x.parties.name, *faults, x.worlds, x.quiet, x.took)
		if x.found != nothing {
			t.Errorf("%s: %s:\n\t%s", x.parties.name, wrongs[x.found], strings.Join(x.trace, "\n\t"))
		}
	}
}

// crippled is the search without each of the rules.
var crippled = sync.OnceValue(func() (all []summary) {
	for _, x := range table {
		m := &model{parties: x.parties, rules: everyRule &^ x.rule, faults: 2, only: []wrong{x.harm}}
		all = append(all, m.summary())
	}
	return all
})

func TestEachRuleIsNeeded(t *testing.T) {
	var tried rule
	harms := map[wrong]bool{}
	for i, x := range table {
		tried |= x.rule
		harms[x.harm] = true
		found := crippled()[i]
		if found.found != x.harm {
			t.Errorf("without %q, %s: nothing is found among %d worlds", x.says, x.parties.name, found.worlds)
			continue
		}
		t.Logf("without %q, %s: %s (%d worlds, %s):\n\t%s", x.says, x.parties.name, wrongs[x.harm],
			found.worlds, found.took, strings.Join(found.trace, "\n\t"))
	}
	if tried != everyRule {
		t.Errorf("not every rule is tried: %b of %b", tried, everyRule)
	}
	for x := nothing + 1; x <= staleWrite; x++ {
		if !harms[x] {
			t.Errorf("nothing shows that the search could find this: %s", wrongs[x])
		}
	}
}

// TestTransitionsAreTheCodes compares the changes of state that the search saw
// with the table of the code, which is that of the database.
func TestTransitionsAreTheCodes(t *testing.T) {
	stateOf := func(s state) store.State {
		if s == none {
			return rotation.Closed
		}
		return names[s]
	}
	taken := map[[2]store.State]bool{}
	moves := map[[2]state]bool{}
	for _, x := range explored() {
		maps.Copy(moves, x.moves)
	}
	for move := range moves {
		from, to := stateOf(move[0]), stateOf(move[1])
		switch {
		case move[0] == none && move[1] != waiting:
			t.Errorf("the model opens a rotation in %s", to)
		case move[0] != none && !slices.Contains(rotation.Transitions[from], to):
			t.Errorf("the model goes from %s to %s, the code may not", from, to)
		}
		taken[[2]store.State{from, to}] = true
	}
	for from, list := range rotation.Transitions {
		for _, to := range list {
			if !taken[[2]store.State{from, to}] {
				t.Errorf("the code may go from %s to %s, the model never does", from, to)
			}
		}
	}
}

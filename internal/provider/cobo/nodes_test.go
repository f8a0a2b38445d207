package cobo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

func groupOn(id, kind, status string, nodes ...string) group {
	g := group{ID: id, Type: kind, Status: status, Keys: keys(id), Holders: []holder{cobos()}, Participants: len(nodes) + 1, Threshold: 2}
	for i, n := range nodes {
		g.Holders = append(g.Holders, server(fmt.Sprint("server ", i), n))
	}
	return g
}

func TestChoosingNodes(t *testing.T) {
	main := func(nodes ...string) group { return groupOn("main", mainGroup, groupValid, nodes...) }
	old := func(nodes ...string) group { return groupOn("old", signingGroup, groupValid, nodes...) }
	for _, tt := range []struct {
		rule   string
		pool   string
		groups []group
		want   string // nodes, or the class of the error
	}{
		{"the next in the pool", "a b c", []group{main("a")}, "b"},
		{"and the next", "a b c", []group{main("b")}, "c"},
		{"round and round", "a b c", []group{main("c")}, "a"},
		{"two nodes alternate", "a b", []group{main("b")}, "a"},
		{"the first, if none of the pool is in use", "a b c", []group{main("x")}, "a"},
		{"not one that is in a converted group", "a b c", []group{main("b"), old("c")}, "a"},
		{"not one that is in a person's group that is New", "a b c", []group{main("b"), groupOn("new", signingGroup, groupNew, "c")}, "a"},
		{"not one in a group for recovery", "a b c", []group{main("b"), groupOn("r", "RecoveryGroup", groupValid, "c")}, "a"},
		{"not one in a group of a type or status that is not told", "a b c", []group{main("b"), groupOn("r", "", "", "c")}, "a"},
		{"not one in a group whose owner changes a phone", "a b c",
			[]group{main("b"), with(groupOn("r", signingGroup, groupUnavailable, "c"), func(g *group) { g.Holders = append(g.Holders, holder{Type: holderMobile}) })}, "a"},
		{"one of a deleted group that stays listed, after all others", "a b c", []group{main("a"), groupOn("r", signingGroup, groupUnavailable, "b")}, "c"},
		{"not one of a group whose status is not told, either", "b c", []group{main("b"), groupOn("r", signingGroup, "", "c")}, string(provider.Retryable)},
		{"not one that is in a deleted group and in another one", "b c",
			[]group{main("b"), groupOn("r", signingGroup, "Deleted", "c"), groupOn("n", signingGroup, groupNew, "c")}, string(provider.Retryable)},
		{"if there is no other", "a b", []group{main("a"), groupOn("r", signingGroup, "Deleted", "b")}, "b"},
		{"as many as the Main Group has", "a b c d", []group{main("a", "b")}, "c d"},
		{"in pairs", "a b c d", []group{main("c", "d")}, "a b"},
		{"also around the end", "a b c d", []group{main("d", "a")}, "b c"},
		{"three of five cannot be replaced by two", "a b c d e", []group{main("a", "b", "c")}, string(provider.Terminal)},
		{"none free until a converted group is deleted", "a b", []group{main("b"), old("a")}, string(provider.Retryable)},
		{"a pool of the one in use", "a", []group{main("a")}, string(provider.Terminal)},
		{"no pool", "", []group{main("a")}, string(provider.Terminal)},
	} {
		got, err := state{vault: testVaultView(), groups: tt.groups}.choose(strings.Fields(tt.pool))
		class, _ := provider.ClassOf(err)
		if have := strings.Join(got, " "); err == nil && have != tt.want || err != nil && string(class) != tt.want {
			t.Errorf("%s: %s %v, want %s", tt.rule, have, err, tt.want)
		}
	}
}

// TestChosenNodesAreFree: for all pools and groups, those chosen are of the
// pool, different, not in any group that lives, and the same each time.
func TestChosenNodesAreFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"})
		pool := rapid.SliceOfNDistinct(node, 0, 6, rapid.ID).Draw(t, "pool")
		s := state{vault: testVaultView(), groups: []group{
			groupOn("main", mainGroup, groupValid, rapid.SliceOfNDistinct(node, 1, 2, rapid.ID).Draw(t, "main")...),
		}}
		for i := range rapid.IntRange(0, 4).Draw(t, "groups") {
			s.groups = append(s.groups, groupOn(fmt.Sprint(i), rapid.SampledFrom([]string{signingGroup, "RecoveryGroup", ""}).Draw(t, "type"),
				rapid.SampledFrom([]string{groupNew, groupValid, groupUnavailable, "Gone", ""}).Draw(t, "status"),
				rapid.SliceOfNDistinct(node, 1, 2, rapid.ID).Draw(t, "nodes")...))
		}
		got, err := s.choose(pool)
		again, err2 := s.choose(pool)
		if !slices.Equal(got, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("%v, then %v", got, again)
		}
		if err != nil {
			return
		}
		if len(got) != len(s.groups[0].customers()) {
			t.Fatalf("%d nodes", len(got))
		}
		for i, n := range got {
			if !slices.Contains(pool, n) || slices.Contains(got[:i], n) {
				t.Fatalf("%v of %v", got, pool)
			}
			for _, g := range s.groups {
				if g.alive() && slices.Contains(nodesOf(g.Holders), n) {
					t.Fatalf("%s is in group %s (%s)", n, g.ID, g.Status)
				}
			}
		}
	})
}

// TestPoolThatIsTooSmall: with a grace period longer than the time between
// rotations, the node that the next but one rotation needs is still taken.
// Better said before the first.
func TestPoolThatIsTooSmall(t *testing.T) {
	for name, tt := range map[string]struct {
		nodes           int
		interval, grace time.Duration
		refused         string
	}{
		"two, kept for less":        {2, 24 * time.Hour, 23 * time.Hour, ""},
		"two, kept until the next":  {2, 24 * time.Hour, 24 * time.Hour, ""},
		"two, kept for longer":      {2, 24 * time.Hour, 25 * time.Hour, "that takes a pool of 3 TSS nodes, and it has 2"},
		"three, kept for longer":    {3, 24 * time.Hour, 25 * time.Hour, ""},
		"three, kept for two turns": {3, 24 * time.Hour, 49 * time.Hour, "that takes a pool of 4 TSS nodes, and it has 3"},
		"no schedule":               {2, 0, 25 * time.Hour, ""},
		"not kept":                  {2, time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, func(o *Options) { o.Nodes, o.Grace = []string{nodeA, nodeB, nodeC}[:tt.nodes], tt.grace })
			w.opens()
			a := attempt()
			a.Interval = tt.interval
			s, err := w.p.look(t.Context(), testVault)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.p.plan(t.Context(), s, a)
			class, _ := provider.ClassOf(err)
			if (err == nil) != (tt.refused == "") || err != nil && (class != provider.Terminal || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("%v", err)
			}
			if len(w.changes()) > 0 {
				t.Errorf("changed: %q", w.changes())
			}
		})
	}
}

// TestNodesTakeTurns rotates four times and looks at who holds the shares.
func TestNodesTakeTurns(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	pool := o.vendor.Nodes()
	var used []string
	for range 5 {
		a := o.rotate()
		refs, _, _ := readRefs(a.Refs)
		used = append(used, refs.Nodes...)
		if err := retire(t, o.p, retirement(a)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{pool[1], pool[2], pool[3], pool[0], pool[1]}
	if !slices.Equal(used, want) {
		t.Errorf("used %v, want %v", used, want)
	}
}

// TestNodesOfOneVault are named in its settings.
func TestNodesOfOneVault(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	pool := o.vendor.Nodes()
	a := o.attempt()
	a.Wallet.Settings = mustJSON(t, settings{Nodes: []string{pool[0], pool[3]}})
	s, err := o.open(&a)
	if err != nil {
		t.Fatal(err)
	}
	if refs, _, _ := readRefs(a.Refs); !slices.Equal(refs.Nodes, pool[3:4]) {
		t.Errorf("chosen: %v", refs.Nodes)
	}
	if _, err := o.await(s); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"tss_nodes": "x"}`, `{"tss_nodes": ["a b"]}`, `{"tss_nodes": ["a","a"]}`, `[]`} {
		w := a.Wallet
		w.Settings = json.RawMessage(bad)
		found, err := o.p.Inspect(t.Context(), w)
		wantClass(t, err, provider.Terminal, provider.ReasonInvalidState)
		if found.ActiveShareSet != a.OldShareSet {
			t.Errorf("%s: found %+v", bad, found)
		}
	}
}

func mustJSON(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMarks: only what an attempt of ours wrote is read as such.
func TestMarks(t *testing.T) {
	for i := range 3 {
		if of, ok := marked(holderName(testAttempt, i)); !ok || of != testAttempt {
			t.Errorf("%q: %s, %v", holderName(testAttempt, i), of, ok)
		}
	}
	for _, text := range []string{"", "rotatord", "rotatord ", "rotatord x", mark(testAttempt) + "x", mark(testAttempt) + " x",
		" " + mark(testAttempt), strings.ToUpper(mark(testAttempt)), testAttempt.String(),
		"rotatord {" + testAttempt.String() + "}", "rotatord urn:uuid:" + testAttempt.String()} {
		if of, ok := marked(text); ok {
			t.Errorf("%q is read as the mark of %s", text, of)
		}
	}
	other := uuid.MustParse("0198c0de-0000-7000-8000-000000000009")
	for name, holders := range map[string][]holder{
		"nobody": {cobos()}, "nobody at all": nil,
		"one of two": {cobos(), server(mark(testAttempt), nodeA), server("alice", nodeB)},
		"of another": {server(mark(testAttempt), nodeA), server(holderName(other, 1), nodeB)},
		"the other":  {server("alice", nodeA), server(mark(testAttempt), nodeB)},
	} {
		if of, ok := (group{Holders: holders}).attempt(); ok {
			t.Errorf("%s: of attempt %s", name, of)
		}
	}
}

func FuzzMarked(f *testing.F) {
	f.Add(mark(testAttempt))
	f.Add(holderName(testAttempt, 4))
	f.Fuzz(func(t *testing.T, text string) {
		if of, ok := marked(text); ok && !strings.HasPrefix(text, mark(of)) {
			t.Fatalf("%q is read as the mark of %s", text, of)
		}
	})
}

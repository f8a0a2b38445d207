package cobo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// TestOthersAreJudgedSafely, whatever a vendor may list, in whatever order:
// nothing of a person's is swept, what alone took the place of a group that is
// gone stays, and what may not be touched is not.
func TestOthersAreJudgedSafely(t *testing.T) {
	attempts := []uuid.UUID{earlier, testAttempt, uuid.MustParse("0198c0df-0000-7000-8000-000000000002")}
	ids := []string{"a", "b", "c", "d", "e", "f"}
	rapid.Check(t, func(t *rapid.T) {
		in := scope{main: mainNew(), of: testAttempt, born: 50, retiring: []string{oldGroupID}}
		in.since = rapid.SampledFrom(attempts[:2]).Draw(t, "since")
		s := state{vault: testVaultView(), groups: []group{mainNew(), convertedOld()}}
		for _, id := range ids[:rapid.IntRange(0, len(ids)).Draw(t, "groups")] {
			g := group{ID: id, Participants: 2, Threshold: 2, Keys: keys(id), Created: rapid.Int64Range(0, 99).Draw(t, "created"),
				Type:    rapid.SampledFrom([]string{signingGroup, signingGroup, recoveryGroup, mainGroup, "ColdGroup", ""}).Draw(t, "type"),
				Status:  rapid.SampledFrom([]string{groupValid, groupValid, groupNew, groupUnavailable, ""}).Draw(t, "status"),
				Holders: []holder{cobos(), server("alice", "node"+id)}}
			switch rapid.IntRange(0, 3).Draw(t, "mark") {
			case 1:
				g.Holders[1].Name = mark(rapid.SampledFrom(attempts).Draw(t, "attempt"))
			case 2:
				of := rapid.SampledFrom(append([]string{"gone", newGroupID}, ids...)).Draw(t, "of")
				g.Holders[1].Name = replacement{rapid.SampledFrom(attempts).Draw(t, "attempt"), of}.mark()
			case 3:
				g.Holders[1].Type = rapid.SampledFrom([]string{holderMobile, "Robot"}).Draw(t, "holder")
			}
			if g.Status == groupNew && rapid.Bool().Draw(t, "empty") {
				g.Keys = nil
			}
			s.groups = append(s.groups, g)
		}
		o := s.others(in)

		swept := func(id string) bool { return slices.ContainsFunc(o.surplus, func(g group) bool { return g.ID == id }) }
		for _, g := range o.surplus {
			r, ours := g.replaces()
			if !ours || g.Type != signingGroup && g.Type != recoveryGroup || g.ID == in.main.ID {
				t.Fatalf("%+v would be swept", g)
			}
			old, listed := s.find(r.of)
			if listed && old.alive() || g.Status != groupValid {
				continue // nothing is lost with it
			}
			if !slices.ContainsFunc(s.groups, func(x group) bool {
				other, _ := x.replaces()
				return other.of == r.of && x.Status == groupValid && !swept(x.ID)
			}) {
				t.Fatalf("%s would be swept, and nothing else is in the place of %s", g.ID, r.of)
			}
		}
		for _, w := range o.work {
			g := w.old
			if g.ID == in.main.ID || slices.Contains(in.retiring, g.ID) || swept(g.ID) || g.Status != groupValid ||
				g.Type != signingGroup && g.Type != recoveryGroup || slices.ContainsFunc(g.customers(), func(h holder) bool { return h.Type != holderAPI }) {
				t.Fatalf("%+v would be replaced", g)
			}
			if _, attempts := g.attempt(); attempts {
				t.Fatalf("%+v is of an attempt and would be replaced", g)
			}
			if w.new == nil {
				continue
			}
			if r, ours := w.new.replaces(); !ours || r.of != g.ID || in.stale(*w.new) || swept(w.new.ID) {
				t.Fatalf("%+v would be taken for what replaces %s", *w.new, g.ID)
			}
		}
		// Every look comes to the same.
		shuffled := state{s.vault, rapid.Permutation(s.groups).Draw(t, "order")}
		if again := shuffled.others(in); summary(again) != summary(o) {
			t.Fatalf("in another order: %s, was %s", summary(again), summary(o))
		}
	})
}

func summary(o others) string {
	var parts []string
	for _, g := range o.surplus {
		parts = append(parts, "sweep "+g.ID)
	}
	for _, w := range o.work {
		part := "replace " + w.old.ID
		if w.new != nil {
			part += " by " + w.new.ID
		}
		parts = append(parts, part)
	}
	parts = slices.Concat(parts, o.left, o.kept, o.done)
	slices.Sort(parts)
	return fmt.Sprint(strings.Join(parts, "; "), o.pending != nil)
}

// FuzzReplacement: a name is a replacement's if it is written as one, and is then
// not an attempt's.
func FuzzReplacement(f *testing.F) {
	r := replacement{testAttempt, "b33130a9-6e18-44a9-9e48-8b3b41921f0e"}
	for _, text := range []string{r.mark(), r.holderName(1), r.mark() + " x", mark(testAttempt), mark(testAttempt) + replacing, "alice replaces bob",
		strings.ToUpper(r.mark()), r.mark() + " ", " " + r.mark(), mark(testAttempt) + " 2 replaces x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := readReplacement(text)
		if !ok {
			return
		}
		if rest, is := strings.CutPrefix(text, r.mark()); !is || rest != "" && (rest[0] != ' ' || strings.Trim(rest[1:], "0123456789") != "") {
			t.Errorf("%q is read as %q", text, r.mark())
		}
		if _, attempts := marked(text); attempts {
			t.Errorf("%q is an attempt's and a replacement's", text)
		}
	})
}

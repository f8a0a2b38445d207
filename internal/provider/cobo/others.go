package cobo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// others is what there is beside the Main Group, by what is to be done about it
// so that no share of before a rotation is left.
type others struct {
	// work are groups with shares of before, those with a replacement first.
	work []work
	// surplus are groups of ours that replace what another one replaces already,
	// or nothing.
	surplus []group
	// pending is the group of an attempt that is under way.
	pending *group
	// left are groups that the daemon must not touch, with the reason; kept are
	// those that an operator wants to stay.
	left, kept []string
	// done says what was replaced, for the history.
	done []string
}

// work is one group to be replaced, and the group that is to replace it, once
// there is one.
type work struct {
	old group
	new *group
}

// scope is what others are judged by.
type scope struct {
	main  group
	of    uuid.UUID // the attempt that made it
	since uuid.UUID // the attempt whose rotation began the time in which shares are fresh
	born  int64     // when its group was made, by the vendor's clock; zero: not told
	keep  []string
	// retiring are groups that retirements of their own delete: Main Groups that
	// upgrades have converted. They look like a person's Signing Groups.
	retiring []string
}

// others judges all groups of a vault. Nothing is asked and nothing remembered:
// marks tell what is ours, and what for.
func (s state) others(in scope) others {
	var o others
	made := make(map[string][]group) // by the group that they replace, the best first
	for _, g := range s.groups {
		if r, ok := g.replaces(); ok && g.alive() && g.ID != in.main.ID && (g.Type == signingGroup || g.Type == recoveryGroup) {
			made[r.of] = append(made[r.of], g)
		}
	}
	surplus := func(g group) bool { return slices.ContainsFunc(o.surplus, func(x group) bool { return x.ID == g.ID }) }
	for of, list := range made {
		slices.SortFunc(list, better)
		if old, listed := s.find(of); listed && old.alive() {
			// What an earlier rotation began is of before: it is begun anew.
			fresh := slices.DeleteFunc(slices.Clone(list), in.stale)
			o.surplus = append(o.surplus, slices.DeleteFunc(slices.Clone(list), func(g group) bool { return !in.stale(g) })...)
			if len(fresh) > 0 {
				o.surplus = append(o.surplus, fresh[1:]...)
			}
			made[of] = fresh
			continue
		}
		if list[0].empty() {
			// Whoever deleted the group without our doing did not want another.
			o.surplus = append(o.surplus, list...)
		} else {
			o.surplus = append(o.surplus, list[1:]...)
		}
	}
	for _, g := range s.groups {
		r, ours := g.replaces()
		attempt, attempts := g.attempt()
		switch {
		case g.ID == in.main.ID, !g.alive(), slices.Contains(in.retiring, g.ID), surplus(g):
		case attempts && attempt.String() > in.of.String():
			o.pending = &g
		case ours && !in.stale(g) && g.Type != mainGroup:
			if old, listed := s.find(r.of); !listed || !old.alive() {
				o.done = append(o.done, fmt.Sprintf("%s %s was replaced by %s and deleted", g.Type, r.of, g.ID))
			}
		case g.empty(): // no shares yet
		case in.born != 0 && g.Created > in.born && !ours: // shares of after
		case slices.Contains(in.keep, g.ID):
			o.kept = append(o.kept, g.ID)
		case attempts:
			o.left = append(o.left, "group "+g.ID+" is of an earlier attempt, and no clean-up of it is on record")
		default:
			if why := g.unfit(); why != "" {
				o.left = append(o.left, "group "+g.ID+" "+why)
				continue
			}
			w := work{old: g}
			if list := made[g.ID]; len(list) > 0 {
				w.new = &list[0]
			}
			o.work = append(o.work, w)
		}
	}
	slices.SortFunc(o.surplus, func(a, b group) int { return strings.Compare(a.ID, b.ID) })
	// What was begun is ended first: it holds nodes.
	slices.SortStableFunc(o.work, func(a, b work) int { return cmp.Compare(begun(b), begun(a)) })
	return o
}

func begun(w work) int {
	if w.new == nil {
		return 0
	}
	return 1
}

// stale says that a group replaced another in an earlier rotation than this one.
func (in scope) stale(g group) bool {
	r, ours := g.replaces()
	return ours && r.attempt.String() < in.since.String() // UUIDv7: the order is that of time
}

// better puts the one first, of several that replace the same group, that stays.
// Every look must choose the same: with shares, made under the later Main Group,
// made earlier.
func better(a, b group) int {
	of, _ := a.replaces()
	other, _ := b.replaces()
	return cmp.Or(
		cmp.Compare(shares(b), shares(a)),
		strings.Compare(other.attempt.String(), of.attempt.String()),
		cmp.Compare(a.Created, b.Created),
		strings.Compare(a.ID, b.ID))
}

func shares(g group) int {
	if g.Status == groupValid {
		return 1
	}
	return 0
}

// empty says that a group never had a share.
func (g group) empty() bool { return g.Status == groupNew && len(g.Keys) == 0 }

// unfit says why a group cannot be replaced without a person; empty if it can.
func (g group) unfit() string {
	switch {
	case g.Type != signingGroup && g.Type != recoveryGroup:
		return "is of type " + quoted(g.Type)
	case g.Status != groupValid:
		return "has the status " + quoted(g.Status)
	case g.Threshold < 1 || g.Participants < g.Threshold || len(g.customers()) == 0:
		return "is shown without its threshold, participants or holders"
	}
	for _, h := range g.customers() {
		if h.Type == holderMobile {
			return "has a share on a phone"
		}
		if h.Type != holderAPI || h.Node == "" {
			return "has a holder of type " + quoted(h.Type) + ", or one without a TSS node"
		}
	}
	// The vendor adds its own holder to a Signing Group, and may leave it out of
	// the list. To a Recovery Group it adds none, and how one is asked for is not
	// documented.
	vendors := g.Participants - len(g.customers())
	if want := map[string]int{signingGroup: 1, recoveryGroup: 0}[g.Type]; vendors != want || g.Type == recoveryGroup && len(g.Holders) != len(g.customers()) {
		return fmt.Sprintf("has %d holders beside yours, and a %s is made with %d", vendors, g.Type, want)
	}
	return ""
}

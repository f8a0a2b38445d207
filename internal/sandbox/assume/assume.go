// Package assume is the one place that lists what the vendors do not document
// and the sandbox therefore has to decide. Each decision has a default, can be
// switched with --assume key=value, and is tested under each of its values.
package assume

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Assumption is one undocumented behaviour.
type Assumption struct {
	Key    string
	Values []Value // the first is the default
	About  string
}

// Value is one way a vendor might behave.
type Value struct {
	Name  string
	About string
}

// all is the list. Where the vendors' own texts lean one way, that is the
// default.
var all = slices.Concat(dynamicAssumptions, coboAssumptions)

// All lists every assumption, in a fixed order.
func All() []Assumption { return slices.Clone(all) }

// Set is one choice for every assumption. The zero Set has the defaults.
type Set struct{ chosen map[string]string }

// Parse takes choices by key. An unknown key or value is refused, with the
// list of those there are.
func Parse(chosen map[string]string) (Set, error) {
	for _, key := range slices.Sorted(maps.Keys(chosen)) {
		i := slices.IndexFunc(all, func(a Assumption) bool { return a.Key == key })
		if i < 0 {
			return Set{}, fmt.Errorf("unknown assumption %q; there are:\n%s", key, Describe())
		}
		if !all[i].allows(chosen[key]) {
			return Set{}, fmt.Errorf("assumption %s cannot be %q; there are: %s", key, chosen[key], strings.Join(all[i].names(), ", "))
		}
	}
	return Set{maps.Clone(chosen)}, nil
}

// Is asks whether the assumption has this value. Asking for a pair that is not
// in the list is a mistake in the code and panics.
func (s Set) Is(key, value string) bool {
	i := slices.IndexFunc(all, func(a Assumption) bool { return a.Key == key })
	if i < 0 || !all[i].allows(value) {
		panic("assume: no such assumption: " + key + "=" + value)
	}
	if chosen, ok := s.chosen[key]; ok {
		return chosen == value
	}
	return all[i].Values[0].Name == value
}

// Chosen is the value of every assumption, by key.
func (s Set) Chosen() map[string]string {
	out := make(map[string]string, len(all))
	for _, a := range all {
		out[a.Key] = a.Values[0].Name
	}
	maps.Copy(out, s.chosen)
	return out
}

// Describe is the list as text for people.
func Describe() string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "%s: %s\n", a.Key, a.About)
		for i, v := range a.Values {
			mark := ""
			if i == 0 {
				mark = " (default)"
			}
			fmt.Fprintf(&b, "    %s%s: %s\n", v.Name, mark, v.About)
		}
	}
	return b.String()
}

func (a Assumption) names() []string {
	var names []string
	for _, v := range a.Values {
		names = append(names, v.Name)
	}
	return names
}

func (a Assumption) allows(value string) bool { return slices.Contains(a.names(), value) }

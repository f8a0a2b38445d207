package model

import (
	"regexp"
	"slices"
	"strings"
)

// What goes as it should is told in a word.
var (
	ordinary = regexp.MustCompile(`^(. (records what it will create|asks to open it|records the vendor's reference|` +
		`asks to start the ceremony of it|hears that the new shares are complete)|` +
		`people approve, the new set is complete|the vendor's side is complete|the co-signer has stored its share) \[\d\]$`)
	before = regexp.MustCompile(`^. (claims the wallet|looks: .*)$`)
	intent = regexp.MustCompile(`^(.) records the intent to open (\[\d\])$`)
	ending = []string{"asks once more: all is as it was verified", "asks to promote it", "looks: the vendor's active set",
		"records the promotion", "asks to commit it", "closes the rotation, succeeded"}
)

// abridge is a trace in one line.
func abridge(trace []string) string {
	var told []string
	for i := 0; i < len(trace); i++ {
		found := intent.FindStringSubmatch(trace[i])
		if found == nil {
			told = append(told, trace[i])
			continue
		}
		who, k := found[1], found[2]
		end := i + 1
		for end < len(trace) && ordinary.MatchString(trace[end]) {
			end++
		}
		did := " prepares "
		if end == len(trace) || trace[end] != who+" records prepared "+k {
			did = " opens "
			end = i + slices.Index(trace[i:end], who+" records the vendor's reference "+k)
		}
		if end < i {
			told = append(told, trace[i])
			continue
		}
		for len(told) > 0 && before.MatchString(told[len(told)-1]) && strings.HasPrefix(told[len(told)-1], who) {
			told = told[:len(told)-1]
		}
		if last := rolls(trace[end+1:], who, k); last > 0 {
			did, end = " rotates to ", end+last
		}
		told = append(told, who+did+k)
		i = end
	}
	return strings.Join(slices.DeleteFunc(told, func(s string) bool { return strings.HasSuffix(s, " claims the wallet") }), "; ")
}

// rolls counts the lines of an undisturbed way from prepared to the end; 0: it
// was disturbed.
func rolls(trace []string, who, k string) int {
	n := 0
	for _, step := range ending {
		if n < len(trace) && trace[n] == who+" "+step+" "+k {
			n++
		} else if step != "asks to commit it" {
			return 0
		}
	}
	return n
}

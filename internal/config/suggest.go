package config

import (
	"fmt"
	"strings"
)

// unknownKey is the sentence for a key that nobody knows, with the nearest one
// that is known, or all of them when none is near.
func unknownKey(known []field, name string) string {
	nearest, least := "", len(name)/3+2 // about one mistake in three letters is a slip
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.key
		if d := distance(name, f.key); d < least {
			nearest, least = f.key, d
		}
	}
	if nearest != "" {
		return fmt.Sprintf("this key is not known: did you mean %s?", nearest)
	}
	return "this key is not known: write one of " + strings.Join(names, ", ")
}

// distance is Levenshtein's: how many letters must be put in, taken out or
// replaced to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

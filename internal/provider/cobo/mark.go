package cobo

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// markPrefix begins the name of each holder and the description of each TSS
// request that an attempt makes. The vendor has no idempotency keys: this is
// how an attempt is found again, and what tells our groups from people's.
const markPrefix = "rotatord "

func mark(attempt uuid.UUID) string { return markPrefix + attempt.String() }

// holderName is the mark with a number from the second holder on.
func holderName(attempt uuid.UUID, i int) string {
	if i == 0 {
		return mark(attempt)
	}
	return fmt.Sprintf("%s %d", mark(attempt), i+1)
}

// marked reads the attempt out of a name or description.
func marked(text string) (attempt uuid.UUID, ok bool) {
	id, ok := strings.CutPrefix(text, markPrefix)
	if !ok {
		return uuid.UUID{}, false
	}
	id, number, numbered := strings.Cut(id, " ")
	attempt, err := uuid.Parse(id)
	if err != nil || attempt.String() != id || numbered && strings.Trim(number, "0123456789") != "" {
		return uuid.UUID{}, false
	}
	return attempt, true
}

// replacing stands between the attempt and the group that is replaced. What has
// it is no group of an attempt: [marked] does not read it.
const replacing = " replaces "

// replacement says for which group another was made, and under the Main Group of
// which attempt. It marks the group's holders and its TSS request.
type replacement struct {
	attempt uuid.UUID
	of      string
}

func (r replacement) mark() string { return mark(r.attempt) + replacing + r.of }

func (r replacement) holderName(i int) string {
	if i == 0 {
		return r.mark()
	}
	return fmt.Sprintf("%s %d", r.mark(), i+1)
}

// readReplacement reads the name of a holder.
func readReplacement(text string) (r replacement, ok bool) {
	first, rest, ok := strings.Cut(text, replacing)
	if !ok {
		return replacement{}, false
	}
	of, number, numbered := strings.Cut(rest, " ")
	attempt, ok := marked(first)
	if !ok || first != mark(attempt) || !idPattern.MatchString(of) || numbered && strings.Trim(number, "0123456789") != "" {
		return replacement{}, false
	}
	return replacement{attempt, of}, true
}

// replaces is what a group was made for, if it was made in place of another: all
// holders but the vendor's say so.
func (g group) replaces() (r replacement, ok bool) {
	for i, h := range g.customers() {
		of, marked := readReplacement(h.Name)
		if !marked || i > 0 && of != r {
			return replacement{}, false
		}
		r, ok = of, true
	}
	return r, ok
}

// attempt is whose a group is: all holders but the vendor's carry its mark.
func (g group) attempt() (attempt uuid.UUID, ok bool) {
	for i, h := range g.customers() {
		of, marked := marked(h.Name)
		if !marked || i > 0 && of != attempt {
			return uuid.UUID{}, false
		}
		attempt, ok = of, true
	}
	return attempt, ok
}

// isOf says whose a TSS request is.
func (q tssRequest) isOf(attempt uuid.UUID) bool { return q.Description == mark(attempt) }

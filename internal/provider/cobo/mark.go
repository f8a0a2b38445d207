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

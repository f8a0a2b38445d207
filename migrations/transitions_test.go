package migrations_test

import (
	"slices"
	"testing"
)

var states = []string{"waiting", "opening", "ceremony", "prepared", "promoted", "failed"}

// next are the allowed transitions; "" is the end of the rotation.
var next = map[string][]string{
	"waiting":  {"opening", "failed", ""},
	"opening":  {"ceremony", "waiting"},
	"ceremony": {"prepared", "waiting"},
	"prepared": {"promoted", "waiting"},
	"promoted": {""},
	"failed":   {"waiting"},
}

// enter changes a rotation's state and whatever the other constraints ask for
// in the new one, so that nothing but the transition can be the reason of a
// refusal.
func enter(state string) string {
	switch state {
	case "":
		return `DELETE FROM rotations`
	case "waiting", "failed":
		return `UPDATE rotations SET state = '` + state + `', pending_share_set = NULL`
	case "opening":
		return `UPDATE rotations SET state = 'opening', pending_share_set = NULL, attempt_id = gen_random_uuid(), old_share_set = 's0'`
	}
	return `UPDATE rotations SET state = '` + state + `', pending_share_set = 's1', attempt_id = gen_random_uuid(), old_share_set = 's0'`
}

func TestTransitions(t *testing.T) {
	s := migrated(t)
	s.exec(people)
	for _, from := range states {
		for _, to := range append([]string{""}, states...) {
			refused := s.try(reach[from] + enter(to))
			allowed := from == to || slices.Contains(next[from], to)
			switch {
			case allowed && refused != nil:
				t.Errorf("from %s to %q: %v", from, to, refused)
			case !allowed && refused == nil:
				t.Errorf("from %s to %q: allowed", from, to)
			case !allowed && refused.ConstraintName != "rotations_transition_allowed":
				t.Errorf("from %s to %q: refused by %s", from, to, refused.ConstraintName)
			}
		}
	}
	for _, state := range states {
		refused := s.try(`INSERT INTO rotations (wallet_id, rotation_id, tick, trigger, claimed_at, state) VALUES (1, gen_random_uuid(), now(), 'manual', now(), '` + state + `')`)
		if allowed := state == "waiting"; allowed != (refused == nil) {
			t.Errorf("inserting in %s: %v", state, refused)
		}
	}
}

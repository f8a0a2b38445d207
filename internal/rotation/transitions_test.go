package rotation

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

var allStates = []store.State{store.Waiting, store.Opening, store.Ceremony, store.Prepared, store.Promoted, store.Failed}

// dressed is a rotation with whatever else the constraints ask for in a state,
// so that nothing but the transition can be the reason of a refusal.
func dressed(s store.State) string {
	set := `state = '` + string(s) + `', attempt_id = '00000000-0000-7000-8000-000000000001', old_share_set = 'old', pending_share_set = `
	if s == store.Ceremony || s == store.Prepared || s == store.Promoted {
		return set + `'pending'`
	}
	return set + `NULL`
}

// TestTransitionsEqualTheDatabases tries every pair of states against the
// database, insert and delete included.
func TestTransitionsEqualTheDatabases(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	id := r.walletIDs()[0]
	const refused = "rotations_transition_allowed"

	// try runs the statements in a transaction that never happens. Anything but
	// the trigger's refusal, in anything but the last statement, is a mistake here.
	try := func(statements ...string) (allowed bool) {
		t.Helper()
		tx, err := r.db.Begin(t.Context())
		r.must(err)
		defer tx.Rollback(t.Context())
		for i, sql := range statements {
			_, err := tx.Exec(t.Context(), sql)
			var pg *pgconn.PgError
			switch {
			case err == nil:
			case i == len(statements)-1 && errors.As(err, &pg) && pg.ConstraintName == refused:
				return false
			default:
				t.Fatalf("%s: %v", sql, err)
			}
		}
		return true
	}
	insert := pgx.Identifier{"rotations"}.Sanitize()
	insert = `INSERT INTO ` + insert + ` (wallet_id, rotation_id, tick, trigger, claimed_at, state) VALUES (1, gen_random_uuid(), now(), 'manual', now(), `
	if id != 1 {
		t.Fatalf("the wallet has id %d", id)
	}
	// Each state is reached the way a rotation reaches it.
	path := map[store.State][]store.State{
		store.Waiting: {}, store.Failed: {store.Failed}, store.Opening: {store.Opening},
		store.Ceremony: {store.Opening, store.Ceremony}, store.Prepared: {store.Opening, store.Ceremony, store.Prepared},
		store.Promoted: {store.Opening, store.Ceremony, store.Prepared, store.Promoted},
	}
	for _, from := range allStates {
		reach := []string{insert + `'waiting')`}
		for _, s := range path[from] {
			reach = append(reach, `UPDATE rotations SET `+dressed(s))
		}
		for _, to := range allStates {
			want := from == to || slices.Contains(Transitions[from], to)
			if got := try(append(slices.Clone(reach), `UPDATE rotations SET `+dressed(to))...); got != want {
				t.Errorf("%s to %s: the database says %t, Go says %t", from, to, got, want)
			}
		}
		want := slices.Contains(Transitions[from], Closed)
		if got := try(append(slices.Clone(reach), `DELETE FROM rotations`)...); got != want {
			t.Errorf("%s to closed: the database says %t, Go says %t", from, got, want)
		}
	}
	for _, s := range allStates {
		sql := insert + `'` + string(s) + `')`
		if s != store.Waiting {
			sql = strings.NewReplacer("claimed_at, state)", "claimed_at, state, attempt_id, old_share_set, pending_share_set)",
				`'`+string(s)+`')`, `'`+string(s)+`', gen_random_uuid(), 'old', `+pendingIn(s)+`)`).Replace(sql)
		}
		if got := try(sql); got != (s == store.Waiting) {
			t.Errorf("inserting in %s: the database says %t", s, got)
		}
	}
}

func pendingIn(s store.State) string {
	if s == store.Ceremony || s == store.Prepared || s == store.Promoted {
		return `'pending'`
	}
	return `NULL`
}

func TestTransitionsAreSane(t *testing.T) {
	for _, from := range allStates {
		if len(Transitions[from]) == 0 {
			t.Errorf("there is no way out of %s", from)
		}
	}
	if slices.Contains(Transitions[store.Prepared], Closed) || slices.Contains(Transitions[store.Prepared], store.Failed) {
		t.Error("from prepared a rotation only rolls forward, or starts over by a person's discard")
	}
	if !slices.Equal(Transitions[store.Promoted], []store.State{Closed}) {
		t.Error("from promoted there is one way")
	}
}

func TestDocNamesEveryState(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	diagram, rest, found := strings.Cut(string(text), "Each state is recorded before")
	if !found {
		t.Fatal("doc.go has no diagram")
	}
	for _, s := range append(slices.Clone(allStates), Closed) {
		if !strings.Contains(diagram, string(s)) {
			t.Errorf("the diagram lacks %s", s)
		}
	}
	for _, s := range allStates {
		if s != store.Failed && !strings.Contains(rest, "\n//\t"+string(s)+" ") {
			t.Errorf("nothing is said of %s", s)
		}
	}
	for _, rule := range []string{"1.", "2.", "3.", "4.", "5.", "6.", "7.", "8.", "9.", "10."} {
		if !strings.Contains(rest, "\n//  "+rule+" ") {
			t.Errorf("rule %s is not there", rule)
		}
	}
}

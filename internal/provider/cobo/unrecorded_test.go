package cobo

import (
	"net/http"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
)

// TestSwapThatIsNotOnRecord: a look found another Main Group than the one on
// record. The one before it is cleaned up only if the new one is of ours: what
// a person converted, a person may want to keep.
func TestSwapThatIsNotOnRecord(t *testing.T) {
	hers := with(mainNew(), func(g *group) { g.Holders[1] = server("alice", nodeB) })
	oursBefore := with(convertedOld(), func(g *group) { g.Holders[1] = server(mark(testAttempt), nodeA) })
	third := with(mainNew(), func(g *group) { g.ID = "third" })
	for name, tt := range map[string]struct {
		groups  []group // the last one is to be deleted
		active  string  // on record
		deletes bool
		class   provider.Class
	}{
		"ours, of which the record was lost":      {[]group{mainNew(), convertedOld()}, newGroupID, true, ""},
		"a person's":                              {[]group{hers, convertedOld()}, newGroupID, false, provider.Verification},
		"a person's, in place of ours":            {[]group{hers, oursBefore}, newGroupID, false, provider.Verification},
		"a person's, who has deleted the old one": {[]group{hers}, newGroupID, false, ""},
		"ours, and another one since":             {[]group{third, oursBefore}, "third", true, ""},
		"a person's, and another one since":       {[]group{third, convertedOld()}, "third", false, provider.Verification},
		"ours, and one since that nobody knows":   {[]group{third, oursBefore}, newGroupID, false, provider.Verification},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			w.groups(tt.groups...)
			w.answer("POST "+vaultPath+routeOld+"/delete", func(rw http.ResponseWriter, r *http.Request) {
				w.groups(tt.groups[:len(tt.groups)-1]...)
				w.answer("GET "+vaultPath+routeOld, nil)
				w.says(201, `{"submitted":true}`)(rw, r)
			})
			r := retirement(pending(t, ourRefs()))
			r.Refs, r.ActiveShareSet = provider.Refs{}, tt.active
			err := retire(t, w.p, r)
			if class, _ := provider.ClassOf(err); (err == nil) != (tt.class == "") || err != nil && class != tt.class {
				t.Errorf("%v", err)
			}
			if deleted := len(w.changes()) > 0; deleted != tt.deletes {
				t.Errorf("deleted: %v", w.changes())
			}
		})
	}
}

package cobo

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

const (
	hersID    = "hers"
	insteadID = "instead"
	nodeD     = "coboNodeD"
)

// hers is a person's Signing Group of before the rotation.
func hers() group {
	return group{ID: hersID, Type: signingGroup, Keys: keys("hers"), Holders: []holder{cobos(), server("alice", nodeC)},
		Participants: 2, Threshold: 2, Status: groupValid}
}

// instead is ours in its place, complete.
func instead() group {
	return group{ID: insteadID, Type: signingGroup, Keys: keys("instead"), Participants: 2, Threshold: 2, Status: groupValid,
		Holders: []holder{cobos(), server(replacement{testAttempt, hersID}.mark(), nodeD)}}
}

func newRefreshing(t *testing.T, groups ...group) *wire {
	t.Helper()
	w := newWire(t, func(o *Options) { o.RefreshOtherGroups, o.Nodes = true, []string{nodeA, nodeB, nodeC, nodeD} })
	w.groups(groups...)
	w.deletes(groups...)
	return w
}

// deletes answers every delete, and lists the group no more.
func (w *wire) deletes(groups ...group) {
	for _, g := range groups {
		w.answer("POST "+vaultPath+"/key_share_holder_groups/"+g.ID+"/delete", func(rw http.ResponseWriter, r *http.Request) {
			w.groups(slices.DeleteFunc(slices.Clone(groups), func(x group) bool { return x.ID == g.ID })...)
			w.answer("GET "+vaultPath+"/key_share_holder_groups/"+g.ID, nil)
			w.says(201, `{"submitted":true}`)(rw, r)
		})
	}
}

func (w *wire) refresh(t *testing.T) error {
	t.Helper()
	r := retirement(pending(t, ourRefs()))
	r.ActiveShareSet = newGroupID
	return retire(t, w.p, r)
}

// TestNothingIsDeletedBeforeItsReplacementIsComplete: the same is asked of it as
// of a new Main Group.
func TestNothingIsDeletedBeforeItsReplacementIsComplete(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*group)
		class  provider.Class // empty: it is waited for, or begun anew
	}{
		"as it should be":           {func(*group) {}, ""},
		"has no shares":             {func(g *group) { g.Keys, g.Status = nil, groupNew }, ""},
		"of a status not known":     {func(g *group) { g.Status = "Ready" }, ""},
		"of no status":              {func(g *group) { g.Status = "" }, ""},
		"another key on one curve":  {func(g *group) { g.Keys[1].RootPubkey = "xpubOther" }, provider.Verification},
		"one curve alone":           {func(g *group) { g.Keys = g.Keys[:1] }, provider.Verification},
		"shares that are not named": {func(g *group) { g.Keys[0].ShareGroup = "" }, provider.Verification},
		"the shares of before":      {func(g *group) { g.Keys[0].ShareGroup = hers().Keys[0].ShareGroup }, provider.Verification},
		"the Main Group's shares":   {func(g *group) { g.Keys[1].ShareGroup = mainNew().Keys[1].ShareGroup }, provider.Verification},
		"another threshold":         {func(g *group) { g.Threshold = 1 }, provider.Verification},
		"more participants":         {func(g *group) { g.Participants = 3 }, provider.Verification},
		"of another type":           {func(g *group) { g.Type = recoveryGroup }, provider.Verification},
		"a phone in it": {func(g *group) {
			g.Holders[1].Type = holderMobile
		}, provider.Verification},
		"a node of before": {func(g *group) { g.Holders[1].Node = nodeC }, provider.Verification},
		"a node that is offline": {func(g *group) {
			g.Holders[1].Online = &no
		}, ""},
		"in place of another":   {func(g *group) { g.Holders[1].Name = replacement{testAttempt, "another"}.mark() }, ""},
		"made by an earlier":    {func(g *group) { g.Holders[1].Name = replacement{earlier, hersID}.mark() }, ""},
		"with nobody's mark":    {func(g *group) { g.Holders[1].Name = "rotatord" }, ""},
		"of an attempt":         {func(g *group) { g.Holders[1].Name = mark(testAttempt) }, ""},
		"the Main Group by now": {func(g *group) { g.Type = mainGroup }, provider.Verification},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRefreshing(t, mainNew(), hers(), with(instead(), tt.change))
			w.answer(routeCreate, w.says(500, `{}`))
			w.answer(routeAskTSS, w.says(500, `{}`))
			err := w.refresh(t)
			class, _ := provider.ClassOf(err)
			if tt.class != "" && class != tt.class {
				t.Errorf("%v", err)
			}
			if deleted := len(w.asked("POST "+vaultPath+"/key_share_holder_groups/"+hersID)) > 0; deleted != (name == "as it should be") {
				t.Errorf("it is deleted: %v", deleted)
			}
			if name == "as it should be" && (len(w.changes()) != 1 || !isNotYet(err)) {
				t.Errorf("%v after %q", err, w.changes())
			}
		})
	}
}

var earlier = uuid.MustParse("0198c0dd-0000-7000-8000-000000000002")

// TestTheAnswerChangesBeforeAGroupIsReplaced: what the last look sees, of either
// group or of the vault, is not what the first one saw. Nothing is deleted.
func TestTheAnswerChangesBeforeAGroupIsReplaced(t *testing.T) {
	all := func(change func(main, old, new *group)) []group {
		m, h, i := mainNew(), hers(), instead()
		change(&m, &h, &i)
		return slices.DeleteFunc([]group{m, h, i}, func(g group) bool { return g.ID == "" })
	}
	for name, tt := range map[string]struct {
		last []group // listed from the second look on
		read group   // what is read of the old one
	}{
		"it is the Main Group":        {all(func(m, h, i *group) {}), with(hers(), func(g *group) { g.Type = mainGroup })},
		"of an unknown type":          {all(func(m, h, i *group) {}), with(hers(), func(g *group) { g.Type = "ColdGroup" })},
		"of another type":             {all(func(m, h, i *group) {}), with(hers(), func(g *group) { g.Type = recoveryGroup })},
		"with another key":            {all(func(m, h, i *group) {}), with(hers(), func(g *group) { g.Keys[0].RootPubkey = "xpubOther" })},
		"on another node":             {all(func(m, h, i *group) {}), with(hers(), func(g *group) { g.Holders[1].Node = nodeA })},
		"listed as Main":              {all(func(m, h, i *group) { m.Type, h.Type = signingGroup, mainGroup }), hers()},
		"a phone in it":               {all(func(m, h, i *group) { h.Holders[1].Type = holderMobile }), hers()},
		"the new one is gone":         {all(func(m, h, i *group) { i.ID = "" }), hers()},
		"the new one is not Valid":    {all(func(m, h, i *group) { i.Status = groupUnavailable }), hers()},
		"the new one is New":          {all(func(m, h, i *group) { i.Status, i.Keys = groupNew, nil }), hers()},
		"the new one has another key": {all(func(m, h, i *group) { i.Keys[1].RootPubkey = "xpubOther" }), hers()},
		"the new one is offline":      {all(func(m, h, i *group) { i.Holders[1].Online = &no }), hers()},
		"the new one is hers":         {all(func(m, h, i *group) { i.Holders[1].Name = "alice" }), hers()},
		"another Main Group":          {all(func(m, h, i *group) { m.ID = "other" }), hers()},
		"no Main Group":               {all(func(m, h, i *group) { m.ID = "" }), hers()},
	} {
		t.Run(name, func(t *testing.T) {
			first := []group{mainNew(), hers(), instead()}
			w := newRefreshing(t, first...)
			listing := func(groups []group) http.HandlerFunc {
				entries := make([]any, len(groups))
				for i, g := range groups {
					entries[i] = wireGroup(g)
				}
				return w.says(200, list(entries...))
			}
			w.answer("GET "+vaultPath+"/key_share_holder_groups/"+hersID, w.says(200, wireGroup(tt.read)))
			// The first look, the one before the last read, and the last.
			w.answer(routeGroups, inOrder(listing(first), listing(first), listing(tt.last)))
			if err := w.refresh(t); err == nil || isNotYet(err) {
				t.Errorf("it went on: %v", err)
			}
			if c := w.changes(); len(c) > 0 {
				t.Errorf("%q", c)
			}
		})
	}
}

// TestMarksAreNotShown: what is made in place of a group would never be found
// again, so nothing is made.
func TestMarksAreNotShown(t *testing.T) {
	w := newRefreshing(t, with(mainNew(), func(g *group) { g.Holders[1].Name = "" }), hers())
	wantClass(t, w.refresh(t), provider.Verification, provider.ReasonVerification)
	if c := w.changes(); len(c) > 0 {
		t.Errorf("%q", c)
	}
}

// TestRotationAsksNothingBesideAReplacement: the TSS request of a replacement
// came between the look with which a rotation begins and its own request.
func TestRotationAsksNothingBesideAReplacement(t *testing.T) {
	empty := with(instead(), func(g *group) { g.Keys, g.Status = nil, groupNew })
	w := newRefreshing(t, oldMain())
	w.opens()
	w.answer(routeCreate, func(rw http.ResponseWriter, r *http.Request) {
		w.groups(oldMain(), freshOurs(), empty)
		w.answer(routeTSS, w.says(200, list(tssRequest{ID: testReq, Type: keyGenFromKeyGroup, Target: insteadID, Status: requestPending,
			Description: replacement{earlier, hersID}.mark()})))
		w.says(201, wireGroup(freshOurs()))(rw, r)
	})
	var kept recorder
	_, err := w.p.Open(t.Context(), attempt(), kept.checkpoint)
	wantClass(t, err, provider.Retryable, provider.ReasonInvalidState)
	if len(w.asked(routeAskTSS)) > 0 {
		t.Error("there are two TSS requests in the vault")
	}
	if len(kept.pending) == 0 || kept.pending[len(kept.pending)-1] != newGroupID {
		t.Errorf("on record is %q: the group would stay", kept.pending)
	}
}

// TestReplacementGivesWayAfterItAsked: a rotation has made its group meanwhile.
func TestReplacementGivesWayAfterItAsked(t *testing.T) {
	empty := with(instead(), func(g *group) { g.Keys, g.Status = nil, groupNew })
	later := mark(uuid.MustParse("0198c0df-0000-7000-8000-000000000002"))
	theirs := group{ID: "next", Type: signingGroup, Status: groupNew, Participants: 2, Threshold: 2, Holders: []holder{cobos(), server(later, nodeA)}}
	q := tssRequest{ID: testReq, Type: keyGenFromKeyGroup, Target: insteadID, Status: requestPending, Description: replacement{testAttempt, hersID}.mark()}
	w := newRefreshing(t, mainNew(), hers(), empty)
	w.answer(routeAskTSS, func(rw http.ResponseWriter, r *http.Request) {
		w.groups(mainNew(), hers(), empty, theirs)
		w.answer(routeTSS, w.says(200, list(q)))
		w.says(201, q)(rw, r)
	})
	w.answer("POST "+vaultPath+"/tss_requests/"+testReq+"/cancel", func(rw http.ResponseWriter, r *http.Request) {
		w.answer(routeTSS, w.says(200, list()))
		w.says(201, q)(rw, r)
	})
	if err := w.refresh(t); !isNotYet(err) || !strings.Contains(err.Error(), "waits for the rotation") {
		t.Errorf("%v", err)
	}
	if c := w.changes(); len(c) != 2 || !strings.HasSuffix(c[1], "/cancel") {
		t.Errorf("%q, want the request taken back", c)
	}
}

// TestRefusalsOfReplacing: a wrong state may be over at the next look. What the
// key may not do is not.
func TestRefusalsOfReplacing(t *testing.T) {
	empty := with(instead(), func(g *group) { g.Keys, g.Status = nil, groupNew })
	for route, groups := range map[string][]group{
		routeCreate: {mainNew(), hers()},
		routeAskTSS: {mainNew(), hers(), empty},
	} {
		w := newRefreshing(t, groups...)
		w.answer(route, w.says(400, `{"error_code":2006,"error_message":"wrong state","error_id":"0b6d"}`))
		wantClass(t, w.refresh(t), provider.Retryable, provider.ReasonProviderError)
		w.answer(route, w.says(403, `{"error_code":2025,"error_message":"not allowed","error_id":"0b6d"}`))
		wantClass(t, w.refresh(t), provider.Terminal, provider.ReasonAuth)
	}
}

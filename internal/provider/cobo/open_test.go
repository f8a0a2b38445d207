package cobo

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// opens scripts a vendor that creates what it is asked for.
func (w *wire) opens() {
	w.answer(routeCreate, w.says(201, wireGroup(freshOurs())))
	w.answer(routeAskTSS, w.says(201, ourRequest(requestPending)))
}

// TestWhatOpenAsksFor, and what is on record before each step.
func TestWhatOpenAsksFor(t *testing.T) {
	w := newWire(t, nil)
	w.opens()
	rec := &recorder{}
	s, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if want := []string{"", newGroupID, newGroupID}; !slices.Equal(rec.pending, want) {
		t.Fatalf("checkpoints %q", rec.pending)
	}
	for i, r := range rec.refs {
		refs, ok, err := readRefs(r)
		if err != nil || !ok || refs.Attempt != testAttempt || !slices.Equal(refs.Nodes, []string{nodeB}) || refs.RootKeys != rootText ||
			refs.Participants != 2 || refs.Threshold != 2 || (refs.Request != "") != (i == 2) || refs.RequestedAt.IsZero() == (i == 2) {
			t.Errorf("checkpoint %d: %s", i, r.Vendor)
		}
	}
	group := w.asked(routeCreate)
	wantJSON(t, group[0].body, `{"key_share_holder_group_type":"SigningGroup","participants":2,"threshold":2,
		"key_share_holders":[{"name":"rotatord 0198c0de-0000-7000-8000-000000000001","type":"API","tss_node_id":"coboNodeB","signer":true}]}`)
	request := w.asked(routeAskTSS)
	wantJSON(t, request[0].body, `{"type":"KeyGenFromKeyGroup","target_key_share_holder_group_id":"`+newGroupID+`",
		"source_key_share_holder_group":{"key_share_holder_group_id":"`+oldGroupID+`","tss_node_ids":["coboCobo1","coboNodeA"]},
		"description":"rotatord 0198c0de-0000-7000-8000-000000000001"}`)
	if len(w.changes()) != 2 {
		t.Errorf("%q", w.changes())
	}
}

func wantJSON(t *testing.T, got, want string) {
	t.Helper()
	var a, b any
	if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		t.Fatalf("not JSON: %s", got)
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("sent %s\nwant %s", x, y)
	}
}

// TestDrift: when somebody else changed the Main Group, nothing is begun.
func TestDrift(t *testing.T) {
	w := newWire(t, nil)
	w.opens()
	a := attempt()
	a.OldShareSet = "another"
	rec := &recorder{}
	_, err := w.p.Open(t.Context(), a, rec.checkpoint)
	wantClass(t, err, provider.Verification, provider.ReasonVerification)
	if len(w.changes())+len(rec.pending) > 0 {
		t.Errorf("%q", w.changes())
	}
}

// TestRecordFails: Open stops at once, whatever has been created by then.
func TestRecordFails(t *testing.T) {
	for at, changes := range map[int]int{1: 0, 2: 1, 3: 2} {
		w := newWire(t, nil)
		w.opens()
		_, err := w.p.Open(t.Context(), attempt(), (&recorder{fail: at}).checkpoint)
		if !errors.Is(err, errRecord) || len(w.changes()) != changes {
			t.Errorf("checkpoint %d: %v after %q", at, err, w.changes())
		}
	}
}

// TestStrangeNewGroups: what the vendor says it created is not ours to use, and
// never recorded as ours if it was there before.
func TestStrangeNewGroups(t *testing.T) {
	person := with(freshOurs(), func(g *group) { g.ID = "person"; g.Holders[1] = server("alice", nodeC) })
	for name, tt := range map[string]struct {
		created  group
		recorded int // checkpoints
	}{
		"the Main Group":         {oldMain(), 1},
		"a person's group":       {person, 1},
		"one for recovery":       {with(freshOurs(), func(g *group) { g.Type = "RecoveryGroup" }), 2},
		"one on another node":    {with(freshOurs(), func(g *group) { g.Holders[1].Node = nodeC }), 2},
		"one that has a key yet": {newOurs(), 2},
	} {
		w := newWire(t, nil)
		w.opens()
		w.groups(oldMain(), person)
		w.answer(routeCreate, w.says(201, wireGroup(tt.created)))
		rec := &recorder{}
		_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
		wantClass(t, err, provider.Verification, provider.ReasonVerification)
		if len(w.changes()) != 1 || len(rec.pending) != tt.recorded {
			t.Errorf("%s: %q, recorded %q", name, w.changes(), rec.pending)
		}
	}
	for name, change := range map[string]func(*tssRequest){
		"another target": func(q *tssRequest) { q.Target = "other" },
		"another type":   func(q *tssRequest) { q.Type = "KeyGen" },
		"somebody's":     func(q *tssRequest) { q.Description = "alice" },
	} {
		w := newWire(t, nil)
		w.opens()
		q := ourRequest(requestPending)
		change(&q)
		w.answer(routeAskTSS, w.says(201, q))
		_, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint)
		if class, _ := provider.ClassOf(err); err == nil || class != provider.Verification {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := newWire(t, nil) // a reply with nothing but the id
	w.answer(routeCreate, w.says(201, `{"key_share_holder_group_id":"`+newGroupID+`"}`))
	w.answer(routeAskTSS, w.says(201, `{"tss_request_id":"`+testReq+`"}`))
	if _, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint); err != nil {
		t.Error(err)
	}
}

// TestOpenLooksFirst: an unknown outcome is looked after, and only what carries
// the mark is adopted.
func TestOpenLooksFirst(t *testing.T) {
	theirs := with(freshOurs(), func(g *group) { g.ID, g.Holders[1].Name = "theirs", "alice" })
	twin := with(freshOurs(), func(g *group) { g.ID = "twin" })
	elsewhere := with(freshOurs(), func(g *group) { g.ID, g.Holders[1].Node = "elsewhere", nodeC })
	for name, tt := range map[string]struct {
		groups []group
		want   string
	}{
		"ours":            {[]group{oldMain(), theirs, freshOurs()}, newGroupID},
		"nothing":         {[]group{oldMain()}, ""},
		"not ours":        {[]group{oldMain(), theirs}, ""},
		"on another node": {[]group{oldMain(), elsewhere}, ""},
		"two of them":     {[]group{oldMain(), freshOurs(), twin}, ""},
		"of another type": {[]group{oldMain(), with(freshOurs(), func(g *group) { g.Type = "ColdGroup" })}, ""},
	} {
		w := newWire(t, nil)
		w.opens()
		w.answer(routeCreate, func(rw http.ResponseWriter, r *http.Request) {
			w.groups(tt.groups...)
			hangsUp(rw, r)
		})
		rec := &recorder{}
		_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
		if tt.want == "" {
			wantClass(t, err, provider.InDoubt, provider.ReasonProviderError)
		} else if err != nil || rec.pending[len(rec.pending)-1] != tt.want {
			t.Errorf("%s: %q, %v", name, rec.pending, err)
		}
		if n := len(w.asked(routeCreate)); n != 1 {
			t.Errorf("%s: created %d times", name, n)
		}
	}
}

// TestOneTSSRequestAtATime: none is begun while any is under way in any group of
// the vault, in whatever status.
func TestOneTSSRequestAtATime(t *testing.T) {
	for _, status := range []string{requestPending, requestProcessing, requestGenerating, "Queued", ""} {
		for _, from := range []string{oldGroupID, "other"} {
			w := newWire(t, nil)
			w.opens()
			w.groups(oldMain(), groupOn("other", signingGroup, groupNew, nodeC))
			theirs := ourRequest(status)
			theirs.Description = "alice"
			w.answer(routeTSS, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("key_share_holder_group_id") == from {
					w.says(200, list(theirs))(rw, r)
					return
				}
				w.says(200, list())(rw, r)
			})
			rec := &recorder{}
			_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
			wantClass(t, err, provider.Retryable, provider.ReasonInvalidState)
			if len(w.changes())+len(rec.pending) > 0 || !strings.Contains(err.Error(), testReq) {
				t.Errorf("%q in group %s: %q, %v", status, from, w.changes(), err)
			}
		}
	}
}

// TestSourceNodes are the vendor's and as many of the customer's as are needed,
// of those that are there.
func TestSourceNodes(t *testing.T) {
	main := func(change func(*group)) group {
		return with(groupOn("main", mainGroup, groupValid, nodeA, nodeB), change)
	}
	for name, tt := range map[string]struct {
		main  group
		cobos string // what the list of the vendor's own holders says
		want  string // empty: an error
	}{
		"the first of two":        {main(func(*group) {}), "", "coboCobo1 coboNodeA"},
		"the one that is there":   {main(func(g *group) { g.Holders[1].Online = &no }), "", "coboCobo1 coboNodeB"},
		"not one that has moved":  {main(func(g *group) { g.Holders[1].Status = "Changed" }), "", "coboCobo1 coboNodeB"},
		"all three":               {main(func(g *group) { g.Threshold = 3 }), "", "coboCobo1 coboNodeA coboNodeB"},
		"not enough":              {main(func(g *group) { g.Threshold, g.Holders[2].Online = 3, nil }), "", ""},
		"none":                    {main(func(g *group) { g.Holders[1].Online, g.Holders[2].Online = &no, &no }), "", ""},
		"the only one of Cobo's":  {main(func(g *group) { g.Holders = g.Holders[1:] }), `[{"tss_node_id":"coboOnly"}]`, "coboOnly coboNodeA"},
		"which of Cobo's is open": {main(func(g *group) { g.Holders = g.Holders[1:] }), `[{"tss_node_id":"a"},{"tss_node_id":"b","online":true}]`, "-"},
	} {
		w := newWire(t, nil)
		w.answer("GET /v2/wallets/mpc/cobo_key_share_holders", w.says(200, tt.cobos))
		source, err := w.p.source(t.Context(), testVault, tt.main)
		if tt.want == "" {
			wantClass(t, err, provider.Retryable, provider.ReasonPartyUnavailable)
			continue
		}
		if got := strings.Join(source.Nodes, " "); err != nil || source.ID != "main" || got != strings.TrimPrefix(tt.want, "-") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestResumeWithoutARecord(t *testing.T) {
	w := newWire(t, nil)
	if _, err := w.p.Resume(t.Context(), attempt(), nil); !errors.Is(err, provider.ErrSessionLost) || len(w.asked("")) > 0 {
		t.Errorf("%v after %d requests", err, len(w.asked("")))
	}
	a := attempt()
	a.Refs.Vendor = json.RawMessage(`[]`)
	for _, err := range []error{w.p.Discard(t.Context(), a), w.p.Promote(t.Context(), a), second(w.p.Resume(t.Context(), a, nil))} {
		wantClass(t, err, provider.Terminal, provider.ReasonInternal)
	}
	a.OldShareSet = ""
	_, err := w.p.Open(t.Context(), a, nil)
	wantClass(t, err, provider.Terminal, provider.ReasonInternal)
	if len(w.asked("")) > 0 {
		t.Errorf("%d requests", len(w.asked("")))
	}
	// What cannot be asked about is not lost.
	b := pending(t, ourRefs())
	b.PendingShareSet = ""
	w.answer(routeGroups, unsigned(503, ""))
	_, err = w.p.Resume(t.Context(), b, nil)
	wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
}

// TestResumeLooksForItsOwn: a TSS request of somebody else for our group is not
// adopted, and neither is any of two that both look like ours.
func TestResumeLooksForItsOwn(t *testing.T) {
	theirs, elsewhere, other, twin := ourRequest(requestPending), ourRequest(requestPending), ourRequest(requestPending), ourRequest(requestPending)
	theirs.ID, theirs.Description = "1", "alice"
	elsewhere.ID, elsewhere.Target = "2", "elsewhere"
	other.ID, other.Type = "3", "Recovery"
	twin.ID = "4"
	for name, tt := range map[string]struct {
		requests []any
		found    bool
		class    provider.Class // of the error, if it is another one than lost
	}{
		"ours among others": {[]any{theirs, elsewhere, ourRequest(requestPending), other}, true, ""},
		"none of ours":      {[]any{theirs, elsewhere, other}, false, ""},
		"two":               {[]any{ourRequest(requestPending), twin}, false, provider.Verification},
	} {
		w := newWire(t, nil)
		w.groups(oldMain(), freshOurs())
		w.answer(routeTSS, w.says(200, list(tt.requests...)))
		refs := ourRefs()
		refs.Request = ""
		rec := &recorder{}
		s, err := w.p.Resume(t.Context(), pending(t, refs), rec.checkpoint)
		class, _ := provider.ClassOf(err)
		switch {
		case tt.found:
			if err != nil || s.(*session).refs.Request != testReq || len(rec.pending) != 1 || rec.pending[0] != newGroupID {
				t.Errorf("%s: %v, recorded %q", name, err, rec.pending)
			}
		case tt.class == "" && !errors.Is(err, provider.ErrSessionLost), tt.class != "" && class != tt.class:
			t.Errorf("%s: %v", name, err)
		}
		if len(w.changes()) > 0 {
			t.Errorf("%s: %q", name, w.changes())
		}
	}
}

// TestOnlyStraysAreSwept: groups without a key, of the type that we make, with
// the mark of another attempt.
func TestOnlyStraysAreSwept(t *testing.T) {
	for name, tt := range map[string]struct {
		stray group
		swept bool
	}{
		"a stray":           {freshOurs(), true},
		"of another type":   {with(freshOurs(), func(g *group) { g.Type = "RecoveryGroup" }), false},
		"of no type":        {with(freshOurs(), func(g *group) { g.Type = "" }), false},
		"with a key":        {newOurs(), false},
		"New, with a key":   {with(newOurs(), func(g *group) { g.Status = groupNew }), false},
		"Valid, no key":     {with(freshOurs(), func(g *group) { g.Status = groupValid }), false},
		"a person's":        {with(freshOurs(), func(g *group) { g.Holders[1].Name = "alice" }), false},
		"half a person's":   {with(freshOurs(), func(g *group) { g.Holders = append(g.Holders, server("alice", nodeC)) }), false},
		"without any names": {with(freshOurs(), func(g *group) { g.Holders = nil }), false},
	} {
		w := newWire(t, func(o *Options) { o.Nodes = []string{nodeA, "coboNodeD"} })
		w.opens()
		w.groups(oldMain(), tt.stray)
		w.answer("POST "+vaultPath+routeNew+"/delete", func(rw http.ResponseWriter, r *http.Request) {
			w.groups(oldMain())
			w.says(201, `{"submitted":true}`)(rw, r)
		})
		a := attempt()
		a.ID = uuid.Must(uuid.NewV7())
		_, _ = w.p.Open(t.Context(), a, (&recorder{fail: 1}).checkpoint)
		if swept := len(w.changes()) > 0; swept != tt.swept {
			t.Errorf("%s: %q", name, w.changes())
		}
	}
}

func second(_ provider.Session, err error) error { return err }

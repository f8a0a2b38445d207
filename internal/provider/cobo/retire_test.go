package cobo

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// convertedOld and mainNew are the two groups after an upgrade.
func convertedOld() group { return with(oldMain(), func(g *group) { g.Type = signingGroup }) }
func mainNew() group      { return changed(func(g *group) { g.Type = mainGroup }) }

func (w *wire) retire(t *testing.T) error {
	t.Helper()
	return retire(t, w.p, retirement(pending(t, ourRefs())))
}

// retire is Retire without what it has to say.
func retire(t *testing.T, p *Provider, r provider.Retirement) error {
	t.Helper()
	_, err := p.Retire(t.Context(), r)
	return err
}

// TestNothingElseIsRetired: the point of no return is passed only when all is
// as it should be.
func TestNothingElseIsRetired(t *testing.T) {
	later := mark(uuid.MustParse("0198c0de-0000-7000-8000-000000000002"))
	earlier := mark(uuid.MustParse("0198c0dd-0000-7000-8000-000000000002"))
	third := func(name string) group {
		return with(mainNew(), func(g *group) { g.ID, g.Holders[1] = "third", server(name, nodeC) })
	}
	newConverted := with(newOurs(), func(g *group) { g.Type = signingGroup })
	old := func(change func(*group)) []group { return []group{mainNew(), with(convertedOld(), change)} }
	for name, tt := range map[string]struct {
		groups  []group
		deletes bool
		class   provider.Class // empty: no error
	}{
		"as it should be":                    {[]group{mainNew(), convertedOld()}, true, ""},
		"a later rotation of ours":           {[]group{third(later), newConverted, convertedOld()}, true, ""},
		"it is gone":                         {[]group{mainNew()}, false, ""},
		"an earlier group of ours is Main":   {[]group{third(earlier), newConverted, convertedOld()}, false, provider.Verification},
		"a person's group is Main":           {[]group{third("alice"), newConverted, convertedOld()}, false, provider.Verification},
		"the old one is Main again":          {[]group{oldMain(), newConverted}, false, provider.Verification},
		"no Main Group":                      {[]group{newConverted, convertedOld()}, false, provider.Terminal},
		"two Main Groups":                    {[]group{mainNew(), third(later), convertedOld()}, false, provider.Verification},
		"the new one is not Valid":           {[]group{with(mainNew(), func(g *group) { g.Status = groupUnavailable }), convertedOld()}, false, provider.Terminal},
		"the new one has another key":        {[]group{with(mainNew(), func(g *group) { g.Keys[0].RootPubkey = "xpubOther" }), convertedOld()}, false, provider.Verification},
		"the old one is a Main Group, still": {old(func(g *group) { g.Type, g.Status = mainGroup, groupUnavailable }), false, provider.Verification},
		"the old one is for recovery":        {old(func(g *group) { g.Type = "RecoveryGroup" }), false, provider.Verification},
		"of a type nobody knows":             {old(func(g *group) { g.Type = "ColdGroup" }), false, provider.Verification},
		"of a type that is not told":         {old(func(g *group) { g.Type = "" }), false, provider.Verification},
		"the old one has another key":        {old(func(g *group) { g.Keys[1].RootPubkey = "xpubOther" }), false, provider.Verification},
		"the old one has no key":             {old(func(g *group) { g.Keys = nil }), false, provider.Verification},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			w.groups(tt.groups...)
			w.answer("POST "+vaultPath+routeOld+"/delete", func(rw http.ResponseWriter, r *http.Request) {
				w.groups(tt.groups[:len(tt.groups)-1]...)
				w.answer("GET "+vaultPath+routeOld, nil)
				w.says(201, `{"submitted":true}`)(rw, r)
			})
			err := w.retire(t)
			if class, _ := provider.ClassOf(err); (err == nil) != (tt.class == "") || err != nil && class != tt.class {
				t.Errorf("%v", err)
			}
			if deletes := len(w.changes()) == 1; deletes != tt.deletes || len(w.changes()) > 1 {
				t.Errorf("%q", w.changes())
			}
		})
	}
}

// TestRootKeysOnRecord: vault and Main Group agree, on other keys than those the
// rotation began with.
func TestRootKeysOnRecord(t *testing.T) {
	w := newWire(t, nil)
	w.groups(mainNew(), convertedOld())
	refs := ourRefs()
	refs.RootKeys = "ED25519:xpubOther;SECP256K1:" + secpKey
	wantClass(t, retire(t, w.p, retirement(pending(t, refs))), provider.Verification, provider.ReasonVerification)
	if len(w.changes()) > 0 {
		t.Errorf("%q", w.changes())
	}
}

// TestTheAnswerChangesBeforeTheDelete: what the first look saw is a Signing
// Group, what the last look sees is not. Nothing is deleted.
func TestTheAnswerChangesBeforeTheDelete(t *testing.T) {
	discard := func(w *wire, t *testing.T) error { return w.p.Discard(t.Context(), pending(t, ourRefs())) }
	sweep := func(w *wire, t *testing.T) error {
		a := attempt()
		a.ID = uuid.Must(uuid.NewV7())
		_, err := w.p.Open(t.Context(), a, (&recorder{}).checkpoint)
		return err
	}
	for name, tt := range map[string]struct {
		groups []group
		first  group // as it is listed
		last   group
		route  string
		do     func(*wire, *testing.T) error
	}{
		"retiring, Main again": {[]group{mainNew()}, convertedOld(), oldMain(), routeOld, (*wire).retire},
		"retiring, unknown":    {[]group{mainNew()}, convertedOld(), with(convertedOld(), func(g *group) { g.Type = "ColdGroup" }), routeOld, (*wire).retire},
		"retiring, other key": {[]group{mainNew()}, convertedOld(),
			with(convertedOld(), func(g *group) { g.Keys[0].RootPubkey = "xpubOther" }), routeOld, (*wire).retire},
		"discarding, Main by now":    {[]group{oldMain()}, newOurs(), mainNew(), routeNew, discard},
		"discarding, unknown":        {[]group{oldMain()}, newOurs(), changed(func(g *group) { g.Type = "ColdGroup" }), routeNew, discard},
		"discarding, not told":       {[]group{oldMain()}, newOurs(), changed(func(g *group) { g.Type = "" }), routeNew, discard},
		"discarding, not ours":       {[]group{oldMain()}, newOurs(), changed(func(g *group) { g.Holders[1].Name = "alice" }), routeNew, discard},
		"retiring, listed as Main":   {[]group{mainNew()}, with(oldMain(), func(g *group) { g.Status = groupUnavailable }), convertedOld(), routeOld, (*wire).retire},
		"discarding, listed as hers": {[]group{oldMain()}, changed(func(g *group) { g.Holders[1].Name = "alice" }), newOurs(), routeNew, discard},
		"sweeping, Main by now":      {[]group{oldMain()}, freshOurs(), mainNew(), routeNew, sweep},
		"sweeping, has a key":        {[]group{oldMain()}, freshOurs(), newOurs(), routeNew, sweep},
		"sweeping, not ours":         {[]group{oldMain()}, freshOurs(), with(freshOurs(), func(g *group) { g.Holders[1].Name = "alice" }), routeNew, sweep},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			w.groups(append(tt.groups, tt.first)...)
			w.answer("GET "+vaultPath+tt.route, w.says(200, wireGroup(tt.last)))
			wantClass(t, tt.do(w, t), provider.Verification, provider.ReasonVerification)
			if c := w.changes(); len(c) > 0 {
				t.Errorf("%q", c)
			}
		})
	}
}

// TestFaultsOfRetiring: each call may fail, the next try ends well, and at no
// time is anything but the old group deleted.
func TestFaultsOfRetiring(t *testing.T) {
	for _, f := range []faults.Fault{
		breaks("delete_group", faults.LostReply), breaks("delete_group", faults.LostRequest), breaks("delete_group", faults.DropStream),
		status("delete_group", 500), status("delete_group", 429), breaks("delete_group", faults.LoseState),
		breaks("list_groups", faults.DropStream), breaks("get_group", faults.LoseState), breaks("get_group", faults.LostReply),
		status("get_vault", 503), breaks("list_tss_requests", faults.LostReply),
		{Operation: "cobo.delete_group", Kind: faults.LateEffect, Delay: time.Millisecond, Times: 1},
		{Operation: "cobo.delete_group", Kind: faults.ApprovalDelay, Delay: 20 * time.Millisecond, Times: 1},
	} {
		t.Run(f.Operation+" "+string(f.Kind), func(t *testing.T) {
			t.Parallel()
			o := newOrganisation(t, nil, nil)
			a := o.rotate()
			o.fail(f)
			tries := 0
			o.until(func() bool {
				tries++
				o.p.now = func() time.Time { return time.Now().Add(time.Duration(tries) * time.Hour) }
				err := retire(t, o.p, retirement(a))
				if class, _ := provider.ClassOf(err); err != nil && class != provider.Retryable && class != provider.RateLimited {
					t.Errorf("%v: a clean-up that failed once waits for a person", err)
				}
				return err == nil
			})
			o.fail()
			o.wantActive(a.PendingShareSet)
			if d := o.deleted(); len(d) != 1 || d[a.OldShareSet] != signingGroup {
				t.Errorf("deleted: %v", d)
			}
		})
	}
}

// TestRetirementsThatOverlap: the grace period is longer than the time between
// rotations, with three nodes.
func TestRetirementsThatOverlap(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	o.p.opts.Nodes = o.vendor.Nodes()[:3]
	first, second := o.rotate(), o.rotate()
	third := o.attempt()
	_, err := o.open(&third)
	o.wantErr(err, provider.Retryable, provider.ReasonInvalidState)
	if !strings.Contains(err.Error(), "grace period") || third.Refs.Vendor != nil {
		t.Errorf("%q", err)
	}
	for _, a := range []provider.Attempt{first, second} {
		if err := retire(t, o.p, retirement(a)); err != nil {
			t.Fatal(err)
		}
		o.wantActive(second.PendingShareSet)
	}
	o.rotate()
	o.wantNothingLeft()
}

// TestPeoplesGroupsAndRequests are never touched, whatever they look like.
func TestPeoplesGroupsAndRequests(t *testing.T) {
	o := newOrganisation(t, map[string]string{assume.CoboListRequests: assume.Both}, nil)
	first := o.inspect().ActiveShareSet
	pool := o.vendor.Nodes()
	o.p.opts.Nodes = pool[:3]
	var theirs []string
	for i, g := range []sandbox.NewGroup{
		{Holders: []sandbox.NewHolder{{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX1"}, {Name: "alice", Type: "Mobile", TSSNodeID: "coboPhone1"}}},
		{Type: "RecoveryGroup", Holders: []sandbox.NewHolder{{Name: "bob", Type: "Mobile", TSSNodeID: "coboPhone2"}}},
		{Type: "ColdGroup", Holders: []sandbox.NewHolder{{Name: "safe", Type: "API", TSSNodeID: "coboSafe"}}},
		{Status: "New", Holders: []sandbox.NewHolder{{Name: "rotatord", Type: "API", TSSNodeID: "coboSafe2"}}},
		{Status: "New", Holders: []sandbox.NewHolder{{Name: "rotatord is nice", Type: "API", TSSNodeID: pool[3]}}},
	} {
		id, err := o.vendor.AddGroup(o.vault, g)
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		theirs = append(theirs, id)
	}
	target, err := o.vendor.AddGroup(o.vault, sandbox.NewGroup{Status: "New", Holders: []sandbox.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX2"}, {Name: "carol", Type: "Mobile", TSSNodeID: "coboPhone3"}}})
	if err != nil {
		t.Fatal(err)
	}
	theirs = append(theirs, target)
	request, err := o.vendor.AddRequest(o.vault, sandbox.NewRequest{Source: first, Target: target, Description: "carol's new phone"})
	if err != nil {
		t.Fatal(err)
	}

	// While a person's TSS request runs, nothing is begun.
	a := o.attempt()
	_, err = o.open(&a)
	o.wantErr(err, provider.Retryable, provider.ReasonInvalidState)
	if !strings.Contains(err.Error(), request) || a.Refs.Vendor != nil {
		t.Errorf("%q", err)
	}
	if err := o.vendor.ChangeRequest(request, sandbox.RequestChange{Status: sandbox.KeyHolderConfirmationFailed}); err != nil {
		t.Fatal(err)
	}
	o.fail(waitForPeople())
	given := o.attempt()
	if _, err := o.open(&given); err != nil {
		t.Fatal(err)
	}
	if err := o.p.Discard(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	o.fail()
	a = o.rotate()
	if err := retire(t, o.p, retirement(a)); err != nil {
		t.Fatal(err)
	}
	o.rotate()

	stats := o.vendor.Stats().Vaults[o.vault]
	for _, id := range theirs {
		if _, ok := stats.Deleted[id]; ok || stats.Promotions[id].Calls > 0 {
			t.Errorf("a person's group %s was touched", id)
		}
	}
	for _, g := range o.view().Groups {
		for _, id := range theirs {
			if g.ID == id && g.Deleted {
				t.Errorf("a person's group %s is gone", id)
			}
		}
	}
}

// TestPersonsRequestOnOurGroup keeps it from being deleted.
func TestPersonsRequestOnOurGroup(t *testing.T) {
	theirs := ourRequest(requestPending)
	theirs.Description = "alice tries something"
	w := newWire(t, nil)
	w.groups(oldMain(), freshOurs())
	w.answer(routeTSS, w.says(200, list(theirs)))
	wantClass(t, w.p.Discard(t.Context(), pending(t, ourRefs())), provider.Retryable, provider.ReasonInvalidState)
	w.groups(mainNew(), convertedOld())
	wantClass(t, w.retire(t), provider.Retryable, provider.ReasonInvalidState)
	if c := w.changes(); len(c) > 0 {
		t.Errorf("%q", c)
	}
	// One that came by our id and is a person's all the same is not waited for.
	w.answer(routeOneTSS, w.says(200, theirs))
	_, err := w.session(t, ourRefs()).Await(t.Context())
	wantClass(t, err, provider.Verification, provider.ReasonVerification)
}

// TestDiscardOfSomebodyElses: the group on record does not carry the mark. It is
// not deleted, and a person hears of it.
func TestDiscardOfSomebodyElses(t *testing.T) {
	other := mark(uuid.MustParse("0198c0de-0000-7000-8000-000000000009"))
	for name, change := range map[string]func(*group){
		"a person's":          func(g *group) { g.Holders[1].Name = "alice" },
		"of another attempt":  func(g *group) { g.Holders[1].Name = other },
		"of a type not known": func(g *group) { g.Type = "ColdGroup" },
		"for recovery":        func(g *group) { g.Type = "RecoveryGroup" },
	} {
		w := newWire(t, nil)
		w.groups(oldMain(), changed(change))
		err := w.p.Discard(t.Context(), pending(t, ourRefs()))
		if class, _ := provider.ClassOf(err); err == nil || class != provider.Verification || len(w.changes()) > 0 {
			t.Errorf("%s: %v after %q", name, err, w.changes())
		}
	}
}

// TestGoneIsNotConcludedFromNothing: after a delete, a list without a Main Group
// proves nothing about the other groups.
func TestGoneIsNotConcludedFromNothing(t *testing.T) {
	w := newWire(t, nil)
	w.groups(mainNew(), convertedOld())
	w.answer("POST "+vaultPath+routeOld+"/delete", func(rw http.ResponseWriter, r *http.Request) {
		w.groups()
		w.says(201, `{"submitted":true}`)(rw, r)
	})
	wantClass(t, w.retire(t), provider.Retryable, provider.ReasonProviderError)
	w.groups(mainNew())
	if err := w.retire(t); err != nil || len(w.changes()) != 1 {
		t.Errorf("%v after %q", err, w.changes())
	}
}

// TestDiscardWithoutARecord asks nobody: nothing was created.
func TestDiscardWithoutARecord(t *testing.T) {
	w := newWire(t, nil)
	if err := w.p.Discard(t.Context(), attempt()); err != nil || len(w.asked("")) > 0 {
		t.Errorf("%v after %d requests", err, len(w.asked("")))
	}
	w.groups(mainNew())
	if err := w.p.Discard(t.Context(), pending(t, ourRefs())); err != nil || len(w.changes()) > 0 {
		t.Errorf("the Main Group by now: %v, %q", err, w.changes())
	}
}

package cobo

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// TestFaultsOfPromoting: after an unknown outcome Inspect tells, and the same
// call again ends well. The upgrade takes effect once.
func TestFaultsOfPromoting(t *testing.T) {
	for name, tt := range map[string]struct {
		choose  map[string]string
		fault   faults.Fault
		class   provider.Class // empty: no error
		reason  provider.Reason
		swapped bool // by the call that failed
	}{
		"lost reply":   {nil, breaks("upgrade_group", faults.LostReply), provider.InDoubt, provider.ReasonProviderError, true},
		"half a reply": {nil, breaks("upgrade_group", faults.DropStream), provider.InDoubt, provider.ReasonProviderError, true},
		"lost reply, and a repeat is accepted": {map[string]string{assume.CoboRepeatedUpgrade: assume.SameReply},
			breaks("upgrade_group", faults.LostReply), provider.InDoubt, provider.ReasonProviderError, true},
		"lost request":               {nil, breaks("upgrade_group", faults.LostRequest), provider.InDoubt, provider.ReasonProviderError, false},
		"slow":                       {nil, breaks("upgrade_group", faults.Latency), provider.InDoubt, provider.ReasonTimeout, false},
		"500":                        {nil, status("upgrade_group", 500), provider.InDoubt, provider.ReasonProviderError, false},
		"429":                        {nil, status("upgrade_group", 429), provider.RateLimited, provider.ReasonRateLimited, false},
		"refused":                    {nil, breaks("upgrade_group", faults.Reject), provider.Terminal, provider.ReasonProviderError, false},
		"refused as forbidden":       {map[string]string{assume.CoboWrongState: assume.Forbidden}, breaks("upgrade_group", faults.Reject), provider.Terminal, provider.ReasonAuth, false},
		"said to be done and is not": {nil, breaks("upgrade_group", faults.LoseState), "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrganisation(t, tt.choose, func(opts *Options) { opts.CallTimeout = slow })
			a := o.prepare()
			o.fail(tt.fault)
			err := o.p.Promote(t.Context(), a)
			if tt.class == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				o.wantErr(err, tt.class, tt.reason)
			}
			if swapped := o.inspect().ActiveShareSet == a.PendingShareSet; swapped != tt.swapped {
				t.Errorf("swapped: %v", swapped)
			}
			if err := o.p.Promote(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			o.wantActive(a.PendingShareSet)
			if n := o.vendor.Stats().Vaults[o.vault].Promotions[a.PendingShareSet].Effects; n != 1 {
				t.Errorf("%d effects", n)
			}
			if err := retire(t, o.p, retirement(a)); err != nil {
				t.Fatal(err)
			}
			o.wantActive(a.PendingShareSet)
			o.wantNothingLeft()
		})
	}
}

// TestUpgradeThatWaits: it is accepted and takes effect later, when people have
// approved. It is not asked for again and again meanwhile.
func TestUpgradeThatWaits(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	a := o.prepare()
	now := time.Now()
	o.p.now = func() time.Time { return now }
	o.fail(faults.Fault{Operation: "cobo.upgrade_group", Kind: faults.ApprovalDelay, Delay: 500 * time.Millisecond, Times: 1})
	if err := o.p.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		err := o.p.Promote(t.Context(), a)
		o.wantErr(err, provider.InDoubt, provider.ReasonProviderError)
		if !strings.Contains(err.Error(), "approval") {
			t.Errorf("%q", err)
		}
	}
	if n := o.vendor.Stats().Requests["cobo.upgrade_group"]; n != 1 {
		t.Errorf("asked %d times", n)
	}
	now = now.Add(minRest)
	if err := o.p.Promote(t.Context(), a); err != nil { // once more, in case it was lost
		t.Fatal(err)
	}
	o.until(func() bool { return o.inspect().ActiveShareSet == a.PendingShareSet })
	if err := o.p.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	v := o.vendor.Stats().Vaults[o.vault].Promotions[a.PendingShareSet]
	if v.Calls != 2 || v.Effects != 1 {
		t.Errorf("%+v", v)
	}
	o.wantActive(a.PendingShareSet)
}

// TestUndocumentedUpgrades and deletes: at once, a moment later, or after
// approvals.
func TestUndocumentedUpgrades(t *testing.T) {
	for _, choose := range []map[string]string{
		{assume.CoboUpgrade: assume.Delayed, assume.CoboDelete: assume.Delayed},
		{assume.CoboApprovals: assume.Upgrades},
		{assume.CoboApprovals: assume.UpgradesAndDeletes, assume.CoboDeletedGroup: assume.Unavailable},
	} {
		o := newOrganisation(t, choose, nil)
		for range 3 {
			a := o.prepare()
			if err := o.p.Promote(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			o.until(func() bool { return o.inspect().ActiveShareSet == a.PendingShareSet })
			o.wantActive(a.PendingShareSet)
			o.until(func() bool {
				err := retire(t, o.p, retirement(a))
				if err != nil {
					o.wantErr(err, provider.Retryable, provider.ReasonProviderError)
				}
				return err == nil
			})
			o.wantActive(a.PendingShareSet)
		}
		o.wantNothingLeft()
	}
}

// TestNothingElseIsPromoted: what is no longer what was verified.
func TestNothingElseIsPromoted(t *testing.T) {
	person := group{ID: "person", Type: mainGroup, Keys: keys("person"), Holders: []holder{cobos(), server("x", nodeC)},
		Participants: 2, Threshold: 2, Status: groupValid}
	converted := with(oldMain(), func(g *group) { g.Type = signingGroup })
	for name, tt := range map[string]struct {
		groups []group
		class  provider.Class
		reason provider.Reason
	}{
		"another Main Group":     {[]group{converted, person, newOurs()}, provider.Verification, provider.ReasonVerification},
		"two Main Groups":        {[]group{oldMain(), person, newOurs()}, provider.Verification, provider.ReasonVerification},
		"no Main Group":          {[]group{converted, newOurs()}, provider.Terminal, provider.ReasonInvalidState},
		"gone":                   {[]group{oldMain()}, provider.Terminal, provider.ReasonInvalidState},
		"New again":              {[]group{oldMain(), freshOurs()}, provider.Terminal, provider.ReasonInvalidState},
		"a type nobody knows":    {[]group{oldMain(), changed(func(g *group) { g.Type = "ColdGroup" })}, provider.Verification, provider.ReasonVerification},
		"another key":            {[]group{oldMain(), changed(func(g *group) { g.Keys[1].RootPubkey = "xpubOther" })}, provider.Verification, provider.ReasonVerification},
		"one curve only":         {[]group{oldMain(), changed(func(g *group) { g.Keys = g.Keys[:1] })}, provider.Verification, provider.ReasonVerification},
		"the old shares":         {[]group{oldMain(), changed(func(g *group) { g.Keys[0].ShareGroup = "oldSecp" })}, provider.Verification, provider.ReasonVerification},
		"another threshold":      {[]group{oldMain(), changed(func(g *group) { g.Threshold = 1 })}, provider.Verification, provider.ReasonVerification},
		"more participants":      {[]group{oldMain(), changed(func(g *group) { g.Participants = 3 })}, provider.Verification, provider.ReasonVerification},
		"another node":           {[]group{oldMain(), changed(func(g *group) { g.Holders[1].Node = nodeC })}, provider.Verification, provider.ReasonVerification},
		"one more node":          {[]group{oldMain(), changed(func(g *group) { g.Holders = append(g.Holders, server("x", nodeC)) })}, provider.Verification, provider.ReasonVerification},
		"its node is offline":    {[]group{oldMain(), changed(func(g *group) { g.Holders[1].Online = &no })}, provider.Retryable, provider.ReasonPartyUnavailable},
		"its node is not told":   {[]group{oldMain(), changed(func(g *group) { g.Holders[1].Online = nil })}, provider.Retryable, provider.ReasonPartyUnavailable},
		"its holder has changed": {[]group{oldMain(), changed(func(g *group) { g.Holders[1].Status = "Changed" })}, provider.Retryable, provider.ReasonPartyUnavailable},
	} {
		w := newWire(t, nil)
		w.groups(tt.groups...)
		w.answer("PUT "+vaultPath+routeNew, w.says(200, wireGroup(with(newOurs(), func(g *group) { g.Type = mainGroup }))))
		a := pending(t, ourRefs())
		wantClass(t, w.p.Promote(t.Context(), a), tt.class, tt.reason)
		if c := w.changes(); len(c) > 0 {
			t.Errorf("%s: %q", name, c)
		}
		// The same is never ready.
		w.answer(routeOneTSS, w.says(200, ourRequest(requestSuccess)))
		if ready, err := w.session(t, ourRefs()).Await(t.Context()); ready.Ready {
			t.Errorf("%s is ready: %v", name, err)
		}
	}
}

func changed(change func(*group)) group { return with(newOurs(), change) }

// TestPromoteWithoutARecord does nothing.
func TestPromoteWithoutARecord(t *testing.T) {
	w := newWire(t, nil)
	none := pending(t, ourRefs())
	none.Refs = provider.Refs{}
	old := pending(t, ourRefs())
	old.PendingShareSet = oldGroupID
	for _, a := range []provider.Attempt{attempt(), none, old} {
		wantClass(t, w.p.Promote(t.Context(), a), provider.Terminal, provider.ReasonInternal)
	}
	if n := len(w.asked("")); n > 0 {
		t.Errorf("%d requests", n)
	}
}

// TestRefusedUpgrade: the vendor documents no codes for wrong states, so what is
// so decides, not the refusal.
func TestRefusedUpgrade(t *testing.T) {
	swapped := []group{with(oldMain(), func(g *group) { g.Type = signingGroup }), changed(func(g *group) { g.Type = mainGroup })}
	strange := []group{with(oldMain(), func(g *group) { g.Type = signingGroup }),
		with(oldMain(), func(g *group) { g.ID, g.Keys = "person", keys("person") }), newOurs()}
	for name, tt := range map[string]struct {
		then  []group
		class provider.Class // empty: nothing is wrong
	}{
		"done meanwhile":              {swapped, ""},
		"somebody else's meanwhile":   {strange, provider.Verification},
		"refused and nothing changed": {[]group{oldMain(), newOurs()}, provider.Terminal},
	} {
		w := newWire(t, nil)
		w.groups(oldMain(), newOurs())
		w.answer("PUT "+vaultPath+routeNew, func(rw http.ResponseWriter, r *http.Request) {
			w.groups(tt.then...)
			w.says(400, `{"error_code":2006,"error_message":"wrong state","error_id":"0b6ddf19083c4bd1a9ca01bec44b24dd"}`)(rw, r)
		})
		err := w.p.Promote(t.Context(), pending(t, ourRefs()))
		if class, _ := provider.ClassOf(err); (err == nil) != (tt.class == "") || err != nil && class != tt.class {
			t.Errorf("%s: %v", name, err)
		}
		if tt.class == provider.Terminal && !strings.Contains(err.Error(), "error_id 0b6ddf19083c4bd1a9ca01bec44b24dd") {
			t.Errorf("%q does not give the id that support asks for", err)
		}
	}
}

// TestRecordSetBack: our record lost everything after the opening, the vendor
// has swapped already. The attempt is found, and found to be promoted.
func TestRecordSetBack(t *testing.T) {
	for _, handling := range []string{ConvertToSigningGroup, Invalidate} {
		o := newOrganisation(t, nil, func(opts *Options) { opts.MainGroupHandling = handling })
		a := o.attempt()
		early := a
		first := true
		s, err := o.p.Open(t.Context(), a, func(ctx context.Context, pending string, refs provider.Refs) error {
			if first {
				_ = keep(&early)(ctx, pending, refs)
				first = false
			}
			return keep(&a)(ctx, pending, refs)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.await(s); err != nil {
			t.Fatal(err)
		}
		if err := o.p.Promote(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if s, err = o.restarted().p.Resume(t.Context(), early, keep(&early)); err != nil {
			t.Fatal(err)
		}
		ready, err := s.Await(t.Context())
		if err != nil || !ready.Ready || ready.ShareSet != a.PendingShareSet {
			t.Fatalf("%+v, %v", ready, err)
		}
		if err := o.p.Promote(t.Context(), early); err != nil {
			t.Fatal(err)
		}
		if n := o.vendor.Stats().Vaults[o.vault].Promotions[a.PendingShareSet].Calls; n != 1 {
			t.Errorf("upgraded %d times", n)
		}
		// An operator who gives the attempt up all the same loses nothing.
		if err := o.p.Discard(t.Context(), early); err != nil {
			t.Fatal(err)
		}
		o.wantActive(a.PendingShareSet)
		if len(o.deleted()) > 0 {
			t.Errorf("deleted: %v", o.deleted())
		}
	}
}

// TestHandlingIsSent: with Invalidate the old group is gone at once and there is
// nothing to retire.
func TestHandlingIsSent(t *testing.T) {
	o := newOrganisation(t, nil, func(opts *Options) { opts.MainGroupHandling = Invalidate })
	a := o.rotate()
	if _, ok := o.p.RetireAfter(a.Wallet); ok {
		t.Error("there is something to retire")
	}
	for _, g := range o.view().Groups {
		if g.ID == a.OldShareSet && !g.Deleted {
			t.Error("the old group still is")
		}
	}
	o = newOrganisation(t, nil, func(opts *Options) { opts.Grace = 7 * time.Hour })
	a = o.rotate()
	if grace, ok := o.p.RetireAfter(a.Wallet); !ok || grace != 7*time.Hour {
		t.Errorf("grace %s, %v", grace, ok)
	}
	for _, g := range o.view().Groups {
		if g.ID == a.OldShareSet {
			if g.Deleted {
				t.Error("the old group is gone before its grace is over")
			}
			o.wantSigns(o.view(), g)
		}
	}
}

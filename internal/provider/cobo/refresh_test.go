package cobo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	vendor "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// crowd is an organisation whose vault has a Signing and a Recovery Group of
// people's, all on TSS nodes.
type crowd struct {
	*organisation
	signing, recovery string
}

func newCrowd(t *testing.T, choose map[string]string, configure func(*Options)) *crowd {
	t.Helper()
	o := newOrganisationOf(t, vendor.Options{Vaults: 1, Pace: pace, Nodes: 8}, choose, func(opts *Options) {
		opts.RefreshOtherGroups = true
		if configure != nil {
			configure(opts)
		}
	})
	c := &crowd{organisation: o}
	nodes := o.vendor.Nodes()
	c.signing = o.hers(vendor.NewGroup{Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX1", Signer: true}, {Name: "alice", Type: "API", TSSNodeID: nodes[4], Signer: true}}})
	c.recovery = o.hers(vendor.NewGroup{Type: "RecoveryGroup", Holders: []vendor.NewHolder{
		{Name: "bob", Type: "API", TSSNodeID: nodes[5]}, {Name: "carol", Type: "API", TSSNodeID: nodes[6], Signer: true}}})
	return c
}

// hers is a group that a person makes.
func (o *organisation) hers(g vendor.NewGroup) string {
	o.t.Helper()
	id, err := o.vendor.AddGroup(o.vault, g)
	if err != nil {
		o.t.Fatal(err)
	}
	return id
}

// cleanUp repeats Retire until it is done, by another process each time as long
// as there is anything to do, and insists that it does not fail but with the
// classes given.
func (o *organisation) cleanUp(r provider.Retirement, may ...provider.Class) (said string) {
	o.t.Helper()
	const steps = 40 // more than it takes; what then remains is a wait, which a process remembers
	tries := 0
	var p *Provider
	o.until(func() bool {
		if tries++; tries < steps {
			p = o.restarted().p
		}
		p.now = func() time.Time { return time.Now().Add(time.Duration(tries) * 10 * time.Millisecond) }
		got, err := p.Retire(o.t.Context(), r)
		class, _ := provider.ClassOf(err)
		var wait *provider.NotYet
		switch {
		case errors.As(err, &wait):
			if wait.WaitsFor != "" || wait.CheckAgain > inTurn {
				o.t.Fatalf("%v in %s: somebody is waited for", err, wait.CheckAgain)
			}
		case err != nil && !slices.Contains(may, class):
			o.t.Fatalf("%s: %v", class, err)
		}
		said = got
		return err == nil
	})
	return said
}

func retirementOf(a provider.Attempt) provider.Retirement {
	r := retirement(a)
	r.ActiveShareSet = a.PendingShareSet
	return r
}

// wantFresh checks what counts: one Main, one Signing and one Recovery Group are
// alive and sign under the keys of the first day, no share of before signs, and
// nothing but what was to be deleted was.
func (c *crowd) wantFresh(deleted ...string) {
	c.t.Helper()
	v := c.view()
	alive := map[string]int{}
	for _, g := range v.Groups {
		if !g.Deleted {
			alive[g.Type]++
			c.wantSigns(v, g)
		}
	}
	if fmt.Sprint(alive) != fmt.Sprint(map[string]int{mainGroup: 1, signingGroup: 1, recoveryGroup: 1}) {
		c.t.Errorf("alive are %v", alive)
	}
	if old := sandbox.SignFromBefore(v); len(old) > 0 {
		c.t.Errorf("shares of before the rotation sign: %q", old)
	}
	c.wantUndisturbed()
	got := c.deleted()
	for _, id := range deleted {
		if _, ok := got[id]; !ok {
			c.t.Errorf("group %s was not deleted", id)
		}
	}
	for id, kind := range got {
		if kind == mainGroup {
			c.t.Errorf("Main Group %s was deleted", id)
		}
	}
}

// wantUndisturbed checks that nothing is left behind and that there never were two
// TSS requests at a time.
func (c *crowd) wantUndisturbed() {
	c.t.Helper()
	stats := c.vendor.Stats()
	if len(stats.Orphans.Groups)+len(stats.Orphans.TSSRequests) > 0 {
		c.t.Errorf("left behind: %+v", stats.Orphans)
	}
	if n := stats.Vaults[c.vault].PeakTSSRequests; n > 1 {
		c.t.Errorf("%d TSS requests at a time", n)
	}
}

// TestAllSharesOfBeforeAreGone, by another process at each step, twice in a row,
// under whatever the vendor may do.
func TestAllSharesOfBeforeAreGone(t *testing.T) {
	for name, tt := range map[string]struct {
		choose    map[string]string
		configure func(*Options)
	}{
		"defaults":                {},
		"invalidate":              {nil, func(o *Options) { o.MainGroupHandling = Invalidate }},
		"deleted are unavailable": {map[string]string{assume.CoboDeletedGroup: assume.Unavailable}, nil},
		"deleted are of a status that is unknown": {map[string]string{assume.CoboDeletedGroup: assume.UnknownStatus}, nil},
		"invalidated are unavailable":             {map[string]string{assume.CoboDeletedGroup: assume.Unavailable}, func(o *Options) { o.MainGroupHandling = Invalidate }},
		"requests listed by source, too":          {map[string]string{assume.CoboListRequests: assume.Both}, nil},
		"a second request is refused":             {map[string]string{assume.CoboSecondRequest: assume.Refused}, nil},
		"deletes take a moment":                   {map[string]string{assume.CoboDelete: assume.Delayed}, nil},
		"a wrong state is a server error":         {map[string]string{assume.CoboWrongState: assume.ServerError, assume.CoboDeletedGroup: assume.Unavailable}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, tt.choose, tt.configure)
			if grace, ok := c.p.RetireAfter(c.wallet()); !ok || grace != 0 {
				t.Fatalf("retired after %s, %v", grace, ok)
			}
			before := c.view()
			a := c.rotate()
			said := c.cleanUp(retirementOf(a), provider.Retryable)
			c.wantFresh(c.signing, c.recovery)
			for _, old := range []string{"SigningGroup " + c.signing, "RecoveryGroup " + c.recovery} {
				if !strings.Contains(said, old+" was replaced by ") {
					t.Errorf("on record is %q", said)
				}
			}
			c.sameShape(before)
			if made := c.vendor.Stats().Vaults[c.vault].TSSRequests; made != 3 {
				t.Errorf("%d TSS requests, want one for each group", made)
			}
			// Again: nothing is left to do.
			if said := c.cleanUp(retirementOf(a)); !strings.Contains(said, c.recovery) {
				t.Errorf("on record is %q", said)
			}
			if made := c.vendor.Stats().Vaults[c.vault].TSSRequests; made != 3 {
				t.Errorf("%d TSS requests after another look", made)
			}
			// The replacements are of before, from the next rotation on.
			c.cleanUp(retirementOf(c.rotate()), provider.Retryable)
			c.wantFresh(c.signing, c.recovery)
		})
	}
}

// sameShape checks that holders, threshold and signers are as they were.
func (c *crowd) sameShape(before vendor.View) {
	c.t.Helper()
	groups, err := c.p.listGroups(c.t.Context(), c.vault)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, g := range groups {
		r, ok := g.replaces()
		if !ok {
			continue
		}
		var signers []bool
		for _, h := range g.customers() {
			signers = append(signers, *h.Signer)
		}
		want := map[string]string{c.signing: "SigningGroup 2 of 2 [true]", c.recovery: "RecoveryGroup 2 of 2 [false true]"}[r.of]
		if got := fmt.Sprintf("%s %d of %d %v", g.Type, g.Threshold, g.Participants, signers); got != want {
			c.t.Errorf("the group in place of %s is %s, want %s", r.of, got, want)
		}
		for _, old := range before.Groups {
			if old.ID == r.of && slices.ContainsFunc(g.customers(), func(h holder) bool { return slices.Contains(old.Nodes, h.Node) }) {
				c.t.Errorf("the group in place of %s is on its nodes", r.of)
			}
		}
	}
}

// TestOptionOff: the same vault, and nothing is touched.
func TestOtherGroupsStayUnlessAskedFor(t *testing.T) {
	c := newCrowd(t, nil, func(o *Options) { o.RefreshOtherGroups = false })
	a := c.rotate()
	c.cleanUp(retirementOf(a))
	if got := c.deleted(); len(got) != 1 || got[a.OldShareSet] == "" {
		t.Errorf("deleted: %v", got)
	}
	if old := sandbox.SignFromBefore(c.view()); len(old) != 2 || !slices.Contains(old, c.signing) || !slices.Contains(old, c.recovery) {
		t.Errorf("of before the rotation sign %q, want the two groups that stay", old)
	}
}

// TestFaultsOfRefreshing: each call that changes something may fail at each of
// its uses; nothing is lost, nothing is left, no two of anything are.
func TestFaultsOfRefreshing(t *testing.T) {
	late := func(operation string) faults.Fault {
		return faults.Fault{Operation: "cobo." + operation, Kind: faults.LateEffect, Delay: 300 * time.Millisecond, Times: 1}
	}
	for _, operation := range []string{"create_group", "create_tss_request", "delete_group"} {
		for _, f := range []faults.Fault{
			breaks(operation, faults.LostReply), breaks(operation, faults.LostRequest), breaks(operation, faults.DropStream),
			late(operation), status(operation, 500), status(operation, 429), breaks(operation, faults.LoseState),
		} {
			t.Run(fmt.Sprint(operation, " ", f.Kind, f.Status), func(t *testing.T) {
				t.Parallel()
				c := newCrowd(t, nil, func(o *Options) { o.CallTimeout = slow })
				a := c.rotate()
				if operation == "delete_group" {
					if err := retire(t, c.p, retirementOf(a)); !isNotYet(err) {
						t.Fatal(err) // the old Main Group
					}
				}
				c.fail(f)
				c.cleanUp(retirementOf(a), provider.Retryable, provider.InDoubt, provider.RateLimited)
				c.fail()
				c.cleanUp(retirementOf(a), provider.Retryable)
				c.wantFresh(c.signing, c.recovery)
			})
		}
	}
}

// TestOneTooMany: a call that was given up took effect later, on other nodes, or
// an earlier rotation left something. What is one too many is deleted, and never
// what alone has taken the place of a group that is gone.
func TestOneTooMany(t *testing.T) {
	for name, again := range map[string]func(c *crowd, r replacement) vendor.NewGroup{
		"without shares": func(_ *crowd, r replacement) vendor.NewGroup {
			return vendor.NewGroup{Status: "New", Holders: []vendor.NewHolder{
				{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX9"}, {Name: r.mark(), Type: "API", TSSNodeID: "coboLate"}}}
		},
		"with shares": func(_ *crowd, r replacement) vendor.NewGroup {
			return vendor.NewGroup{Holders: []vendor.NewHolder{
				{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX9"}, {Name: r.mark(), Type: "API", TSSNodeID: "coboLate"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, done := range []bool{false, true} {
				c := newCrowd(t, nil, nil)
				a := c.rotate()
				r := replacement{a.ID, c.signing}
				if done {
					c.cleanUp(retirementOf(a), provider.Retryable)
				} else {
					c.until(func() bool {
						if err := retire(t, c.p, retirementOf(a)); !isNotYet(err) {
							t.Fatal(err)
						}
						return len(c.vendor.Stats().Orphans.Groups) == 1 // one is on its way
					})
				}
				late := c.hers(again(c, r))
				for _, node := range []string{"coboLate", "coboX9"} {
					if err := c.vendor.SetNode(node, true); err != nil {
						t.Fatal(err)
					}
				}
				c.cleanUp(retirementOf(a), provider.Retryable)
				c.wantFresh(c.signing, c.recovery)
				if done && c.deleted()[late] == "" {
					t.Error("the first one gave way to the late one")
				}
			}
		})
	}
}

// TestEarlierRotationLeftSomething: it had begun to replace a group, and another
// rotation came. What it began is of before by now.
func TestEarlierRotationLeftSomething(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	if err := retire(t, c.p, retirementOf(a)); !isNotYet(err) {
		t.Fatal(err)
	}
	began := c.hers(vendor.NewGroup{Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX9"}, {Name: replacement{a.ID, c.signing}.mark(), Type: "API", TSSNodeID: "coboBegan"}}})
	c.cleanUp(retirementOf(c.rotate()), provider.Retryable)
	c.wantFresh(c.signing, c.recovery, began)
}

func isNotYet(err error) bool { return errors.As(err, new(*provider.NotYet)) }

// TestReplacementIsRejected: the group that came of it is deleted, the old one
// stays until another is complete.
func TestReplacementIsRejected(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	c.fail(faults.Fault{Operation: "cobo.ceremony", Kind: faults.Reject, Times: 2})
	rejected := 0
	c.until(func() bool {
		err := retire(t, c.p, retirementOf(a))
		if class, reason := provider.ClassOf(err); err != nil && !isNotYet(err) {
			if rejected++; class != provider.Retryable || reason != provider.ReasonPartyUnavailable || !strings.Contains(err.Error(), c.signing) {
				t.Fatal(err)
			}
			if got := c.deleted(); got[c.signing] != "" {
				t.Fatal("the group was deleted before it was replaced")
			}
		}
		return err == nil
	})
	if rejected != 2 {
		t.Errorf("%d rejections were told, want 2", rejected)
	}
	c.wantFresh(c.signing, c.recovery)
}

// TestSuccessOfACancelledReplacement is no success.
func TestSuccessOfACancelledReplacement(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	c.fail(waitForPeople())
	c.until(func() bool {
		if err := retire(t, c.p, retirementOf(a)); !isNotYet(err) {
			t.Fatal(err)
		}
		return len(c.vendor.Stats().Orphans.TSSRequests) == 1
	})
	if err := c.p.cancelRequest(t.Context(), c.vault, c.vendor.Stats().Orphans.TSSRequests[0]); err != nil {
		t.Fatal(err)
	}
	c.fail()
	cancelled := 0
	c.until(func() bool {
		err := retire(t, c.p, retirementOf(a))
		if err != nil && !isNotYet(err) {
			cancelled++
			wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		}
		return err == nil
	})
	if cancelled != 1 {
		t.Errorf("it failed %d times, want once", cancelled)
	}
	c.wantFresh(c.signing, c.recovery)
}

// TestReplacementWaitsForPeople: it is no failure, and somebody hears whom for. A
// rotation that begins meanwhile goes first.
func TestReplacementWaitsForPeople(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	c.fail(waitForPeople())
	look := func(p *Provider) *provider.NotYet {
		t.Helper()
		var wait *provider.NotYet
		if err := retire(t, p, retirementOf(a)); !errors.As(err, &wait) {
			t.Fatal(err)
		}
		return wait
	}
	c.until(func() bool { look(c.p); return len(c.vendor.Stats().Orphans.TSSRequests) == 1 })
	if wait := look(c.p); wait.WaitsFor != "" || wait.Person {
		t.Errorf("somebody hears of it at once: %+v", wait)
	}
	next := c.attempt()
	_, err := c.open(&next)
	wantClass(t, err, provider.Retryable, provider.ReasonInvalidState)
	if next.Refs.Vendor != nil {
		t.Error("a rotation was begun beside a TSS request")
	}
	c.p.now = func() time.Time { return time.Now().Add(DefaultApprovalAttention + time.Minute) }
	if wait := look(c.p); !strings.Contains(wait.WaitsFor, "an approval") || wait.Person || !strings.Contains(wait.Error(), c.signing) {
		t.Errorf("%+v", wait)
	}
	c.fail()
	b := c.rotate()
	c.wantUndisturbed()
	c.p.now = time.Now
	r := retirementOf(b)
	r.Earlier = []string{a.OldShareSet}
	var wait *provider.NotYet
	c.until(func() bool {
		if err := retire(t, c.p, r); !errors.As(err, &wait) {
			t.Fatal(err)
		}
		return strings.Contains(wait.Doing, "comes first")
	})
	first := retirementOf(a)
	first.ActiveShareSet, first.Later = b.PendingShareSet, []string{b.OldShareSet}
	c.cleanUp(first, provider.Retryable)
	c.cleanUp(retirementOf(b))
	c.wantFresh(c.signing, c.recovery)
}

// TestRotationsThatOverlap: two old Main Groups wait for the end of their grace
// periods. They are not taken for a person's Signing Groups, and each goes with
// its own retirement.
func TestConvertedMainGroupsAreNotPeoples(t *testing.T) {
	c := newCrowd(t, nil, nil)
	first := c.rotate() // its old group is the vault's first, with nobody's mark
	second := c.rotate()
	third := c.rotate()
	r := retirementOf(first)
	r.ActiveShareSet, r.Later = third.PendingShareSet, []string{second.OldShareSet, third.OldShareSet}
	c.cleanUp(r, provider.Retryable)
	got := c.deleted()
	if len(got) != 3 || got[second.OldShareSet]+got[third.OldShareSet] != "" {
		t.Errorf("deleted: %v; the old Main Groups of later rotations stay until their time", got)
	}
	r = retirementOf(second)
	r.ActiveShareSet, r.Later = third.PendingShareSet, []string{third.OldShareSet}
	c.cleanUp(r)
	c.cleanUp(retirementOf(third))
	c.wantFresh(c.signing, c.recovery)
	if made := c.vendor.Stats().Vaults[c.vault].TSSRequests; made != 5 {
		t.Errorf("%d TSS requests, want three rotations and two groups", made)
	}
}

// TestMainGroupThatIsNotOnRecord: the record was read before a swap, so it does
// not name the group that the swap has converted. A vault whose Main Group a
// person made has none of our marks on what was converted.
func TestMainGroupThatIsNotOnRecord(t *testing.T) {
	c := newCrowd(t, nil, nil)
	first := c.rotate()
	hers := c.hers(vendor.NewGroup{Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX2"}, {Name: "dave", Type: "API", TSSNodeID: c.vendor.Nodes()[7]}}})
	for _, node := range []string{"coboX2"} {
		if err := c.vendor.SetNode(node, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.vendor.ChangeGroup(hers, vendor.GroupChange{Upgrade: ConvertToSigningGroup}); err != nil {
		t.Fatal(err)
	}
	second := c.rotate()
	stale := retirementOf(first)
	stale.ActiveShareSet = hers
	for range 5 {
		if err := retire(t, c.p, stale); !isNotYet(err) {
			t.Fatal(err)
		}
	}
	if n := c.vendor.Stats().Vaults[c.vault].TSSRequests; n != 2 {
		t.Errorf("%d TSS requests: something was replaced by a record that is too old", n)
	}
	stale.ActiveShareSet, stale.Later = second.PendingShareSet, []string{first.PendingShareSet, hers}
	c.cleanUp(stale, provider.Retryable)
	if got := c.deleted(); got[hers] != "" || got[first.PendingShareSet] != "" {
		t.Errorf("deleted: %v", got)
	}
}

// TestPhoneIsNotTouched: all else is replaced, and a person hears of what is left
// until it is dealt with.
func TestPhoneIsNotTouched(t *testing.T) {
	c := newCrowd(t, nil, nil)
	phone := c.hers(vendor.NewGroup{Type: "RecoveryGroup", Holders: []vendor.NewHolder{
		{Name: "eve", Type: "Mobile", TSSNodeID: "coboPhone"}, {Name: "frank", Type: "API", TSSNodeID: "coboSafe"}}})
	odd := c.hers(vendor.NewGroup{Type: "ColdGroup", Holders: []vendor.NewHolder{{Name: "safe", Type: "API", TSSNodeID: "coboSafe2"}}})
	shared := c.hers(vendor.NewGroup{Type: "RecoveryGroup", Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX3"}, {Name: "grace", Type: "API", TSSNodeID: "coboSafe3"}}})
	a := c.rotate()
	var wait *provider.NotYet
	c.until(func() bool {
		if err := retire(t, c.p, retirementOf(a)); !errors.As(err, &wait) {
			t.Fatal(err)
		}
		return wait.Person
	})
	for _, want := range []string{phone + " has a share on a phone", odd + " is of type ColdGroup", shared + " has 1 holders beside yours", "keep_groups"} {
		if !strings.Contains(wait.Error(), want) {
			t.Errorf("%q does not say %q", wait, want)
		}
	}
	if old := sandbox.SignFromBefore(c.view()); len(old) != 3 || len(c.deleted()) != 3 {
		t.Errorf("of before sign %q, deleted are %v", old, c.deleted())
	}
	// What a person decided, or a later rotation is to tell, needs nobody.
	later := retirementOf(a)
	later.Later = []string{"somewhen"}
	kept := retirementOf(a)
	kept.Wallet.Settings = fmt.Appendf(nil, `{"keep_groups": [%q, %q, %q]}`, phone, odd, shared)
	for _, r := range []provider.Retirement{later, kept} {
		if said := c.cleanUp(r); !strings.Contains(said, phone) || !strings.Contains(said, odd) {
			t.Errorf("on record is %q", said)
		}
	}
	// Or the person deletes it.
	for _, id := range []string{phone, odd, shared} {
		if err := c.vendor.ChangeGroup(id, vendor.GroupChange{Delete: true}); err != nil {
			t.Fatal(err)
		}
	}
	c.cleanUp(retirementOf(a))
	c.wantFresh(c.signing, c.recovery)
}

// TestGroupsOfAfterStay: what a person made after the rotation, and what has no
// share yet, is not replaced.
func TestGroupsOfAfterStay(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	after := c.hers(vendor.NewGroup{Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX2"}, {Name: "dave", Type: "API", TSSNodeID: "coboD"}}})
	empty := c.hers(vendor.NewGroup{Status: "New", Holders: []vendor.NewHolder{{Name: "rotatord", Type: "API", TSSNodeID: "coboE"}}})
	c.cleanUp(retirementOf(a), provider.Retryable)
	if got := c.deleted(); got[after]+got[empty] != "" || len(got) != 3 {
		t.Errorf("deleted: %v", got)
	}
}

// TestPersonsRequestGoesFirst: nothing is asked for beside it, and it is not
// cancelled.
func TestPersonsRequestGoesFirst(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	target := c.hers(vendor.NewGroup{Status: "New", Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX2"}, {Name: "carol", Type: "Mobile", TSSNodeID: "coboPhone"}}})
	request, err := c.vendor.AddRequest(c.vault, vendor.NewRequest{Source: a.PendingShareSet, Target: target, Description: "carol's new phone"})
	if err != nil {
		t.Fatal(err)
	}
	var wait *provider.NotYet
	for range 4 {
		if err := retire(t, c.p, retirementOf(a)); !errors.As(err, &wait) {
			t.Fatal(err)
		}
	}
	if !strings.Contains(wait.Doing, request) || len(c.deleted()) != 1 {
		t.Errorf("%q, deleted %v", wait.Doing, c.deleted())
	}
	if err := c.vendor.ChangeRequest(request, vendor.RequestChange{Status: vendor.KeyHolderConfirmationFailed}); err != nil {
		t.Fatal(err)
	}
	c.cleanUp(retirementOf(a), provider.Retryable)
	if n := c.vendor.Stats().Vaults[c.vault].PeakTSSRequests; n > 1 {
		t.Errorf("%d TSS requests at a time", n)
	}
}

// TestRotationUnderWayGoesFirst: the group of an attempt is not taken for a
// person's, and nothing is asked for beside it.
func TestRotationUnderWayGoesFirst(t *testing.T) {
	c := newCrowd(t, nil, nil)
	a := c.rotate()
	b := c.prepare() // Valid, marked, and not the Main Group
	var wait *provider.NotYet
	for range 4 {
		if err := retire(t, c.p, retirementOf(a)); !errors.As(err, &wait) {
			t.Fatal(err)
		}
	}
	if !strings.Contains(wait.Doing, "waits for the rotation") || c.deleted()[b.PendingShareSet] != "" {
		t.Errorf("%q, deleted %v", wait.Doing, c.deleted())
	}
	if err := c.p.Promote(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	c.cleanUp(retirementOf(b), provider.Retryable)
	c.wantFresh(c.signing, c.recovery)
}

// TestNoNodeIsFree says which group waits, and leaves what the next rotation of
// the Main Group needs.
func TestNoNodeIsFree(t *testing.T) {
	c := newCrowd(t, nil, nil)
	nodes := c.vendor.Nodes()
	first := c.view().Groups[0].Nodes
	c.p.opts.Nodes = []string{first[len(first)-1], nodes[3], nodes[5]} // Main, a free one, and one of the Recovery Group's
	if slices.Contains(c.p.opts.Nodes[1:], c.p.opts.Nodes[0]) {
		t.Fatal("the pool names a node twice")
	}
	a := c.rotate()
	var err error
	c.until(func() bool { err = retire(t, c.p, retirementOf(a)); return !isNotYet(err) })
	wantClass(t, err, provider.Retryable, provider.ReasonInvalidState)
	if !strings.Contains(err.Error(), "SigningGroup "+c.signing) || !strings.Contains(err.Error(), "add to tss_nodes") {
		t.Errorf("%q", err)
	}
	if got := c.deleted(); len(got) != 1 {
		t.Errorf("deleted: %v", got)
	}
	c.rotate() // the Main Group's is not in the way of
	c.wantUndisturbed()
}

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

// TestOtherGroupsStayUnlessAskedFor: the same vault, and nothing is touched.
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

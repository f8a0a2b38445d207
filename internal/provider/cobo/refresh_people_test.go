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
	vendor "github.com/rotatord/rotatord/internal/sandbox/cobo"
)

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

// TestConvertedMainGroupsAreNotPeoples: two old Main Groups wait for the end of their grace
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

// TestMainGroupThatWasAPersons: she made it before the rotation that is cleaned up,
// and made it the Main Group after it; then it was rotated away. By marks and times
// it is a Signing Group of before, and only the record tells that its own retirement
// is to come. A record that was read before that swap is not acted on.
func TestMainGroupThatWasAPersons(t *testing.T) {
	c := newCrowd(t, nil, nil)
	hers := c.hers(vendor.NewGroup{Holders: []vendor.NewHolder{
		{Name: "Cobo", Type: "Cobo", TSSNodeID: "coboX2"}, {Name: "dave", Type: "API", TSSNodeID: c.vendor.Nodes()[7]}}})
	if err := c.vendor.SetNode("coboX2", true); err != nil {
		t.Fatal(err)
	}
	first := c.rotate()
	if err := c.vendor.ChangeGroup(hers, vendor.GroupChange{Upgrade: ConvertToSigningGroup}); err != nil {
		t.Fatal(err)
	}
	second := c.rotate()
	r := retirementOf(first)
	r.ActiveShareSet, r.Later = hers, []string{first.PendingShareSet}
	for range 5 {
		if err := retire(t, c.p, r); !isNotYet(err) {
			t.Fatal(err)
		}
	}
	if n := c.vendor.Stats().Vaults[c.vault].TSSRequests; n != 2 {
		t.Errorf("%d TSS requests: something was replaced by a record that is too old", n)
	}
	r.ActiveShareSet, r.Later = second.PendingShareSet, []string{first.PendingShareSet, hers}
	c.cleanUp(r, provider.Retryable)
	if got := c.deleted(); len(got) != 3 || got[hers] != "" || got[first.PendingShareSet] != "" {
		t.Errorf("deleted: %v, want the first Main Group and the two others", got)
	}
	if n := c.vendor.Stats().Vaults[c.vault].TSSRequests; n != 4 {
		t.Errorf("%d TSS requests, want two rotations and two groups", n)
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

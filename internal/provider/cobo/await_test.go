package cobo

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func waitForPeople() faults.Fault {
	return faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour, Times: 1}
}

// requestOf is the TSS request that an attempt has on record.
func requestOf(t *testing.T, a provider.Attempt) string {
	t.Helper()
	refs, ok, err := readRefs(a.Refs)
	if err != nil || !ok || refs.Request == "" {
		t.Fatalf("references %s: %v", a.Refs.Vendor, err)
	}
	return refs.Request
}

// TestApprovalByPeople: three polls by three processes, as parked rotations
// make them; people are named only when it has lasted.
func TestApprovalByPeople(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	o.fail(waitForPeople())
	a := o.attempt()
	s, err := o.open(&a)
	if err != nil {
		t.Fatal(err)
	}
	for i, waited := range []time.Duration{time.Second, time.Minute, DefaultApprovalAttention + time.Second} {
		o = o.restarted()
		o.p.now = func() time.Time { return time.Now().Add(waited) }
		if s, err = o.p.Resume(t.Context(), a, keep(&a)); err != nil {
			t.Fatal(err)
		}
		ready, err := s.Await(t.Context())
		if err != nil || ready.Ready || ready.CheckAgain < minPoll || ready.CheckAgain > maxPoll {
			t.Fatalf("poll %d: %+v, %v", i, ready, err)
		}
		if tells := ready.WaitsFor != ""; tells != (waited >= DefaultApprovalAttention) {
			t.Errorf("poll %d after %s: waits for %q", i, waited, ready.WaitsFor)
		} else if tells && !strings.Contains(ready.WaitsFor, "approval") {
			t.Errorf("waits for %q", ready.WaitsFor)
		}
	}
	if err := o.vendor.ChangeRequest(requestOf(t, a), sandbox.RequestChange{Approve: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.await(s); err != nil {
		t.Fatal(err)
	}
	if err := o.p.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	o.wantActive(a.PendingShareSet)
	o.wantNothingLeft()
}

// TestEndsThatAreNoSuccess: however a TSS request ends, only a group with
// everything that was asked for is ready.
func TestEndsThatAreNoSuccess(t *testing.T) {
	ends := func(status string) func(*organisation, string) error {
		return func(o *organisation, id string) error {
			return o.vendor.ChangeRequest(id, sandbox.RequestChange{Status: status})
		}
	}
	ceremony := func(kind faults.Kind) faults.Fault {
		return faults.Fault{Operation: "cobo.ceremony", Kind: kind, Times: 1}
	}
	for name, tt := range map[string]struct {
		choose map[string]string
		fault  faults.Fault
		people func(*organisation, string) error
		class  provider.Class
		reason provider.Reason
	}{
		"rejected":                      {nil, ceremony(faults.Reject), nil, provider.Retryable, provider.ReasonPartyUnavailable},
		"generating failed":             {nil, ceremony(faults.Status), nil, provider.Retryable, provider.ReasonProviderError},
		"Success and the group is New":  {nil, ceremony(faults.LoseState), nil, provider.Retryable, provider.ReasonInvalidState},
		"cancelled by a person":         {nil, waitForPeople(), ends(sandbox.Success), provider.Retryable, provider.ReasonInvalidState},
		"rejected by a person":          {nil, waitForPeople(), ends(sandbox.KeyHolderConfirmationFailed), provider.Retryable, provider.ReasonPartyUnavailable},
		"another key on Ed25519":        {nil, wrongKey("ceremony", "ED25519"), nil, provider.Verification, provider.ReasonVerification},
		"another key on secp256k1":      {nil, wrongKey("ceremony", "SECP256K1"), nil, provider.Verification, provider.ReasonVerification},
		"cancelled, and the group gone": {map[string]string{assume.CoboAfterCancel: assume.GroupVanishes}, waitForPeople(), cancels, provider.Retryable, provider.ReasonInvalidState},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrganisation(t, tt.choose, nil)
			o.fail(tt.fault)
			a := o.attempt()
			s, err := o.open(&a)
			if err != nil {
				t.Fatal(err)
			}
			if tt.people != nil {
				if err := tt.people(o, requestOf(t, a)); err != nil {
					t.Fatal(err)
				}
			}
			_, err = o.await(s)
			o.wantErr(err, tt.class, tt.reason)
			o.fail()
			if err := o.p.Promote(t.Context(), a); err == nil {
				t.Error("promoted all the same")
			}
			o.wantActive(a.OldShareSet)
			if err := o.p.Discard(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			o.wantNothingLeft()
			o.rotate()
		})
	}
}

func wrongKey(operation, curve string) faults.Fault {
	return faults.Fault{Operation: "cobo." + operation, Kind: faults.WrongPublicKey, Curve: curve, Times: 1}
}

// cancels is a person who cancels in the Portal.
func cancels(o *organisation, id string) error {
	return o.restarted().p.cancelRequest(o.t.Context(), o.vault, id)
}

// TestUnknownStatusIsNoSuccess: it is waited for, and a person is told at once.
func TestUnknownStatusIsNoSuccess(t *testing.T) {
	for _, unknown := range []string{"Completed", "success", "S3cret; word", ""} {
		w := newWire(t, nil)
		w.groups(oldMain(), newOurs())
		w.answer(routeOneTSS, w.says(200, ourRequest(unknown)))
		ready, err := w.session(t, ourRefs()).Await(t.Context())
		if err != nil || ready.Ready || ready.WaitsFor == "" || strings.Contains(ready.WaitsFor, "S3cret") {
			t.Errorf("status %q: %+v, %v", unknown, ready, err)
		}
	}
	for _, unknown := range []string{groupUnavailable, "Deleted", ""} {
		w := newWire(t, nil)
		w.groups(oldMain(), with(newOurs(), func(g *group) { g.Status = unknown }))
		w.answer(routeOneTSS, w.says(200, ourRequest(requestSuccess)))
		ready, err := w.session(t, ourRefs()).Await(t.Context())
		if err != nil || ready.Ready || ready.WaitsFor == "" {
			t.Errorf("group status %q: %+v, %v", unknown, ready, err)
		}
	}
}

// session is that of the test's attempt with these references on record.
func (w *wire) session(t *testing.T, refs vendorRefs) provider.Session {
	t.Helper()
	s, err := w.p.Resume(t.Context(), pending(t, refs), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBlipsWhileWaiting: hours of approvals are not given up for a call that
// fails.
func TestBlipsWhileWaiting(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"hangs up": hangsUp, "500": unsigned(500, ""), "503": unsigned(503, "<html>"), "429": limited,
		"not JSON": newSigner().says(200, "hello"), "half a list": newSigner().says(200, `{"data":[{}]}`),
	} {
		for _, route := range []string{routeOneTSS, routeGroups, routeVault} {
			w := newWire(t, nil)
			w.groups(oldMain(), newOurs())
			w.answer(routeOneTSS, w.says(200, ourRequest(requestSuccess)))
			whole := w.answers[route]
			w.answer(route, answer)
			s := w.session(t, ourRefs())
			ready, err := s.Await(t.Context())
			if err != nil || ready.Ready || ready.CheckAgain < minPoll {
				t.Errorf("%s at %s: %+v, %v", name, route, ready, err)
			}
			if name == "429" && ready.CheckAgain != time.Minute {
				t.Errorf("asked to wait a minute, comes back after %s", ready.CheckAgain)
			}
			w.answer(route, whole)
			if ready, err = s.Await(t.Context()); err != nil || !ready.Ready {
				t.Errorf("afterwards: %+v, %v", ready, err)
			}
		}
	}
}

func limited(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "60")
	unsigned(429, "<html>")(w, r)
}

// newSigner signs with the key of every wire.
func newSigner() *wire { return &wire{key: wireKey} }

// TestContradictions are never ready, and never retried by themselves.
func TestContradictions(t *testing.T) {
	otherKeys := func(g *group) { g.Keys[0].RootPubkey = "xpubOther" }
	vaultOfOther := testVaultView()
	vaultOfOther.RootPubkeys = []rootKey{{Curve: "SECP256K1", RootPubkey: "xpubOther"}, {Curve: "ED25519", RootPubkey: edKey}}
	extra := changed(func(g *group) {
		g.Keys = append(g.Keys, rootKey{ShareGroup: "x", Curve: "SECP256R1", RootPubkey: "xpubR"})
	})
	for name, tt := range map[string]struct {
		vault  vault
		groups []group
		status string
	}{
		"failed, and the group is Valid":             {testVaultView(), []group{oldMain(), newOurs()}, requestGeneratingFailed},
		"not confirmed, and the group is Valid":      {testVaultView(), []group{oldMain(), newOurs()}, requestConfirmationFailed},
		"all agree, on other keys than on record":    {vaultOfOther, []group{with(oldMain(), otherKeys), with(newOurs(), otherKeys)}, requestSuccess},
		"a key for a curve that the vault has not":   {testVaultView(), []group{oldMain(), extra}, requestSuccess},
		"the old group itself":                       {testVaultView(), []group{with(oldMain(), func(g *group) { g.ID = newGroupID })}, requestSuccess},
		"a group that does not name its new shares":  {testVaultView(), []group{oldMain(), changed(func(g *group) { g.Keys[0].ShareGroup = "" })}, requestSuccess},
		"a Signing Group that is on the wrong nodes": {testVaultView(), []group{oldMain(), changed(func(g *group) { g.Holders = g.Holders[:1] })}, requestSuccess},
	} {
		w := newWire(t, nil)
		w.answer(routeVault, w.says(200, tt.vault))
		w.groups(tt.groups...)
		w.answer(routeOneTSS, w.says(200, ourRequest(tt.status)))
		ready, err := w.session(t, ourRefs()).Await(t.Context())
		if class, _ := provider.ClassOf(err); err == nil || class != provider.Verification || ready.Ready {
			t.Errorf("%s: %+v, %v", name, ready, err)
		}
	}
}

// TestHoldersOffline: a node that is offline is waited for, before a TSS request
// ends and after.
func TestHoldersOffline(t *testing.T) {
	o := newOrganisation(t, nil, nil)
	a := o.attempt()
	o.fail(waitForPeople())
	s, err := o.open(&a)
	if err != nil {
		t.Fatal(err)
	}
	refs, _, _ := readRefs(a.Refs)
	if err := o.vendor.SetNode(refs.Nodes[0], false); err != nil {
		t.Fatal(err)
	}
	o.p.now = func() time.Time { return time.Now().Add(time.Hour) }
	ready, err := s.Await(t.Context())
	if err != nil || ready.Ready || !strings.Contains(ready.WaitsFor, refs.Nodes[0]+" (offline)") || !strings.Contains(ready.WaitsFor, "since") {
		t.Errorf("%+v, %v", ready, err)
	}
	if err := o.vendor.ChangeRequest(requestOf(t, a), sandbox.RequestChange{Approve: true}); err != nil {
		t.Fatal(err)
	}
	if err := o.vendor.SetNode(refs.Nodes[0], true); err != nil {
		t.Fatal(err)
	}
	if _, err := o.await(s); err != nil {
		t.Fatal(err)
	}
	if err := o.vendor.SetNode(refs.Nodes[0], false); err != nil {
		t.Fatal(err)
	}
	ready, err = s.Await(t.Context())
	if err != nil || ready.Ready || !strings.Contains(ready.WaitsFor, refs.Nodes[0]+" (offline)") {
		t.Errorf("complete, and a node offline: %+v, %v", ready, err)
	}
	// The vault could not sign.
	o.wantErr(o.p.Promote(t.Context(), a), provider.Retryable, provider.ReasonPartyUnavailable)
	o.wantActive(a.OldShareSet)

	// And nothing is begun while a node that must take part is offline.
	if err := o.vendor.SetNode(refs.Nodes[0], true); err != nil {
		t.Fatal(err)
	}
	if err := o.p.Discard(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	next := o.attempt()
	o.fail(faults.Fault{Operation: "cobo.list_groups", Kind: faults.HolderOffline})
	_, err = o.open(&next)
	o.wantErr(err, provider.Retryable, provider.ReasonPartyUnavailable)
	if next.Refs.Vendor != nil {
		t.Error("something was recorded, so something was begun")
	}
	o.wantNothingLeft()
}

// TestPollingSlowsDown keeps to its bounds.
func TestPollingSlowsDown(t *testing.T) {
	last := time.Duration(0)
	for _, waited := range []time.Duration{-time.Hour, 0, time.Second, 20 * time.Second, time.Minute, 2 * time.Minute, time.Hour} {
		low, high := maxPoll, time.Duration(0)
		for range 200 {
			d := pollAfter(waited)
			low, high = min(low, d), max(high, d)
		}
		if low < minPoll || high > maxPoll || high < last {
			t.Errorf("after %s: from %s to %s", waited, low, high)
		}
		if waited >= time.Minute && low == high {
			t.Errorf("after %s: always %s", waited, low)
		}
		last = low
	}
}

// TestLateGroupList: the request says Success a moment before the group does.
func TestLateGroupList(t *testing.T) {
	w := newWire(t, nil)
	w.p.settle = settleTime
	now := time.Now()
	w.p.now = func() time.Time { return now }
	w.answer(routeOneTSS, w.says(200, ourRequest(requestSuccess)))
	oneKey := with(newOurs(), func(g *group) { g.Keys = g.Keys[:1] })
	for _, early := range [][]group{{oldMain(), freshOurs()}, {oldMain()}, {oldMain(), oneKey}, {}, {newOurs()}} {
		w.groups(early...)
		s := w.session(t, ourRefs())
		ready, err := s.Await(t.Context())
		if err != nil || ready.Ready || ready.CheckAgain != minPoll {
			t.Fatalf("%d groups: %+v, %v", len(early), ready, err)
		}
		w.groups(oldMain(), newOurs())
		if ready, err = s.Await(t.Context()); err != nil || !ready.Ready {
			t.Fatalf("%+v, %v", ready, err)
		}
		w.groups(early...)
		if _, err = s.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = now.Add(settleTime)
		if ready, err = s.Await(t.Context()); err == nil || ready.Ready {
			t.Errorf("%d groups for ever: %+v, %v", len(early), ready, err)
		}
	}
}

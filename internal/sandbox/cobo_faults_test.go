package sandbox

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// coboCalls has one call for each operation. Those that change something are
// made so that they would.
func (o *org) coboCalls() map[string]func() answered {
	o.t.Helper()
	main, g, spare := o.main(), o.prepared(), o.free()
	target := o.create("target", spare)
	o.faulty(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour})
	q := o.reshare(target, "")
	o.faulty()
	read := func(path string) func() answered {
		return func() answered { return o.call("GET", path, nil) }
	}
	groups := "/" + o.vault + "/key_share_holder_groups"
	return map[string]func() answered{
		"cobo.list_vaults":       read("?vault_type=Org-Controlled"),
		"cobo.get_vault":         read("/" + o.vault),
		"cobo.list_cobo_holders": func() answered { return o.callAt("GET", "/v2/wallets/mpc/cobo_key_share_holders", nil, now()) },
		"cobo.list_groups":       read(groups),
		"cobo.get_group":         read(groups + "/" + g.ID),
		"cobo.create_group":      func() answered { return o.tryCreate(newGroupBody("n", o.free())) },
		"cobo.upgrade_group":     func() answered { return o.upgrade(g.ID, "ConvertToSigningGroup") },
		"cobo.delete_group":      func() answered { return o.delete(main.ID) },
		"cobo.create_tss_request": func() answered {
			return o.tryReshare(o.main(), o.create("n", o.free()), "")
		},
		"cobo.list_tss_requests":  read("/" + o.vault + "/tss_requests?key_share_holder_group_id=" + target.ID),
		"cobo.get_tss_request":    read("/" + o.vault + "/tss_requests/" + q.ID),
		"cobo.cancel_tss_request": func() answered { return o.cancel(q) },
		"cobo.list_holders":       read("/" + o.vault + "/key_share_holders"),
		"cobo.get_holder":         read("/" + o.vault + "/key_share_holders/" + spare),
	}
}

// Every operation suffers the generic kinds, and its own refusals look like
// the vendor's.
func TestEveryCoboOperationFails(t *testing.T) {
	o := newOrg(t, Options{CoboNodes: 20})
	for operation, call := range o.coboCalls() {
		strike := func(f faults.Fault) answered {
			t.Helper()
			f.Operation, f.Times = operation, 1
			o.faulty(f)
			defer o.faulty()
			return call()
		}
		o.refused(500, 1000, strike(faults.Fault{Kind: faults.Status}))
		o.refused(400, 2029, strike(faults.Fault{Kind: faults.Status, Status: 400}))
		for _, status := range []int{429, 502, 503, 504} {
			a := strike(faults.Fault{Kind: faults.Status, Status: status, RetryAfter: 3})
			if a.status != status || a.header.Get("Retry-After") != "3" || json.Valid([]byte(a.body)) || a.header.Get("BIZ-RESP-SIGNATURE") != "" {
				t.Errorf("%s: %d: %+v", operation, status, a)
			}
		}
		requests := o.Stats().Requests[operation]
		if a := strike(faults.Fault{Kind: faults.LostRequest}); !broken(a) && a.status == 0 {
			t.Errorf("%s: lost request: %+v", operation, a)
		}
		if got := o.Stats().Requests[operation]; got <= requests {
			t.Errorf("%s: a lost request is not counted", operation)
		}
		start := time.Now()
		if a := strike(faults.Fault{Kind: faults.Latency, Delay: 20 * time.Millisecond}); a.err != nil || time.Since(start) < 20*time.Millisecond {
			t.Errorf("%s: latency: %+v after %v", operation, a, time.Since(start))
		}
	}
}

func TestRejections(t *testing.T) {
	o := newOrg(t, Options{CoboNodes: 20})
	calls := o.coboCalls()
	delete(calls, "cobo.create_tss_request") // holders reject that, later
	for operation, call := range calls {
		o.faulty(once(operation, faults.Reject))
		a := call()
		code := o.errorCode(a)
		read := a.status == 403 && code == 2025
		if changes := a.status == 400 && code == 2006; !read && !changes {
			t.Errorf("%s: %+v", operation, a)
		}
	}
}

// What was lost had its effect, or will have.
func TestLostReplies(t *testing.T) {
	o := newOrg(t, Options{})
	o.faulty(once("cobo.create_group", faults.LostReply))
	if a := o.tryCreate(newGroupBody("a", o.free())); !broken(a) || len(o.groups()) != 2 {
		t.Errorf("%+v, %d groups", a, len(o.groups()))
	}
	g := o.groups()[1]
	o.faulty(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.LateEffect, Delay: 20 * time.Millisecond, Times: 1})
	if a := o.tryReshare(o.main(), g, ""); !broken(a) {
		t.Errorf("%+v", a)
	}
	o.eventually("the late request", func() bool { return o.group(g.ID).Status == "Valid" })
	o.faulty(once("cobo.upgrade_group", faults.LostReply))
	if a := o.upgrade(g.ID, ""); !broken(a) || o.main().ID != g.ID {
		t.Errorf("%+v", a)
	}
	o.faulty(once("cobo.list_groups", faults.DropStream))
	if a := o.call("GET", "/"+o.vault+"/key_share_holder_groups", nil); !broken(a) || a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// Answers that say what is not so.
func TestLies(t *testing.T) {
	o := newOrg(t, Options{CoboNodes: 20})
	calls := o.coboCalls()
	lie := func(operation string, f faults.Fault) answered {
		f.Operation, f.Times = operation, 1
		o.faulty(f)
		return calls[operation]()
	}
	lost := faults.Fault{Kind: faults.LoseState}
	for _, operation := range []string{"cobo.get_vault", "cobo.get_group", "cobo.get_tss_request", "cobo.get_holder"} {
		o.refused(404, 2028, lie(operation, lost))
	}
	for _, operation := range []string{"cobo.list_vaults", "cobo.list_groups", "cobo.list_tss_requests", "cobo.list_holders"} {
		var list listed[any]
		o.want(200, lie(operation, lost), &list)
		if len(list.Data) != 0 || list.Pagination.Total != 0 {
			t.Errorf("%s: %+v", operation, list)
		}
	}
	before := o.groups()
	var g groupReply
	o.want(201, lie("cobo.create_group", lost), &g)
	if len(o.groups()) != len(before) || g.Status != "New" {
		t.Errorf("a lost group: %+v", g)
	}
	o.want(200, lie("cobo.upgrade_group", lost), &g)
	if g.Type != "MainGroup" || o.group(g.ID).Type != "SigningGroup" {
		t.Errorf("a lost upgrade: %+v", g)
	}
	var q requestReply
	o.want(201, lie("cobo.cancel_tss_request", lost), &q)
	if q.Status != "Success" || o.tss(q.ID).Status != cobo.PendingKeyHolderConfirmation {
		t.Errorf("a lost cancel: %+v", q)
	}
	o.want(201, calls["cobo.cancel_tss_request"](), nil)
	o.want(200, calls["cobo.upgrade_group"](), nil)
	o.want(201, lie("cobo.delete_group", lost), nil)
	if len(o.groups()) != len(before) || len(o.Stats().Cobo.Vaults[o.vault].Deleted) != 0 {
		t.Error("a lost delete deleted")
	}

	var vault vaultReply
	o.want(200, lie("cobo.get_vault", faults.Fault{Kind: faults.WrongPublicKey, Curve: "SECP256K1"}), &vault)
	main := o.main()
	if vault.RootPubkeys[0].RootPubkey == main.Keys[0].RootPubkey || vault.RootPubkeys[1].RootPubkey != main.Keys[1].RootPubkey {
		t.Errorf("a wrong key on the first curve: %+v", vault)
	}
	o.want(200, lie("cobo.get_group", faults.Fault{Kind: faults.WrongPublicKey}), &g)
	if g.Keys[0].RootPubkey != main.Keys[0].RootPubkey || g.Keys[1].RootPubkey == main.Keys[1].RootPubkey {
		t.Errorf("a wrong key on the second curve: %+v", g)
	}
	o.want(200, lie("cobo.get_group", faults.Fault{Kind: faults.HolderOffline}), &g)
	if !g.Holders[0].Online || g.Holders[1].Online {
		t.Errorf("offline: %+v", g.Holders)
	}
	if g := o.group(g.ID); !g.Holders[1].Online {
		t.Error("it stays offline")
	}
}

// What the holders and the nodes can do to a TSS request.
func TestCeremonyFaults(t *testing.T) {
	for _, c := range []struct {
		name            string
		operation       string
		fault           faults.Fault
		status, groupIs string
	}{
		{"holders reject", "cobo.create_tss_request", faults.Fault{Kind: faults.Reject}, cobo.KeyHolderConfirmationFailed, "New"},
		{"nodes reject", "cobo.ceremony", faults.Fault{Kind: faults.Reject}, cobo.KeyHolderConfirmationFailed, "New"},
		{"generating fails", "cobo.ceremony", faults.Fault{Kind: faults.Status}, cobo.KeyGeneratingFailed, "New"},
		{"the group stays New", "cobo.create_tss_request", faults.Fault{Kind: faults.LoseState}, cobo.Success, "New"},
		{"the nodes forget", "cobo.ceremony", faults.Fault{Kind: faults.LoseState}, cobo.Success, "New"},
		{"another key", "cobo.ceremony", faults.Fault{Kind: faults.WrongPublicKey}, cobo.Success, "Valid"},
		{"slow nodes", "cobo.ceremony", faults.Fault{Kind: faults.Latency, Delay: 20 * time.Millisecond}, cobo.Success, "Valid"},
		{"slow people", "cobo.create_tss_request", faults.Fault{Kind: faults.ApprovalDelay, Delay: 20 * time.Millisecond}, cobo.Success, "Valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrg(t, Options{})
			c.fault.Operation = c.operation
			o.faulty(c.fault)
			start := time.Now()
			q := o.reshare(o.create("a", o.free()), "")
			o.await(q, c.status)
			if got := o.group(q.Target).Status; got != c.groupIs {
				t.Errorf("the group is %s", got)
			}
			if c.fault.Delay > 0 && time.Since(start) < c.fault.Delay {
				t.Errorf("it took %v", time.Since(start))
			}
			if got := o.truth(); !got.CanSign || got.OldShareSigns {
				t.Errorf("%+v", got)
			}
			if got := o.Stats().Cobo.Ceremonies.Running; got != 0 {
				t.Errorf("%d running", got)
			}
		})
	}
}

// Hours of approval, and what people decide in the end.
func TestApprovalTakesHours(t *testing.T) {
	o := newOrg(t, Options{})
	o.faulty(
		faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: 5 * time.Hour},
		faults.Fault{Operation: "cobo.ceremony", Kind: faults.WrongPublicKey, Curve: "SECP256K1", Times: 1},
	)
	q := o.reshare(o.create("a", o.free()), "")
	decide := func(q requestReply, change string, status int) {
		t.Helper()
		o.want(status, o.do("PATCH", "/_sandbox/cobo/tss_requests/"+q.ID, "", change), nil)
	}
	if got := o.tss(q.ID).Status; got != cobo.PendingKeyHolderConfirmation {
		t.Errorf("status %s", got)
	}
	decide(q, `{"approve":true}`, 204)
	o.await(q, cobo.Success)
	if g, main := o.group(q.Target), o.main(); g.Keys[0].RootPubkey == main.Keys[0].RootPubkey || g.Keys[1].RootPubkey != main.Keys[1].RootPubkey {
		t.Error("the fault of the nodes was lost over the approval")
	}
	decide(q, `{"approve":true}`, 400) // it has ended

	rejected := o.reshare(o.create("b", o.free()), "")
	decide(rejected, `{"status":"KeyHolderConfirmationFailed"}`, 204)
	if got := o.tss(rejected.ID).Status; got != cobo.KeyHolderConfirmationFailed {
		t.Errorf("status %s", got)
	}
	odd := o.reshare(o.create("c", o.free()), "")
	decide(odd, `{"status":"AwaitingAudit"}`, 204)
	if got := o.tss(odd.ID).Status; got != "AwaitingAudit" {
		t.Errorf("status %s", got)
	}
	decide(requestReply{ID: stranger}, `{"approve":true}`, 400)
}

func TestANodeThatIsOfflineHoldsTheRequestUp(t *testing.T) {
	o := newOrg(t, Options{Vaults: 2})
	nodes := o.info.Cobo.TSSNodes
	var list listed[vaultReply]
	o.want(200, o.call("GET", "?vault_type=Org-Controlled", nil), &list)
	other := *o
	other.vault = list.Data[1].ID
	for name, c := range map[string]struct{ takes, offline string }{
		"one that gives": {nodes[2], nodes[0]},
		"one that takes": {nodes[3], nodes[3]},
	} {
		g := o.create("a", c.takes)
		o.online(c.offline, false)
		q := o.reshare(g, "")
		// What nothing holds up is done, again and again.
		for range 3 {
			free := other.create("b", nodes[2])
			other.await(other.reshare(free, ""), cobo.Success)
			other.want(201, other.delete(free.ID), nil)
		}
		if got := o.tss(q.ID).Status; got != cobo.PendingKeyHolderConfirmation {
			t.Errorf("%s: status %s", name, got)
		}
		for _, h := range slices.Concat(o.main().Holders, o.group(g.ID).Holders) {
			if h.Online != (h.NodeID != c.offline) {
				t.Errorf("%s: %+v", name, h)
			}
		}
		o.online(c.offline, true)
		o.await(q, cobo.Success)
	}
	o.want(400, o.do("PATCH", "/_sandbox/cobo/nodes/coboX", "", `{"online":true}`), nil)
}

func TestApprovalHoldsUpOtherCalls(t *testing.T) {
	o := newOrg(t, Options{})
	old, g := o.main(), o.prepared()
	o.faulty(faults.Fault{Operation: "cobo.upgrade_group", Kind: faults.ApprovalDelay, Delay: 20 * time.Millisecond, Times: 1})
	var answer groupReply
	o.want(200, o.upgrade(g.ID, "ConvertToSigningGroup"), &answer)
	if answer.Type != "SigningGroup" {
		t.Errorf("%+v", answer)
	}
	o.want(200, o.upgrade(g.ID, "ConvertToSigningGroup"), nil) // repeated while it waits
	o.eventually("the upgrade", func() bool { return o.main().ID == g.ID })
	if got := o.Stats().Cobo.Vaults[o.vault].Promotions[g.ID]; got.Calls != 2 || got.Effects != 1 {
		t.Errorf("%+v", got)
	}
	o.faulty(faults.Fault{Operation: "cobo.delete_group", Kind: faults.ApprovalDelay, Delay: 20 * time.Millisecond})
	o.want(201, o.delete(old.ID), nil)
	if got := o.truth(); !got.Retiring {
		t.Errorf("%+v", got)
	}
	o.eventually("the delete", func() bool { return !o.truth().Retiring })
}

// An upgrade that waits for people is void once its group is deleted.
func TestDeletedBeforeItsUpgradeTakesEffect(t *testing.T) {
	o := newOrg(t, Options{})
	main, g, later := o.main(), o.prepared(), o.create("later", o.free())
	o.faulty(
		faults.Fault{Operation: "cobo.upgrade_group", Kind: faults.ApprovalDelay, Delay: 20 * time.Millisecond},
		faults.Fault{Operation: "cobo.delete_group", Kind: faults.ApprovalDelay, Delay: 100 * time.Millisecond},
	)
	o.want(200, o.upgrade(g.ID, ""), nil)
	if err := o.Cobo().ChangeGroup(g.ID, cobo.GroupChange{Delete: true}); err != nil {
		t.Fatal(err)
	}
	o.want(201, o.delete(later.ID), nil) // tells when the upgrade's time is over
	o.eventually("the later delete", func() bool { return len(o.groups()) == 1 })
	if got := o.truth(); got.ActiveShareSet != main.ID || !got.CanSign || got.Generation != 0 {
		t.Errorf("%+v", got)
	}
}

func TestFaultsOfOneVault(t *testing.T) {
	o := newOrg(t, Options{Vaults: 2})
	var list listed[vaultReply]
	o.want(200, o.call("GET", "?vault_type=Org-Controlled", nil), &list)
	o.faulty(faults.Fault{Operation: "cobo.get_vault", Kind: faults.Status, Wallet: list.Data[1].ID})
	o.want(200, o.call("GET", "/"+list.Data[0].ID, nil), nil)
	o.refused(500, 1000, o.call("GET", "/"+list.Data[1].ID, nil))
}

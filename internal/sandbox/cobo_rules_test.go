package sandbox

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
)

func TestCoboAuthentication(t *testing.T) {
	o := newOrg(t, Options{})
	const path = "/v2/wallets/mpc/cobo_key_share_holders"
	o.want(200, o.callAt("GET", path, nil, now()), nil)
	for name, change := range map[string]func(*http.Request){
		"no key":          func(r *http.Request) { r.Header.Del("BIZ-API-KEY") },
		"another key":     func(r *http.Request) { r.Header.Set("BIZ-API-KEY", o.info.Cobo.ResponsePublicKey) },
		"no nonce":        func(r *http.Request) { r.Header.Del("BIZ-API-NONCE") },
		"no signature":    func(r *http.Request) { r.Header.Del("BIZ-API-SIGNATURE") },
		"not a signature": func(r *http.Request) { r.Header.Set("BIZ-API-SIGNATURE", "signed") },
	} {
		r := o.request("GET", path, "", nil)
		r.Header.Set("BIZ-API-KEY", o.info.Cobo.APIKey)
		r.Header.Set("BIZ-API-NONCE", now())
		r.Header.Set("BIZ-API-SIGNATURE", strings.Repeat("0", 128))
		change(r)
		a := o.send(r)
		if a.status != 401 || o.errorCode(a) != 2024 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	// A call that is refused has no effect.
	r := o.request("POST", "/v2/wallets/mpc/vaults/"+o.vault+"/key_share_holder_groups", "", newGroupBody("x", o.free()))
	if a := o.send(r); a.status != 401 || len(o.groups()) != 1 {
		t.Errorf("%+v, %d groups", a, len(o.groups()))
	}
}

func TestUnknownEndpoints(t *testing.T) {
	o := newOrg(t, Options{})
	for _, c := range [][2]string{{"GET", "/v2/wallets"}, {"PATCH", "/v2/wallets/mpc/vaults"}, {"DELETE", "/v2/wallets/mpc/vaults/" + o.vault}, {"GET", "/v2/wallets/mpc/vaults/"}} {
		o.refused(404, 2021, o.callAt(c[0], c[1], nil, now()))
	}
	o.refused(404, 2028, o.call("GET", "/"+stranger, nil))
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+stranger, nil))
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/tss_requests/"+stranger, nil))
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/tss_requests?key_share_holder_group_id="+stranger, nil))
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holders/"+stranger, nil))
	o.refused(404, 2028, o.upgrade(stranger, ""))
	o.refused(404, 2028, o.delete(stranger))
	o.refused(404, 2028, o.cancel(requestReply{ID: stranger}))
}

func now() string { return millis(time.Now()) }

func TestListParameters(t *testing.T) {
	o := newOrg(t, Options{Vaults: 12})
	var list listed[vaultReply]
	o.want(200, o.call("GET", "?vault_type=Org-Controlled", nil), &list)
	if len(list.Data) != 10 || list.Pagination.Total != 12 || list.Pagination.After == "" {
		t.Errorf("%d of %+v", len(list.Data), list.Pagination)
	}
	first := list.Data[9].ID
	o.want(200, o.call("GET", "?vault_type=Org-Controlled&after="+list.Pagination.After, nil), &list)
	if len(list.Data) != 2 || list.Pagination.After != "" || list.Pagination.Before == "" || list.Data[0].ID == first {
		t.Errorf("%d of %+v", len(list.Data), list.Pagination)
	}
	o.want(200, o.call("GET", "?vault_type=User-Controlled&project_id=p", nil), &list)
	if len(list.Data) != 0 {
		t.Errorf("%+v", list)
	}
	for query, code := range map[string]int{
		"": 2003, "?vault_type=All": 2006, "?vault_type=Org-Controlled&project_id=p": 2006, "?vault_type=User-Controlled": 2003,
		"?vault_type=Org-Controlled&limit=51": 2006, "?vault_type=Org-Controlled&before=infinity&after=x": 2006,
	} {
		o.refused(400, code, o.call("GET", query, nil))
	}
	o.refused(400, 2003, o.call("GET", "/"+o.vault+"/tss_requests", nil))
	o.refused(400, 2006, o.call("GET", "/"+o.vault+"/key_share_holder_groups?key_share_holder_group_type=Group", nil))
	var groups listed[groupReply]
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holder_groups?key_share_holder_group_type=SigningGroup", nil), &groups)
	if len(groups.Data) != 0 {
		t.Errorf("%+v", groups)
	}
}

func TestHolders(t *testing.T) {
	o := newOrg(t, Options{})
	var cobos []holderReply
	o.want(200, o.callAt("GET", "/v2/wallets/mpc/cobo_key_share_holders", nil, now()), &cobos)
	main := o.main()
	if len(cobos) != 2 || !slices.ContainsFunc(cobos, func(h holderReply) bool { return h.NodeID == main.Holders[0].NodeID }) {
		t.Errorf("%+v", cobos)
	}
	g := o.create("second", o.free())
	var holders listed[holderReply]
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holders", nil), &holders)
	if len(holders.Data) != 3 || holders.Pagination.Total != 3 {
		t.Errorf("%+v", holders)
	}
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holders?key_share_holder_group_ids="+g.ID+","+stranger, nil), &holders)
	if len(holders.Data) != 2 || holders.Data[1].NodeID != g.Holders[1].NodeID {
		t.Errorf("%+v", holders)
	}
	var one holderReply
	o.want(200, o.call("GET", "/"+o.vault+"/key_share_holders/"+g.Holders[1].NodeID, nil), &one)
	if one.Name != "second" || one.Type != "API" {
		t.Errorf("%+v", one)
	}
}

func TestCreateGroupRefuses(t *testing.T) {
	o := newOrg(t, Options{})
	node, taken := o.free(), o.main().Holders[1].NodeID
	holder := func(more map[string]any) []map[string]any {
		h := map[string]any{"name": "n", "type": "API", "tss_node_id": node, "signer": true}
		maps.Copy(h, more)
		return []map[string]any{h}
	}
	for name, c := range map[string]struct {
		field string
		value any
		code  int
	}{
		"no type":         {"key_share_holder_group_type", nil, 2003},
		"no participants": {"participants", nil, 2003},
		"no threshold":    {"threshold", nil, 2003},
		"no holders":      {"key_share_holders", nil, 2003},
		"unknown type":    {"key_share_holder_group_type", "Group", 2006},
		"1 of 2":          {"threshold", 1, 2006},
		"2 of 4":          {"participants", 4, 2006},
		"too few holders": {"participants", 3, 2006},
		"a text":          {"participants", "2", 2006},
		"a phone":         {"key_share_holders", holder(map[string]any{"type": "Mobile"}), 2006},
		"an unknown node": {"key_share_holders", holder(map[string]any{"tss_node_id": "coboX"}), 2006},
		"a node twice":    {"key_share_holders", append(holder(nil), holder(nil)...), 2006},
		"a busy node":     {"key_share_holders", holder(map[string]any{"tss_node_id": taken}), 2006},
		"Cobo's own node": {"key_share_holders", holder(map[string]any{"tss_node_id": o.main().Holders[0].NodeID}), 2006},
	} {
		body := newGroupBody("n", node)
		if c.value == nil {
			delete(body, c.field)
		} else {
			body[c.field] = c.value
		}
		a := o.tryCreate(body)
		if a.status != 400 || o.errorCode(a) != c.code {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if n := len(o.groups()); n != 1 {
		t.Errorf("%d groups", n)
	}
	o.refused(400, 2006, o.call("POST", "/"+o.vault+"/key_share_holder_groups", "not JSON"))

	// Nothing is idempotent: the same call makes another group, were it not for
	// the node.
	first := o.create("n", node)
	o.refused(400, 2006, o.tryCreate(newGroupBody("n", node)))
	if second := o.create("n", o.free()); second.ID == first.ID {
		t.Error("the same group twice")
	}
	// A node may serve many vaults.
	many := newOrg(t, Options{Vaults: 2, CoboNodes: 2})
	var list listed[vaultReply]
	many.want(200, many.call("GET", "?vault_type=Org-Controlled", nil), &list)
	for _, v := range list.Data {
		many.vault = v.ID
		many.create("n", many.free())
	}
}

func TestCreateTSSRequestRefuses(t *testing.T) {
	o := newOrg(t, Options{CoboPace: time.Hour})
	main, g, other := o.main(), o.create("a", o.info.Cobo.TSSNodes[1]), o.create("b", o.info.Cobo.TSSNodes[2])
	cobo, server := main.Holders[0].NodeID, main.Holders[1].NodeID
	valid := func() map[string]any {
		return map[string]any{"type": "KeyGenFromKeyGroup", "target_key_share_holder_group_id": g.ID,
			"source_key_share_holder_group": map[string]any{"key_share_holder_group_id": main.ID, "tss_node_ids": []string{cobo, server}}}
	}
	source := func(id string, nodes ...string) map[string]any {
		return map[string]any{"key_share_holder_group_id": id, "tss_node_ids": nodes}
	}
	for name, c := range map[string]struct {
		field        string
		value        any
		status, code int
	}{
		"no type":              {"type", nil, 400, 2003},
		"no target":            {"target_key_share_holder_group_id", nil, 400, 2003},
		"no source":            {"source_key_share_holder_group", nil, 400, 2003},
		"unknown type":         {"type", "Refresh", 400, 2006},
		"a number":             {"type", 1, 400, 2006},
		"a new root":           {"type", "KeyGen", 400, 2006},
		"recovery from main":   {"type", "Recovery", 400, 2006},
		"unknown target":       {"target_key_share_holder_group_id", stranger, 404, 2028},
		"unknown source":       {"source_key_share_holder_group", source(stranger), 404, 2028},
		"target is main":       {"target_key_share_holder_group_id", main.ID, 400, 2006},
		"source is new":        {"source_key_share_holder_group", source(other.ID), 400, 2006},
		"below the threshold":  {"source_key_share_holder_group", source(main.ID, cobo), 400, 2006},
		"without Cobo's":       {"source_key_share_holder_group", source(main.ID, server, server), 400, 2006},
		"the target's holders": {"source_key_share_holder_group", source(main.ID, cobo, g.Holders[1].NodeID), 400, 2006},
	} {
		body := valid()
		if c.value == nil {
			delete(body, c.field)
		} else {
			body[c.field] = c.value
		}
		a := o.call("POST", "/"+o.vault+"/tss_requests", body)
		if a.status != c.status || o.errorCode(a) != c.code {
			t.Errorf("%s: %+v", name, a)
		}
	}
	o.want(201, o.call("POST", "/"+o.vault+"/tss_requests", valid()), nil)
	o.refused(400, 2006, o.call("POST", "/"+o.vault+"/tss_requests", valid())) // one is running
	o.refused(400, 2006, o.delete(g.ID))
	o.want(201, o.tryReshare(main, other, ""), nil) // for another group there may be two
	if got := o.Stats().Cobo.Vaults[o.vault]; got.TSSRequests != 2 || got.PeakTSSRequests != 2 {
		t.Errorf("%+v", got)
	}
}

func TestUpgradeAndDeleteRefuse(t *testing.T) {
	o := newOrg(t, Options{})
	main, g := o.main(), o.create("a", o.free())
	o.refused(400, 2006, o.upgrade(g.ID, "")) // New
	o.refused(400, 2006, o.upgrade(g.ID, "Keep"))
	o.refused(400, 2006, o.delete(main.ID))
	for body, code := range map[string]int{`{}`: 2003, `{"update_key_share_holder_group_action":"Delete"}`: 2006, `[]`: 2006} {
		o.refused(400, code, o.call("PUT", "/"+o.vault+"/key_share_holder_groups/"+g.ID, body))
	}
	o.await(o.reshare(g, ""), cobo.Success)
	o.want(200, o.upgrade(g.ID, "ConvertToSigningGroup"), nil)
	o.refused(400, 2006, o.upgrade(g.ID, "")) // Main already
	o.refused(400, 2006, o.delete(g.ID))      // Main
	// The converted group may become Main again: a person's way back.
	o.want(200, o.upgrade(main.ID, "ConvertToSigningGroup"), nil)
	if got := o.truth(); !got.CanSign || got.ActiveShareSet != main.ID || got.Generation != 2 {
		t.Errorf("%+v", got)
	}
}

func TestCancel(t *testing.T) {
	o := newOrg(t, Options{CoboPace: time.Hour})
	g := o.create("a", o.free())
	q := o.reshare(g, "")
	var cancelled requestReply
	o.want(201, o.cancel(q), &cancelled)
	if cancelled.Status != "Success" || o.tss(q.ID).Status != "Success" || o.group(g.ID).Status != "New" {
		t.Errorf("%+v, group %+v", cancelled, o.group(g.ID))
	}
	o.refused(400, 2006, o.cancel(q)) // it has ended
	o.refused(400, 2006, o.upgrade(g.ID, ""))
	if got := o.Stats().Cobo.Ceremonies; got.Running != 0 || got.Opened != 1 {
		t.Errorf("%+v", got)
	}
	o.want(201, o.delete(g.ID), nil)
}

// Whenever a cancel comes, it ends the request or is refused because the key
// was made.
func TestCancelAtAnyMoment(t *testing.T) {
	o := newOrg(t, Options{CoboPace: 200 * time.Microsecond})
	for i := range 60 {
		g := o.create("a", o.free())
		q := o.reshare(g, "")
		for range i % 15 {
			o.tss(q.ID)
		}
		want := "New"
		if a := o.cancel(q); a.status != 201 {
			o.refused(400, 2006, a)
			want = "Valid"
		}
		if got := o.group(g.ID); got.Status != want || (len(got.Keys) == 0) != (want == "New") || o.tss(q.ID).Status != "Success" {
			t.Fatalf("want %s: %+v", want, got)
		}
		o.want(201, o.delete(g.ID), nil)
	}
	if got := o.Stats().Cobo.Ceremonies.Running; got != 0 {
		t.Errorf("%d running", got)
	}
}

// A source that is invalidated under a running request gives no key.
func TestSourceVanishes(t *testing.T) {
	o := newOrg(t, Options{})
	first, node := o.prepared(), o.free()
	o.online(node, false) // holds the request up
	late := o.reshare(o.create("late", node), "")
	o.want(200, o.upgrade(first.ID, "Invalidate"), nil)
	o.online(node, true)
	o.await(late, cobo.KeyGeneratingFailed)
	if got := o.group(late.Target); got.Status != "New" || len(got.Keys) != 0 {
		t.Errorf("%+v", got)
	}
}

// Polling sees its statuses in their order, and may miss some; that there are
// four is proven by webhooks.
func TestMovesThroughItsStatuses(t *testing.T) {
	o := newOrg(t, Options{CoboPace: 10 * time.Millisecond})
	q := o.reshare(o.create("a", o.free()), "")
	order := []string{cobo.PendingKeyHolderConfirmation, cobo.MPCProcessing, cobo.KeyGenerating, cobo.Success}
	last := slices.Index(order, q.Status)
	o.eventually("the end", func() bool {
		next := slices.Index(order, o.tss(q.ID).Status)
		if next < last {
			t.Fatalf("%s after %s", order[max(0, next)], order[last])
		}
		last = next
		return order[next] == cobo.Success
	})
}

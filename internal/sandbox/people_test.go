package sandbox

import (
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
)

// make posts what a person makes and returns its id.
func (o *org) make(path string, body any) string {
	o.t.Helper()
	var made struct{ ID string }
	o.want(201, o.do("POST", "/_sandbox/cobo/vaults/"+o.vault+path, "", body), &made)
	return made.ID
}

func TestAPersonMakesAGroup(t *testing.T) {
	o := newOrg(t, Options{})
	id := o.make("/groups", `{"holders":[
		{"name":"Cobo","type":"Cobo","tss_node_id":"`+o.main().Holders[0].NodeID+`","signer":true},
		{"name":"Ada's phone","type":"Mobile","tss_node_id":"coboPhone","status":"Changed"}]}`)
	g := o.group(id)
	if g.Type != "SigningGroup" || g.Status != "Valid" || g.Threshold != 2 || len(g.Keys) != 2 {
		t.Errorf("%+v", g)
	}
	if phone := g.Holders[1]; phone.Type != "Mobile" || phone.Online || phone.Status != "Changed" {
		t.Errorf("%+v", phone)
	}
	o.online("coboPhone", true)
	if !o.group(id).Holders[1].Online {
		t.Error("the phone stays offline")
	}
	// It is nobody's attempt, and a rotation leaves it alone.
	if got := o.truth(); len(got.PendingShareSets) != 0 || got.OldShareSigns || got.Retiring {
		t.Errorf("%+v", got)
	}
	old := o.main()
	o.want(200, o.upgrade(o.prepared().ID, ""), nil)
	if got := o.group(id); got.Status != "Valid" {
		t.Errorf("%+v", got)
	}
	if got := o.truth(); !got.CanSign || got.OldShareSigns {
		t.Errorf("%+v", got)
	}
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+old.ID, nil))

	odd := o.make("/groups", `{"type":"AuditGroup","holders":[{"name":"x","type":"HSM","tss_node_id":"coboHSM"}]}`)
	if got := o.group(odd); got.Type != "AuditGroup" || got.Holders[0].Type != "HSM" {
		t.Errorf("%+v", got)
	}
	o.want(400, o.do("POST", "/_sandbox/cobo/vaults/nobody/groups", "", `{"holders":[{"tss_node_id":"x"}]}`), nil)
	o.want(400, o.do("POST", "/_sandbox/cobo/vaults/"+o.vault+"/groups", "", `{}`), nil)
	o.want(400, o.do("POST", "/_sandbox/cobo/vaults/"+o.vault+"/groups", "", `{"kind":"x"}`), nil)
}

func TestAPersonChangesAGroup(t *testing.T) {
	o := newOrg(t, Options{})
	change := func(id, body string, status int) {
		t.Helper()
		o.want(status, o.do("PATCH", "/_sandbox/cobo/groups/"+id, "", body), nil)
	}
	main := o.main()
	change(main.ID, `{"status":"Unavailable"}`, 204)
	if got := o.group(main.ID); got.Status != "Unavailable" || got.Type != "MainGroup" {
		t.Errorf("%+v", got)
	}
	if got := o.truth(); got.CanSign || !got.Recoverable || got.ActiveShareSet != "" {
		t.Errorf("%+v", got)
	}
	o.refused(400, 2006, o.tryReshare(main, o.create("a", o.info.Cobo.TSSNodes[1]), ""))
	change(main.ID, `{"status":"Valid"}`, 204)

	g := o.prepared()
	change(g.ID, `{"type":"AuditGroup"}`, 204)
	o.refused(400, 2006, o.upgrade(g.ID, ""))
	change(g.ID, `{"type":"SigningGroup"}`, 204)
	// A rotation by hand: the one call was refused.
	change(g.ID, `{"upgrade":"ConvertToSigningGroup"}`, 204)
	if got := o.truth(); !got.CanSign || got.ActiveShareSet != g.ID || got.Generation != 1 || !got.Retiring {
		t.Errorf("%+v", got)
	}
	if got := o.Stats().Cobo.Vaults[o.vault].Promotions[g.ID]; got.Calls != 1 || got.Effects != 1 {
		t.Errorf("%+v", got)
	}
	change(main.ID, `{"delete":true}`, 204)
	if got := o.truth(); got.Retiring || got.OldShareSigns || len(o.Stats().Cobo.Vaults[o.vault].Deleted) != 0 {
		t.Errorf("%+v", got)
	}
	change(stranger, `{"delete":true}`, 400)
}

func TestAPersonMakesATSSRequest(t *testing.T) {
	o := newOrg(t, Options{})
	main, g := o.main(), o.create("a", o.free())
	body := map[string]string{"source": main.ID, "target": g.ID, "description": "by hand"}
	id := o.make("/tss_requests", body)
	if got := o.tss(id); got.Type != "KeyGenFromKeyGroup" || got.Description != "by hand" {
		t.Errorf("%+v", got)
	}
	o.await(requestReply{ID: id}, cobo.Success)
	o.want(400, o.do("POST", "/_sandbox/cobo/vaults/"+o.vault+"/tss_requests", "", body), nil)
	o.want(400, o.do("POST", "/_sandbox/cobo/vaults/"+stranger+"/tss_requests", "", body), nil)
}

func TestCoboInfo(t *testing.T) {
	o := newOrg(t, Options{CoboNodes: 7})
	var info Info
	o.want(200, o.do("GET", "/_sandbox/info", "", nil), &info)
	if info.Cobo.BaseURL != o.info.Dynamic.BaseURL+"/v2" || len(info.Cobo.APISecret) != 64 || info.Cobo.APIKey != o.info.Cobo.APIKey ||
		len(info.Cobo.TSSNodes) != 7 || !slices.Equal(info.Cobo.TSSNodes, o.info.Cobo.TSSNodes) {
		t.Errorf("%+v", info.Cobo)
	}
	if _, err := New(Options{Vaults: -1}); err == nil {
		t.Error("a negative number of vaults was accepted")
	}
	if _, err := New(Options{Vaults: 1, CoboPace: -time.Second}); err == nil {
		t.Error("a negative pace was accepted")
	}
	// Without vaults there is still an organisation.
	empty := newRig(t, Options{})
	if len(empty.info.Cobo.TSSNodes) != 4 || len(empty.State()) != 2 {
		t.Errorf("%+v", empty.info.Cobo)
	}
}

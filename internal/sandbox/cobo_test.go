package sandbox

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

func TestNewVault(t *testing.T) {
	o := newOrg(t, Options{Vaults: 3})
	var vault vaultReply
	o.want(200, o.call("GET", "/"+o.vault, nil), &vault)
	if vault.Type != "Org-Controlled" || vault.Name == "" || vault.Created == 0 || len(vault.RootPubkeys) != 2 {
		t.Fatalf("%+v", vault)
	}
	main := o.main()
	if main.Participants != 2 || main.Threshold != 2 || len(main.Holders) != 2 || len(main.Keys) != 2 {
		t.Fatalf("%+v", main)
	}
	for i, curve := range []string{"SECP256K1", "ED25519"} {
		root, key := vault.RootPubkeys[i], main.Keys[i]
		if root.Curve != curve || key.Curve != curve || root.RootPubkey != key.RootPubkey || len(key.ID) != 20 {
			t.Errorf("vault %+v, group %+v", root, key)
		}
		if !strings.HasPrefix(root.RootPubkey, "xpub661MyMwAqRb") {
			t.Errorf("root key %s", root.RootPubkey)
		}
	}
	types := []string{}
	for _, h := range main.Holders {
		types = append(types, h.Type)
		if !h.Online || !h.Signer || h.Status != "Valid" || !strings.HasPrefix(h.NodeID, "cobo") {
			t.Errorf("%+v", h)
		}
	}
	if !slices.Equal(types, []string{"Cobo", "API"}) || !slices.Contains(o.info.Cobo.TSSNodes, main.Holders[1].NodeID) {
		t.Errorf("holders %+v", main.Holders)
	}
	state := o.truth()
	want := "ED25519:" + vault.RootPubkeys[1].RootPubkey + ";SECP256K1:" + vault.RootPubkeys[0].RootPubkey
	if state.Provider != "cobo" || state.PublicKey != want || state.ActiveShareSet != main.ID || !state.CanSign ||
		!state.Recoverable || state.OldShareSigns || state.Retiring || state.Generation != 0 || len(state.PendingShareSets) != 0 {
		t.Errorf("%+v", state)
	}
	if all := o.State(); len(all) != 5 || all[0].Provider != "dynamic" || all[4].Provider != "cobo" {
		t.Errorf("%d states", len(all))
	}
}

// The daemon's own order, several times over: the old Main Group is kept as a
// Signing Group and deleted in the end.
func TestVaultRotation(t *testing.T) {
	o := newOrg(t, Options{})
	before := o.truth()
	for generation := 1; generation <= 5; generation++ {
		old, attempt := o.main(), uuid.NewString()
		g := o.create(attempt, o.free())
		if g.Status != "New" || len(g.Keys) != 0 || len(g.Holders) != 2 || g.Holders[0].Type != "Cobo" || g.Holders[1].Name != attempt {
			t.Fatalf("%+v", g)
		}
		if got := o.truth(); !slices.Equal(got.PendingShareSets, []string{g.ID}) {
			t.Fatalf("pending %+v", got)
		}
		q := o.reshare(g, "rotation "+attempt)
		if q.Status != "PendingKeyHolderConfirmation" || q.Type != "KeyGenFromKeyGroup" || q.Target != g.ID || q.Source.ID != old.ID ||
			q.Description != "rotation "+attempt || q.Created == 0 || !regexp.MustCompile(`^\d{32}$`).MatchString(q.ID) {
			t.Fatalf("%+v", q)
		}
		o.await(q, cobo.Success)
		g = o.group(g.ID)
		if g.Status != "Valid" || len(g.Keys) != 2 {
			t.Fatalf("%+v", g)
		}
		for i, key := range g.Keys {
			if key.RootPubkey != old.Keys[i].RootPubkey || key.ID == old.Keys[i].ID {
				t.Fatalf("%+v, was %+v", key, old.Keys[i])
			}
		}

		var upgraded groupReply
		o.want(200, o.upgrade(g.ID, "ConvertToSigningGroup"), &upgraded)
		if upgraded.ID != g.ID || upgraded.Type != "MainGroup" || upgraded.Status != "Valid" || o.main().ID != g.ID {
			t.Fatalf("%+v", upgraded)
		}
		if got := o.group(old.ID); got.Type != "SigningGroup" || got.Status != "Valid" {
			t.Fatalf("the old Main Group: %+v", got)
		}
		// Both can sign now, and the truth says so.
		swapped := o.truth()
		if !swapped.CanSign || !swapped.Retiring || !swapped.OldShareSigns || len(swapped.PendingShareSets) != 0 {
			t.Fatalf("swapped: %+v", swapped)
		}
		var submitted struct{ Submitted bool }
		o.want(201, o.delete(old.ID), &submitted)
		if !submitted.Submitted {
			t.Fatal("not submitted")
		}
		after := o.truth()
		if !after.CanSign || after.Retiring || after.OldShareSigns || after.ActiveShareSet != g.ID ||
			after.PublicKey != before.PublicKey || after.Generation != generation {
			t.Fatalf("after rotation %d: %+v", generation, after)
		}
	}
	stats := o.Stats()
	vault := stats.Cobo.Vaults[o.vault]
	if vault.Groups != 5 || vault.TSSRequests != 5 || vault.PeakTSSRequests != 1 || len(vault.Deleted) != 5 ||
		vault.Promotions[o.main().ID] != (tally.Promotion{Calls: 1, Effects: 1}) {
		t.Errorf("%+v", vault)
	}
	if stats.Cobo.Ceremonies.Opened != 5 || stats.Cobo.Ceremonies.Running != 0 || stats.Cobo.Ceremonies.Peak != 1 ||
		stats.Requests["cobo.upgrade_group"] != 5 || len(stats.Cobo.Orphans.Groups) != 0 {
		t.Errorf("%+v", stats.Cobo)
	}
}

// Without original_main_group_handling the old Main Group is gone at once.
func TestUpgradeInvalidates(t *testing.T) {
	for _, handling := range []string{"", "Invalidate"} {
		o := newOrg(t, Options{})
		old, g := o.main(), o.prepared()
		o.want(200, o.upgrade(g.ID, handling), nil)
		o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+old.ID, nil))
		if got := o.truth(); !got.CanSign || got.OldShareSigns || got.Retiring || got.ActiveShareSet != g.ID {
			t.Errorf("%q: %+v", handling, got)
		}
		// Its node is free again, and only now.
		o.create("again", old.Holders[1].NodeID)
	}
}

// 2-of-3 and 3-of-3 are reshared to and from, with the dealers left to Cobo.
func TestOtherSchemes(t *testing.T) {
	o := newOrg(t, Options{CoboNodes: 8})
	for _, scheme := range [][2]int{{2, 3}, {3, 3}, {2, 2}, {2, 3}} {
		old := o.main()
		body := newGroupBody("server", o.free())
		body["threshold"], body["participants"] = scheme[0], scheme[1]
		if scheme[1] == 3 {
			nodes := slices.DeleteFunc(slices.Clone(o.info.Cobo.TSSNodes), func(id string) bool {
				return slices.ContainsFunc(old.Holders, func(h holderReply) bool { return h.NodeID == id })
			})
			body["key_share_holders"] = []map[string]any{
				{"name": "a", "type": "API", "tss_node_id": nodes[0], "signer": true},
				{"name": "b", "type": "API", "tss_node_id": nodes[1], "signer": true},
			}
		}
		var g groupReply
		o.want(201, o.tryCreate(body), &g)
		var q requestReply
		o.want(201, o.call("POST", "/"+o.vault+"/tss_requests", map[string]any{
			"type": "KeyGenFromKeyGroup", "target_key_share_holder_group_id": g.ID,
			"source_key_share_holder_group": map[string]any{"key_share_holder_group_id": old.ID},
		}), &q)
		o.await(q, cobo.Success)
		o.want(200, o.upgrade(g.ID, ""), nil)
		if got := o.truth(); !got.CanSign || got.OldShareSigns {
			t.Fatalf("%v: %+v", scheme, got)
		}
		if scheme == [2]int{2, 3} { // enough nodes, but none of them Cobo's
			main, spare := o.group(g.ID), o.create("spare", o.free())
			main.Holders = main.Holders[1:]
			o.refused(400, 2006, o.tryReshare(main, spare, ""))
			o.want(201, o.delete(spare.ID), nil)
		}
	}
}

func TestRecovery(t *testing.T) {
	o := newOrg(t, Options{})
	old := o.main()
	body := newGroupBody("backup a", o.info.Cobo.TSSNodes[1])
	body["key_share_holder_group_type"] = "RecoveryGroup"
	body["key_share_holders"] = append(body["key_share_holders"].([]map[string]any),
		map[string]any{"name": "backup b", "type": "API", "tss_node_id": o.info.Cobo.TSSNodes[2]})
	var backup, fresh groupReply
	o.want(201, o.tryCreate(body), &backup)
	o.await(o.reshare(backup, ""), cobo.Success)

	body = newGroupBody("server", o.free())
	body["key_share_holder_group_type"] = "MainGroup"
	o.want(201, o.tryCreate(body), &fresh)
	var q requestReply
	o.want(201, o.call("POST", "/"+o.vault+"/tss_requests", map[string]any{
		"type": "Recovery", "target_key_share_holder_group_id": fresh.ID,
		"source_key_share_holder_group": map[string]any{"key_share_holder_group_id": backup.ID},
	}), &q)
	o.await(q, cobo.Success)
	if o.main().ID != fresh.ID {
		t.Error("the recovered group is not the Main Group")
	}
	o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+old.ID, nil))
	if got := o.truth(); !got.CanSign || got.OldShareSigns || got.Generation != 1 {
		t.Errorf("%+v", got)
	}
}

// The one thing that must never happen is visible: the Main Group has another
// key, and nothing with the old one is left.
func TestAWrongKeyIsSeen(t *testing.T) {
	for _, curve := range []string{"SECP256K1", "ED25519", ""} {
		o := newOrg(t, Options{})
		o.faulty(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.WrongPublicKey, Curve: curve})
		old, g := o.main(), o.prepared()
		wrong := []string{}
		for i, key := range g.Keys {
			if key.RootPubkey != old.Keys[i].RootPubkey {
				wrong = append(wrong, key.Curve)
			}
		}
		if want := cmp.Or(curve, "ED25519"); !slices.Equal(wrong, []string{want}) {
			t.Errorf("fault on %q: wrong on %v", curve, wrong)
		}
		if got := o.truth(); !got.CanSign {
			t.Errorf("before the upgrade nothing is lost: %+v", got)
		}
		o.want(200, o.upgrade(g.ID, "ConvertToSigningGroup"), nil)
		if got := o.truth(); got.CanSign || !got.Recoverable {
			t.Errorf("upgraded, the old group kept: %+v", got)
		}
		o.want(201, o.delete(old.ID), nil)
		if got := o.truth(); got.CanSign || got.Recoverable {
			t.Errorf("the key is lost and state does not say so: %+v", got)
		}
	}
}

// A vendor that reshared to the same shares, or kept its old ones, would be
// found out.
func TestOldSharesAreTried(t *testing.T) {
	o := newOrg(t, Options{})
	old, g := o.main(), o.prepared()
	o.want(200, o.upgrade(g.ID, ""), nil)
	view, ok := o.cobo.View(o.vault)
	if !ok {
		t.Fatal("no view")
	}
	i := slices.IndexFunc(view.Groups, func(g cobo.GroupView) bool { return g.ID == old.ID })
	j := slices.IndexFunc(view.Groups, func(g cobo.GroupView) bool { return g.Main })
	if !view.Groups[i].Deleted || len(view.Groups[i].Shares) != 2 {
		t.Fatalf("%+v", view.Groups[i])
	}
	for _, curve := range mpc.Curves() {
		was, is := view.Groups[i].Shares[curve], view.Groups[j].Shares[curve]
		if combine(was, is) {
			t.Errorf("%s: old and new shares combine", curve)
		}
		if !combine(was, was) || !combine(is[:1], is[1:]) {
			t.Errorf("%s: shares of one sharing do not combine", curve)
		}
		view.Groups[j].Shares[curve] = []mpc.ThresholdShare{was[0], was[1]}
	}
	o.archive = newArchive() // its verdicts are about other shares
	if got := o.judgeVault(view); !got.OldShareSigns || !got.CanSign {
		t.Errorf("%+v", got)
	}
}

func TestVaultsSideBySide(t *testing.T) {
	const vaults = 6
	o := newOrg(t, Options{Vaults: vaults})
	var list listed[vaultReply]
	o.want(200, o.call("GET", "?vault_type=Org-Controlled&limit=50", nil), &list)
	t.Run("all", func(t *testing.T) {
		for i, vault := range list.Data {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				rig, own := *o.rig, *o
				rig.t = t
				own.rig, own.vault = &rig, vault.ID
				for range 3 {
					g := own.prepared()
					own.want(200, own.upgrade(g.ID, ""), nil)
				}
			})
		}
	})
	keys := map[string]bool{}
	for _, w := range o.State() {
		if w.Provider == "cobo" {
			keys[w.PublicKey] = true
			if !w.CanSign || w.OldShareSigns || w.Generation != 3 {
				t.Errorf("%+v", w)
			}
		}
	}
	if len(keys) != vaults {
		t.Errorf("%d keys for %d vaults", len(keys), vaults)
	}
}

func TestSameSeedSameVaults(t *testing.T) {
	a, b, c := newOrg(t, Options{Seed: 7}), newOrg(t, Options{Seed: 7}), newOrg(t, Options{Seed: 8})
	if a.vault != b.vault || a.truth().PublicKey != b.truth().PublicKey || a.info.Cobo.APISecret != b.info.Cobo.APISecret ||
		!slices.Equal(a.info.Cobo.TSSNodes, b.info.Cobo.TSSNodes) || a.main().ID != b.main().ID {
		t.Error("the same seed gives other vaults")
	}
	if a.vault == c.vault || a.info.Cobo.APISecret == c.info.Cobo.APISecret {
		t.Error("another seed gives the same vaults")
	}
}

func TestOrphansAreCounted(t *testing.T) {
	o := newOrg(t, Options{CoboPace: time.Hour})
	attempt := uuid.NewString()
	named := o.create(attempt, o.info.Cobo.TSSNodes[1])
	described := o.create("server", o.info.Cobo.TSSNodes[2])
	o.create("a person's", o.info.Cobo.TSSNodes[3])
	q := o.reshare(described, "rotation "+attempt)
	orphans := o.Stats().Cobo.Orphans
	if !slices.Equal(orphans.Groups, []string{named.ID, described.ID}) || !slices.Equal(orphans.TSSRequests, []string{q.ID}) {
		t.Errorf("%+v", orphans)
	}
	o.want(201, o.cancel(q), nil)
	o.want(201, o.delete(named.ID), nil)
	o.want(201, o.delete(described.ID), nil)
	orphans = o.Stats().Cobo.Orphans
	if len(orphans.Groups) != 0 || len(orphans.TSSRequests) != 0 {
		t.Errorf("%+v", orphans)
	}
}

package app

import (
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// newCrowdedVault is a rig with a vault that has a Signing and a Recovery Group
// of people's, on TSS nodes, and a daemon that is to refresh them, too.
func newCrowdedVault(t *testing.T) (r *rig, vault string, others []string) {
	t.Helper()
	r = newRigWith(t, sandbox.Options{Vaults: 1, CoboNodes: 8, CoboPace: 20 * time.Millisecond, WebhookRetry: 50 * time.Millisecond})
	r.cfg.Providers[1].Cobo.RefreshOtherGroups = true
	vault = r.sandbox.State()[0].ID
	nodes := r.info.Cobo.TSSNodes
	for _, g := range []map[string]any{
		{"holders": []map[string]any{{"name": "Cobo", "type": "Cobo", "tss_node_id": "coboX"}, {"name": "alice", "type": "API", "tss_node_id": nodes[4]}}},
		{"type": "RecoveryGroup", "holders": []map[string]any{{"name": "bob", "type": "API", "tss_node_id": nodes[5]}, {"name": "carol", "type": "API", "tss_node_id": nodes[6]}}},
	} {
		others = append(others, r.play("POST", "/_sandbox/cobo/vaults/"+vault+"/groups", g))
	}
	return r, vault, others
}

// TestNoShareOfBeforeIsLeft: after a rotation of the vault no share that was
// there before it signs, and the history says what was replaced.
func TestNoShareOfBeforeIsLeft(t *testing.T) {
	t.Parallel()
	r, vault, others := newCrowdedVault(t)
	r.start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "the clean-up is on record", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'retired'`) == 1
	})
	if old := r.sandbox.SignsFromBefore(vault); len(old) > 0 {
		t.Errorf("shares of before sign: %q", old)
	}
	r.wantRotated(1)
	said := ask[string](r, `SELECT vendor_said FROM share_set_history WHERE outcome = 'retired'`)
	v := r.sandbox.Stats().Cobo.Vaults[vault]
	for _, id := range others {
		if v.Deleted[id] == "" || !strings.Contains(said, v.Deleted[id]+" "+id+" was replaced by ") {
			t.Errorf("deleted are %v, on record is %q; want %s in both", v.Deleted, said, id)
		}
	}
	if v.TSSRequests != 3 || v.PeakTSSRequests != 1 || len(v.Deleted) != 3 {
		t.Errorf("at the vendor: %+v, want three TSS requests, one at a time", v)
	}
	alive := map[string]int{}
	for _, g := range r.sandbox.VaultGroups(vault) {
		alive[g]++
	}
	if len(alive) != 3 || alive["MainGroup"] != 1 || alive["SigningGroup"] != 1 || alive["RecoveryGroup"] != 1 {
		t.Errorf("alive are %v", alive)
	}
}

// TestPersonHearsOfAPhone once, until the group is gone.
func TestPersonHearsOfAPhone(t *testing.T) {
	t.Parallel()
	r, vault, _ := newCrowdedVault(t)
	phone := r.play("POST", "/_sandbox/cobo/vaults/"+vault+"/groups", map[string]any{"type": "RecoveryGroup",
		"holders": []map[string]any{{"name": "eve", "type": "Mobile", "tss_node_id": "coboPhone"}}})
	r.start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "a person hears of it", func() bool {
		return ask[int64](r, `SELECT count(*) FROM attention WHERE reason = 'terminal' AND detail LIKE '%' || $1 || ' has a share on a phone%'`, phone) == 1
	})
	if old := r.sandbox.SignsFromBefore(vault); len(old) != 1 || old[0] != phone {
		t.Errorf("of before sign %q, want the phone's group", old)
	}
	r.play("PATCH", "/_sandbox/cobo/groups/"+phone, map[string]bool{"delete": true})
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'retry', id FROM wallets`)
	r.wantRotated(1)
	if old := r.sandbox.SignsFromBefore(vault); len(old) > 0 {
		t.Errorf("of before sign %q", old)
	}
}

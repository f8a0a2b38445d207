package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// newVaults is a rig with vaults alone, whose old groups are deleted at once.
func newVaults(t *testing.T, n int) *rig {
	t.Helper()
	return newRigWith(t, sandbox.Options{Vaults: n, CoboPace: 50 * time.Millisecond, WebhookRetry: 50 * time.Millisecond})
}

// play does what people do at the vendor. It returns the id of what was made.
func (r *rig) play(method, path string, body any) (id string) {
	r.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), method, strings.TrimSuffix(r.info.Cobo.BaseURL, "/v2")+path, bytes.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		r.t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, answer, err)
	}
	if response.StatusCode == http.StatusCreated {
		var made struct{ ID string }
		if err := json.Unmarshal(answer, &made); err != nil {
			r.t.Fatal(err)
		}
		id = made.ID
	}
	return id
}

func (r *rig) fault(list ...faults.Fault) {
	r.t.Helper()
	if err := r.sandbox.SetFaults(list...); err != nil {
		r.t.Fatal(err)
	}
}

// wantRotated waits until every vault has rotated n times, then ends the policy
// and the daemon, and asks the sandbox.
func (r *rig) wantRotated(n int64) {
	r.t.Helper()
	before := map[string]sandbox.WalletState{}
	for _, w := range r.sandbox.State() {
		before[w.ID] = w
	}
	eventually(r.t, "every vault rotates", func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) >= n })
	r.exec(`UPDATE rotation_policies SET enabled = false`)
	eventually(r.t, "the last rotations end", func() bool {
		return ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state IN ('opening', 'ceremony', 'prepared', 'promoted')`) == 0
	})
	eventually(r.t, "the old groups are deleted", func() bool {
		return !slices.ContainsFunc(r.sandbox.State(), func(w sandbox.WalletState) bool { return w.Retiring })
	})
	r.stop()
	r.wantAgreement()
	for _, w := range r.sandbox.State() {
		if w.PublicKey != before[w.ID].PublicKey {
			r.t.Errorf("vault %s has the root keys %s, had %s", w.ID, w.PublicKey, before[w.ID].PublicKey)
		}
		recorded := ask[string](r, `SELECT public_key FROM wallet_status WHERE external_id = $1`, w.ID)
		if recorded != strings.ReplaceAll(w.PublicKey, " ", ";") {
			r.t.Errorf("vault %s has the root keys %s, on record is %s", w.ID, w.PublicKey, recorded)
		}
		generation := ask[int64](r, `SELECT generation FROM wallet_status WHERE external_id = $1`, w.ID)
		if int64(w.Generation) != generation || generation < n {
			r.t.Errorf("vault %s rotated %d times, %d on record, want %d at least", w.ID, w.Generation, generation, n)
		}
	}
	if strings.Contains(r.log.String(), r.info.Cobo.APISecret) {
		r.t.Error("the API secret is in the log")
	}
	orphans := r.sandbox.Stats().Cobo.Orphans
	if len(orphans.Groups)+len(orphans.TSSRequests) > 0 {
		r.t.Errorf("left behind at the vendor: %+v", orphans)
	}
	if n := ask[int64](r, `SELECT count(*) FROM attention`); n != 0 {
		r.t.Errorf("%d vaults need attention: %s", n, ask[string](r, `SELECT string_agg(reason || ' ' || detail, '; ') FROM attention`))
	}
}

// TestVaultsRotate twice, with the vendor's calls and by asking alone.
func TestVaultsRotate(t *testing.T) {
	for name, called := range map[string]bool{"webhooks": true, "polling": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newVaults(t, 5).start()
			if called {
				r.play("PUT", "/_sandbox/webhooks", map[string]string{"url": r.url + "/webhooks/cobo/cobo"})
			}
			r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', '@every 1s')`)
			r.enrol("vaults")
			r.wantRotated(2)
			if got := strings.Contains(r.log.String(), `"woken":true`); got != called {
				t.Errorf("a call of the vendor's had a rotation looked at: %v, want %v", got, called)
			}
			hooks := r.sandbox.Stats().Cobo.Webhooks
			if called != (hooks.Delivered > 0) || hooks.GivenUp > 0 {
				t.Errorf("webhooks: %+v", hooks)
			}
		})
	}
}

// TestWebhooksInAnyOrder: before the response that tells what they are about, a
// second time, and long after the end.
func TestWebhooksInAnyOrder(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1).start()
	r.play("PUT", "/_sandbox/webhooks", map[string]string{"url": r.url + "/webhooks/cobo/cobo"})
	const late = 2 * time.Second
	r.fault(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.LateReply, Delay: late, Times: 1},
		faults.Fault{Operation: "cobo.webhook", Kind: faults.LateEffect, Delay: 2 * late, Times: 1},
		faults.Fault{Operation: "cobo.webhook", Kind: faults.LostReply, Times: 2})
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "the end is announced before the response has come", func() bool {
		return r.sandbox.Stats().Cobo.Webhooks.Delivered > 0
	})
	if got := ask[string](r, `SELECT rotation_state FROM wallet_status`); got != "ceremony" {
		t.Fatalf("the response has come: the rotation is in %q", got)
	}
	eventually(t, "two have come twice, and the last one after the end", func() bool {
		hooks := r.sandbox.Stats().Cobo.Webhooks
		return hooks.Delivered == hooks.Events && hooks.Sent >= hooks.Events+2 && ask[int64](r, `SELECT min(generation) FROM wallet_status`) == 1
	})
	r.wantRotated(1)
	if v := r.sandbox.Stats().Cobo.Vaults[r.sandbox.State()[0].ID]; v.TSSRequests != 1 || v.Groups != 1 {
		t.Errorf("it took %d TSS requests and %d groups, want 1 and 1", v.TSSRequests, v.Groups)
	}
}

// TestVaultKeepsItsOldGroupForTheGracePeriod, able to sign, and no longer.
func TestVaultKeepsItsOldGroupForTheGracePeriod(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1)
	const grace = 3 * time.Second
	r.cfg.Providers[1].Cobo.RetireGrace = grace
	r.start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	var swapped time.Time
	eventually(t, "the vault swaps", func() bool {
		w := r.sandbox.State()[0]
		swapped = time.Now()
		return w.Generation == 1
	})
	if w := r.sandbox.State()[0]; time.Since(swapped) < grace/2 && (!w.Retiring || !w.OldShareSigns || !w.CanSign) {
		t.Errorf("the old group is not kept: %+v", w)
	}
	r.wantRotated(1)
	if kept := time.Since(swapped); kept < grace-time.Second {
		t.Errorf("the old group was deleted after %s, want %s", kept, grace)
	}
	// The record follows the vendor's answer.
	eventually(t, "the retirement is on record", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'retired'`) == 1
	})
}

// TestGraceThatThePoolCannotBear is said before the first rotation, not when
// the nodes have run out.
func TestGraceThatThePoolCannotBear(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1)
	r.cfg.Providers[1].Cobo.RetireGrace = 3 * time.Second
	r.cfg.Providers[1].Cobo.TSSNodes = r.cfg.Providers[1].Cobo.TSSNodes[:2]
	r.start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', '@every 2s')`)
	r.enrol("vaults")
	eventually(t, "people are told", func() bool {
		return ask[int64](r, `SELECT count(*) FROM attention WHERE detail LIKE '%rotated every 2s%retire_grace of 3s%pool of 3 TSS nodes, and it has 2%'`) == 1
	})
	v := r.sandbox.Stats().Cobo.Vaults[r.sandbox.State()[0].ID]
	if v.Groups != 0 || r.sandbox.State()[0].Generation != 0 {
		t.Errorf("something was begun: %+v", v)
	}
}

// TestApprovalTakesThreePolls: people are told whom the vault waits for, and
// once somebody has approved it goes on where it was.
func TestApprovalTakesThreePolls(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1)
	r.cfg.Providers[1].Cobo.ApprovalAttention = time.Second
	r.start()
	r.fault(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour, Times: 1})
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "people are told", func() bool {
		return ask[int64](r, `SELECT count(*) FROM attention WHERE reason = 'waits_for_approval' AND detail LIKE '%approval%' AND next_step <> ''`) == 1
	})
	eventually(t, "it was asked for three times", func() bool { return r.sandbox.Stats().Requests["cobo.get_tss_request"] >= 3 })
	if w := r.sandbox.State()[0]; w.Generation != 0 || !w.CanSign || len(w.PendingShareSets) != 1 {
		t.Errorf("before the approval: %+v", w)
	}
	running := r.sandbox.Stats().Cobo.Orphans.TSSRequests
	if len(running) != 1 {
		t.Fatalf("TSS requests of attempts under way: %q, want 1", running)
	}
	r.play("PATCH", "/_sandbox/cobo/tss_requests/"+running[0], map[string]bool{"approve": true})
	r.wantRotated(1)
	if v := r.sandbox.Stats().Cobo.Vaults[r.sandbox.State()[0].ID]; v.TSSRequests != 1 || v.Groups != 1 {
		t.Errorf("it took %d TSS requests and %d groups, want 1 and 1", v.TSSRequests, v.Groups)
	}
}

// TestRejectionStartsOver: what nobody confirmed is given up on record and
// taken back at the vendor; the vault signs all the while.
func TestRejectionStartsOver(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1)
	r.cfg.Rotation.Backoff.Initial = 100 * time.Millisecond
	r.start()
	r.fault(faults.Fault{Operation: "cobo.ceremony", Kind: faults.Reject, Times: 1})
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "the rejection is on record", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'abandoned' AND vendor_said LIKE '%not confirmed%'`) == 1
	})
	if w := r.sandbox.State()[0]; !w.CanSign {
		t.Errorf("after the rejection: %+v", w)
	}
	r.wantRotated(1)
	if v := r.sandbox.Stats().Cobo.Vaults[r.sandbox.State()[0].ID]; v.TSSRequests != 2 || v.PeakTSSRequests != 1 || len(v.Deleted) != 2 {
		t.Errorf("at the vendor: %+v, want two TSS requests, one at a time, and two groups deleted: the rejected one and the old one", v)
	}
}

// TestPeopleAreNotDisturbed: while somebody's own TSS request is under way
// nothing is opened, nothing of theirs is cancelled or deleted, and their group
// outlives the rotation.
func TestPeopleAreNotDisturbed(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1)
	r.cfg.Rotation.Backoff.Initial = 100 * time.Millisecond
	r.cfg.Rotation.Backoff.Max = 200 * time.Millisecond
	r.start()
	vault := r.sandbox.State()[0]
	const phone = "coboPhone"
	theirs := r.play("POST", "/_sandbox/cobo/vaults/"+vault.ID+"/groups", map[string]any{"status": "New", "type": "RecoveryGroup",
		"holders": []map[string]any{{"name": "Alice's phone", "type": "Mobile", "tss_node_id": phone}}})
	request := r.play("POST", "/_sandbox/cobo/vaults/"+vault.ID+"/tss_requests", map[string]string{"source": vault.ActiveShareSet, "target": theirs, "description": "for Alice"})

	r.exec(`INSERT INTO rotation_policies (name, schedule, max_attempts) VALUES ('vaults', null, 1000)`)
	r.enrol("vaults")
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
	eventually(t, "the rotation finds it and waits", func() bool {
		return ask[int64](r, `SELECT count(*) FROM wallet_status WHERE error LIKE '%' || $1 || '%under way%' AND attempt >= 3`, request) == 1
	})
	if v := r.sandbox.Stats().Cobo.Vaults[vault.ID]; v.TSSRequests != 1 || v.Groups != 1 || len(v.Deleted) != 0 {
		t.Errorf("something was opened or deleted meanwhile: %+v", v)
	}
	if cancelled := r.sandbox.Stats().Requests["cobo.cancel_tss_request"]; cancelled != 0 {
		t.Errorf("%d TSS requests were cancelled", cancelled)
	}
	r.play("PATCH", "/_sandbox/cobo/nodes/"+phone, map[string]bool{"online": true})
	r.wantRotated(1)
	v := r.sandbox.Stats().Cobo.Vaults[vault.ID]
	if v.TSSRequests != 2 || v.PeakTSSRequests != 1 || len(v.Deleted) != 1 || v.Deleted[theirs] != "" {
		t.Errorf("at the vendor: %+v, want the old Main Group deleted and nothing else", v)
	}
}

// TestMainGroupChangedByHand: somebody made another group the Main Group. Its
// root keys are those on record, so the record follows, and the vault rotates on
// from there. What people converted stays theirs.
func TestMainGroupChangedByHand(t *testing.T) {
	t.Parallel()
	r := newVaults(t, 1).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('vaults', null)`)
	r.enrol("vaults")
	rotate := func(times int64) {
		t.Helper()
		retired := ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'retired'`)
		r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'rotate', id FROM wallets`)
		eventually(t, "the vault rotates", func() bool {
			return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'activated'`) == times &&
				ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state IS NOT NULL`) == 0
		})
		eventually(t, "its old group is deleted", func() bool {
			return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'retired'`) == retired+1
		})
	}
	rotate(1)
	ours := r.sandbox.State()[0]
	theirs := r.play("POST", "/_sandbox/cobo/vaults/"+ours.ID+"/groups", map[string]any{"holders": []map[string]any{
		{"name": "Cobo", "type": "Cobo", "tss_node_id": "coboOfCobo", "signer": true},
		{"name": "by hand", "type": "API", "tss_node_id": "coboOfAlice", "signer": true},
	}})
	for _, node := range []string{"coboOfCobo", "coboOfAlice"} {
		r.play("PATCH", "/_sandbox/cobo/nodes/"+node, map[string]bool{"online": true})
	}
	r.play("PATCH", "/_sandbox/cobo/groups/"+theirs, map[string]string{"upgrade": "ConvertToSigningGroup"})

	rotate(2)
	eventually(t, "people are told of the group that they left", func() bool {
		return ask[int64](r, `SELECT count(*) FROM attention WHERE detail LIKE '%' || $1 || '%delete%in the Portal%'`, ours.ActiveShareSet) == 1
	})
	if deleted := r.sandbox.Stats().Cobo.Vaults[ours.ID].Deleted; deleted[ours.ActiveShareSet] != "" {
		t.Errorf("what people converted was deleted: %v", deleted)
	}
	r.play("PATCH", "/_sandbox/cobo/groups/"+ours.ActiveShareSet, map[string]bool{"delete": true})
	r.exec(`INSERT INTO rotation_requests (action, wallet_id) SELECT 'retry', id FROM wallets`)
	eventually(t, "the record is closed", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'retired' AND share_set = $1`, ours.ActiveShareSet) == 1
	})
	r.stop()
	r.wantLogged("record reconciled with the vendor")
	if got := ask[string](r, `SELECT string_agg(outcome, ' ' ORDER BY seq) FROM share_set_history`); got != "baseline activated retired reconciled activated retired retired" {
		t.Errorf("the history is %q", got)
	}
	w := r.sandbox.State()[0]
	deleted := r.sandbox.Stats().Cobo.Vaults[w.ID].Deleted
	if !w.CanSign || w.PublicKey != ours.PublicKey || w.ActiveShareSet == theirs || deleted[theirs] == "" {
		t.Errorf("got %+v, deleted %v; want their Main Group replaced and deleted", w, deleted)
	}
	if active := ask[string](r, `SELECT active_share_set FROM wallet_status`); active != w.ActiveShareSet {
		t.Errorf("on record is %s, the vendor has %s", active, w.ActiveShareSet)
	}
}

package cobo

import (
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

func TestWebhookVector(t *testing.T) {
	v := readVectors(t).Responses[1]
	key, _ := hex.DecodeString(v.Key)
	at := time.UnixMilli(1718587018000)
	header := http.Header{}
	header.Set("BIZ_TIMESTAMP", v.Timestamp)
	header.Set("BIZ_RESP_SIGNATURE", v.Signature)
	e, err := ParseWebhook(key, header, []byte(v.Body), at.Add(time.Minute))
	want := Event{ID: "8f2e919a-6a7b-4a9b-8c1a-4c0b3f5b8b1f", Type: "wallets.mpc.tss_request.succeeded",
		RequestID: "20240711114129000132315000003970", GroupID: "e8257ac8-76b8-4d1e-a1f9-eec4cb931dce"}
	if err != nil || e != want {
		t.Errorf("%+v, %v", e, err)
	}
	for name, now := range map[string]time.Time{"too late": at.Add(WebhookWindow + time.Second), "too early": at.Add(-WebhookWindow - time.Second)} {
		_, err := ParseWebhook(key, header, []byte(v.Body), now)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, body := range map[string]string{
		"re-encoded": strings.Replace(v.Body, ",", ", ", 1), "changed": strings.Replace(v.Body, "succeeded", "failed", 1), "cut": v.Body[:10],
	} {
		_, err := ParseWebhook(key, header, []byte(body), at)
		wantClass(t, err, provider.Verification, provider.ReasonVerification)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestWebhookBodies: everything that is signed is read without complaint, and
// nothing that is not an id comes out.
func TestWebhookBodies(t *testing.T) {
	w := newWire(t, nil)
	for body, want := range map[string]provider.Notice{
		`{"event_id":"e1","type":"wallets.mpc.tss_request.updated","data":{"data_type":"TSSRequest","target_key_share_holder_group_id":"g1"}}`: {ID: "e1", ShareSet: "g1"},
		`{"event_id":"e2","type":"mpc_vaults.updated","data":{"data_type":"MPCVault","vault_id":"v1"}}`:                                        {ID: "e2", Wallet: "v1"},
		`{"event_id":"e3","type":"something.new","data":[1,2]}`:                                                                                {ID: "e3"},
		`{"event_id":"e4","type":"something.new","data":{"vault_id":7}}`:                                                                       {ID: "e4"},
		`{"event_id":"a/b","data":{"vault_id":"../x","target_key_share_holder_group_id":"x y"}}`:                                               {},
		`{}`: {},
	} {
		header := http.Header{}
		signAs(header, w.key, body, milliseconds(time.Now()))
		if got, err := w.p.Webhook(header, []byte(body)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	for _, body := range []string{"", "hello", "[]", "{}" + strings.Repeat(" ", MaxWebhook)} {
		header := http.Header{}
		signAs(header, w.key, body, milliseconds(time.Now()))
		if _, err := w.p.Webhook(header, []byte(body)); err == nil {
			t.Errorf("%d bytes that are no event are accepted", len(body))
		}
	}
	if n := len(w.asked("")); n > 0 {
		t.Errorf("%d requests", n)
	}
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// TestWebhooksOfTheSandbox arrive, verify, and name the pending share set.
func TestWebhooksOfTheSandbox(t *testing.T) {
	o := newOrganisation(t, map[string]string{assume.CoboUpgrade: assume.Synchronous}, nil)
	notices := make(chan provider.Notice, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, o.p.MaxWebhook()+1))
		n, err := o.p.Webhook(r.Header, body)
		if err != nil {
			t.Error(err)
		}
		notices <- n
	}))
	defer receiver.Close()
	if err := o.vendor.SetWebhook(receiver.URL); err != nil {
		t.Fatal(err)
	}
	a := o.prepare()
	defer o.vendor.Close() // before the receiver
	seen := map[string]bool{}
	for range 4 { // created, updated twice, succeeded
		select {
		case n := <-notices:
			if n.ShareSet != a.PendingShareSet || n.ID == "" || seen[n.ID] {
				t.Errorf("%+v", n)
			}
			seen[n.ID] = true
		case <-time.After(10 * time.Second):
			t.Fatal("no more events")
		}
	}
}

// FuzzParseWebhook: nothing unsigned comes through, and what is signed gives ids
// or nothing.
func FuzzParseWebhook(f *testing.F) {
	v := readVectors(f).Responses[1]
	f.Add([]byte(v.Body), v.Timestamp, v.Signature)
	f.Add([]byte(`{"event_id":"x","data":{}}`), "1718587018000", "")
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))
	public := key.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, body []byte, timestamp, signature string) {
		header := http.Header{}
		header.Set("BIZ-TIMESTAMP", timestamp)
		header.Set("BIZ-RESP-SIGNATURE", signature)
		now := time.UnixMilli(1718587018000)
		if _, err := ParseWebhook(public, header, body, now); err == nil {
			t.Fatal("accepted what nobody signed")
		}
		header = http.Header{}
		signAs(header, key, string(body), "1718587018000")
		e, err := ParseWebhook(public, header, body, now)
		if err != nil {
			return
		}
		for _, id := range []string{e.ID, e.VaultID, e.RequestID, e.GroupID} {
			if id != "" && !idPattern.MatchString(id) {
				t.Fatalf("%q is no id", id)
			}
		}
	})
}

package cobo

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// vectors were captured from the official JavaScript SDK on the wire and
// recomputed with the Go and Python ones; all keys are made up.
type vectors struct {
	Published struct {
		Seed   string `json:"seed_hex"`
		Pubkey string `json:"pubkey_hex"`
	} `json:"published_keypair_check"`
	Requests  []requestVector  `json:"requests"`
	Responses []responseVector `json:"responses"`
}

type requestVector struct {
	Name      string `json:"name"`
	Secret    string `json:"api_secret_hex"`
	Key       string `json:"api_key_hex"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	Query     string `json:"query"`
	Nonce     string `json:"nonce"`
	Body      string `json:"body"`
	Text      string `json:"str_to_sign"`
	Digest    string `json:"double_sha256_hex"`
	Signature string `json:"signature_hex"`
}

type responseVector struct {
	Name      string `json:"name"`
	Seed      string `json:"signer_seed_hex"`
	Key       string `json:"signer_pubkey_hex"`
	Body      string `json:"body"`
	Timestamp string `json:"biz_timestamp"`
	Digest    string `json:"double_sha256_hex"`
	Signature string `json:"signature_hex"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/cobo_signature_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Requests) != 7 || len(v.Responses) != 2 {
		t.Fatalf("%d requests and %d responses", len(v.Requests), len(v.Responses))
	}
	return v
}

func TestRequestSignatures(t *testing.T) {
	for _, v := range readVectors(t).Requests {
		t.Run(v.Name, func(t *testing.T) {
			key, err := parseSecret(v.Secret)
			if err != nil {
				t.Fatal(err)
			}
			text := requestText(v.Method, v.Path, v.Nonce, v.Query, []byte(v.Body))
			if string(text) != v.Text {
				t.Errorf("signed text %s\nwant        %s", text, v.Text)
			}
			if got := hex.EncodeToString(digest(text)); got != v.Digest {
				t.Errorf("digest %s, want %s", got, v.Digest)
			}
			header := http.Header{}
			sign(header, key, v.Method, v.Path, v.Nonce, v.Query, []byte(v.Body))
			for name, want := range map[string]string{
				"BIZ-API-KEY": v.Key, "BIZ-API-NONCE": v.Nonce, "BIZ-API-SIGNATURE": v.Signature,
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
		})
	}
}

// TestRequestsAreSignedAsSent sends each kind of request that there is a vector
// for through the client, and checks that what went over the wire is what was
// signed, byte for byte.
func TestRequestsAreSignedAsSent(t *testing.T) {
	w := newWire(t, nil)
	_, _ = w.p.listGroups(t.Context(), testVault)
	_, _ = w.p.getRequest(t.Context(), testVault, "20240711114129000132315000003970")
	_, _ = w.p.upgradeGroup(t.Context(), testVault, newGroupID)
	_, _ = w.p.createRequest(t.Context(), testVault, newTSSRequest{Type: keyGenFromKeyGroup, Target: newGroupID,
		Source: sourceGroup{ID: oldGroupID, Nodes: []string{coboNode, nodeA}}, Description: "scheduled rotation"})
	_ = w.p.cancelRequest(t.Context(), testVault, "20240711114129000132315000003970")
	_ = w.p.Wallets(t.Context(), nil)
	seen := w.asked("")
	want := []string{
		"GET /v2/wallets/mpc/vaults/" + testVault + "/key_share_holder_groups?limit=50 ",
		"GET /v2/wallets/mpc/vaults/" + testVault + "/tss_requests/20240711114129000132315000003970 ",
		"PUT /v2/wallets/mpc/vaults/" + testVault + "/key_share_holder_groups/" + newGroupID +
			` {"update_key_share_holder_group_action":"UpgradeToMainGroup","original_main_group_handling":"ConvertToSigningGroup"}`,
		"POST /v2/wallets/mpc/vaults/" + testVault + `/tss_requests {"type":"KeyGenFromKeyGroup","target_key_share_holder_group_id":"` + newGroupID +
			`","source_key_share_holder_group":{"key_share_holder_group_id":"` + oldGroupID + `","tss_node_ids":["` + coboNode + `","` + nodeA +
			`"]},"description":"scheduled rotation"}`,
		"POST /v2/wallets/mpc/vaults/" + testVault + "/tss_requests/20240711114129000132315000003970/cancel ",
		"GET /v2/wallets/mpc/vaults?limit=50&vault_type=Org-Controlled ",
	}
	if len(seen) != len(want) {
		t.Fatalf("%d requests", len(seen))
	}
	key, _ := parseSecret(testSecret)
	for i, r := range seen {
		if got := r.method + " " + r.uri + " " + r.body; got != want[i] {
			t.Errorf("sent %s\nwant %s", got, want[i])
		}
		path, query, _ := strings.Cut(r.uri, "?")
		signature, err := hex.DecodeString(r.header.Get("BIZ-API-SIGNATURE"))
		text := requestText(r.method, path, r.header.Get("BIZ-API-NONCE"), query, []byte(r.body))
		if err != nil || !ed25519.Verify(key.Public().(ed25519.PublicKey), digest(text), signature) {
			t.Errorf("%s: the signature is not over what was sent", want[i])
		}
	}
}

func TestAPIKeyIsDerived(t *testing.T) {
	published := readVectors(t).Published
	key, err := parseSecret(published.Seed + "\n") // as files end
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(key.Public().(ed25519.PublicKey)); got != published.Pubkey {
		t.Errorf("API key %s, want %s", got, published.Pubkey)
	}
	for _, bad := range []string{"", "ab", published.Seed + "00", strings.Repeat("z", 64)} {
		if _, err := parseSecret(bad); err == nil {
			t.Errorf("%d characters of secret accepted", len(bad))
		}
	}
}

func TestResponseSignatures(t *testing.T) {
	for _, v := range readVectors(t).Responses {
		key, err := hex.DecodeString(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(digest([]byte(v.Body + "|" + v.Timestamp))); got != v.Digest {
			t.Errorf("%s: digest %s, want %s", v.Name, got, v.Digest)
		}
		for _, names := range [][2]string{{"BIZ-TIMESTAMP", "BIZ-RESP-SIGNATURE"}, {"BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE"},
			{"Biz-Timestamp", "biz_resp_signature"}} {
			header := http.Header{}
			header.Set(names[0], v.Timestamp)
			header.Set(names[1], v.Signature)
			at, err := verify(key, header, []byte(v.Body))
			if err != nil || at.UnixMilli() == 0 {
				t.Errorf("%s with %s: %v", v.Name, names, err)
			}
			header.Set("BIZ_TIMESTAMP", v.Timestamp) // both spellings, and they agree
			header.Set("BIZ-TIMESTAMP", v.Timestamp)
			if _, err := verify(key, header, []byte(v.Body)); err != nil {
				t.Errorf("%s with both spellings: %v", v.Name, err)
			}
		}
	}
}

func TestForgeries(t *testing.T) {
	v := readVectors(t).Responses[0]
	key, _ := hex.DecodeString(v.Key)
	other, _ := hex.DecodeString(readVectors(t).Requests[0].Key)
	for name, change := range map[string]func(h http.Header, body *string, key *ed25519.PublicKey){
		"another body":         func(_ http.Header, b *string, _ *ed25519.PublicKey) { *b += " " },
		"another key":          func(_ http.Header, _ *string, k *ed25519.PublicKey) { *k = other },
		"another time":         func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Set("BIZ-TIMESTAMP", "1718587018000") },
		"same time, rewritten": func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Set("BIZ-TIMESTAMP", "0"+v.Timestamp) },
		"no time":              func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Del("BIZ-TIMESTAMP") },
		"no signature":         func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Del("BIZ-RESP-SIGNATURE") },
		"half a signature": func(h http.Header, _ *string, _ *ed25519.PublicKey) {
			h.Set("BIZ-RESP-SIGNATURE", v.Signature[:64])
		},
		"not hex": func(h http.Header, _ *string, _ *ed25519.PublicKey) {
			h.Set("BIZ-RESP-SIGNATURE", strings.Repeat("z", 128))
		},
		"two times": func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Set("BIZ_TIMESTAMP", "1718587018000") },
		"two times, the good one last": func(h http.Header, _ *string, _ *ed25519.PublicKey) {
			h.Set("BIZ_TIMESTAMP", v.Timestamp)
			h.Set("BIZ-TIMESTAMP", "1718587018000")
		},
		"two signatures": func(h http.Header, _ *string, _ *ed25519.PublicKey) { h.Add("BIZ-RESP-SIGNATURE", "00") },
		// The text is body|time: its bar must not move.
		"the bar moved": func(h http.Header, b *string, _ *ed25519.PublicKey) {
			*b = strings.TrimSuffix(*b, `"}`)
			h.Set("BIZ-TIMESTAMP", `"}|`+v.Timestamp)
		},
	} {
		header := http.Header{}
		header.Set("BIZ-TIMESTAMP", v.Timestamp)
		header.Set("BIZ-RESP-SIGNATURE", v.Signature)
		body, k := v.Body, ed25519.PublicKey(key)
		change(header, &body, &k)
		if _, err := verify(k, header, []byte(body)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzVerify has one signed reply, and tries to get another one accepted.
func FuzzVerify(f *testing.F) {
	for _, v := range readVectors(f).Responses {
		f.Add(v.Seed, []byte(v.Body), v.Timestamp, []byte(v.Body), v.Timestamp, v.Signature, v.Seed)
	}
	f.Add(strings.Repeat("07", 32), []byte("a|1"), "2", []byte("a"), "1|2", "", strings.Repeat("07", 32))
	f.Add(strings.Repeat("07", 32), []byte("a"), "12", []byte("a"), "012", "", strings.Repeat("08", 32))
	f.Fuzz(func(t *testing.T, seed string, body []byte, timestamp string, otherBody []byte, otherTime, otherSignature, otherSeed string) {
		key, err := parseSecret(seed)
		other, err2 := parseSecret(otherSeed)
		if err != nil || err2 != nil {
			return
		}
		public := key.Public().(ed25519.PublicKey)
		header := http.Header{}
		header.Set("BIZ-TIMESTAMP", timestamp)
		genuine := hex.EncodeToString(ed25519.Sign(key, digest(append(append(bytes.Clone(body), '|'), timestamp...))))
		header.Set("BIZ-RESP-SIGNATURE", genuine)
		if _, err := verify(public, header, body); (err == nil) != wellFormed(timestamp) {
			t.Fatalf("the genuine reply: %v", err)
		}
		try := func(k ed25519.PublicKey, body []byte, timestamp, signature string) error {
			header.Set("BIZ-TIMESTAMP", timestamp)
			header.Set("BIZ-RESP-SIGNATURE", signature)
			_, err := verify(k, header, body)
			return err
		}
		if !bytes.Equal(otherBody, body) || otherTime != timestamp {
			if try(public, otherBody, otherTime, genuine) == nil {
				t.Fatalf("accepted %q|%q, signed was %q|%q", otherBody, otherTime, body, timestamp)
			}
		}
		if otherSignature != "" && !strings.EqualFold(otherSignature, genuine) && try(public, body, timestamp, otherSignature) == nil {
			t.Fatal("accepted another signature")
		}
		if !key.Equal(other) && try(other.Public().(ed25519.PublicKey), body, timestamp, genuine) == nil {
			t.Fatal("accepted another key")
		}
	})
}

// wellFormed says what a timestamp is, in other words than the code.
func wellFormed(timestamp string) bool {
	number, ok := new(big.Int).SetString(timestamp, 10)
	return ok && strings.Trim(timestamp, "0123456789") == "" && number.IsInt64()
}

func TestNoncesAreNeverRepeated(t *testing.T) {
	var s nonceSource
	now := time.UnixMilli(1718587017026)
	seen := map[string]bool{}
	next := func(at time.Time) string {
		n := s.next(at)
		if seen[n] {
			t.Fatalf("nonce %s twice", n)
		}
		seen[n] = true
		return n
	}
	if n := next(now); n != "1718587017026" {
		t.Errorf("nonce %s is not the time in milliseconds", n)
	}
	for range nonceMemory {
		next(now.Add(time.Duration(len(seen)) * time.Millisecond / 2))
	}
	// The clock is set back: the nonces follow it, onto none that was used.
	if n := next(now.Add(-time.Hour)); n != "1718583417026" {
		t.Errorf("nonce %s does not follow the clock", n)
	}
	for range 10 {
		next(now)
	}
}

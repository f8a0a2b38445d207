package cobo

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// vectors were captured from the official SDKs; the file says how.
type vectors struct {
	Published struct {
		Seed   string `json:"seed_hex"`
		Pubkey string `json:"pubkey_hex"`
	} `json:"published_keypair_check"`
	Requests []struct {
		Name, Method, Path, Query, Nonce, Body string

		Secret    string `json:"api_secret_hex"`
		Key       string `json:"api_key_hex"`
		Text      string `json:"str_to_sign"`
		Digest    string `json:"double_sha256_hex"`
		Signature string `json:"signature_hex"`
	}
	Responses []struct {
		Name, Body string

		Seed      string `json:"signer_seed_hex"`
		Pubkey    string `json:"signer_pubkey_hex"`
		Timestamp string `json:"biz_timestamp"`
		Digest    string `json:"double_sha256_hex"`
		Signature string `json:"signature_hex"`
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/signature_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Requests) != 7 || len(v.Responses) != 2 {
		t.Fatalf("%d requests, %d responses", len(v.Requests), len(v.Responses))
	}
	return v
}

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// at is a vendor whose clock stands at a time in milliseconds.
func at(t *testing.T, milliseconds string) *Vendor {
	t.Helper()
	ms, err := strconv.ParseInt(milliseconds, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	set := faults.NewSet(1)
	v, err := New(Options{Faults: set, Now: func() time.Time { return time.UnixMilli(ms) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	t.Cleanup(set.Close)
	return v
}

func TestRequestVectors(t *testing.T) {
	for _, vector := range readVectors(t).Requests {
		t.Run(vector.Name, func(t *testing.T) {
			text := requestText(vector.Method, vector.Path, vector.Nonce, vector.Query, vector.Body)
			if text != vector.Text {
				t.Errorf("text %q, want %q", text, vector.Text)
			}
			if got := hex.EncodeToString(digest(text)); got != vector.Digest {
				t.Errorf("digest %s, want %s", got, vector.Digest)
			}
			private := ed25519.NewKeyFromSeed(fromHex(t, vector.Secret))
			if got := hex.EncodeToString(ed25519.Sign(private, digest(text))); got != vector.Signature {
				t.Errorf("signature %s, want %s", got, vector.Signature)
			}

			v := at(t, vector.Nonce)
			v.apiPublicKey = fromHex(t, vector.Key)
			check := func(change func(r *http.Request)) *refusal {
				r := httptest.NewRequest(vector.Method, "http://sandbox"+vector.Path+"?"+vector.Query, strings.NewReader(vector.Body))
				r.Header.Set("BIZ-API-KEY", vector.Key)
				r.Header.Set("BIZ-API-NONCE", vector.Nonce)
				r.Header.Set("BIZ-API-SIGNATURE", vector.Signature)
				change(r)
				var body bytes.Buffer
				if _, err := body.ReadFrom(r.Body); err != nil {
					t.Fatal(err)
				}
				return v.checkSignature(r, body.Bytes())
			}
			for name, change := range map[string]func(*http.Request){
				"method":    func(r *http.Request) { r.Method = "PATCH" },
				"path":      func(r *http.Request) { r.URL.Path += "x" },
				"query":     func(r *http.Request) { r.URL.RawQuery += "&x=1" },
				"nonce":     func(r *http.Request) { r.Header.Set("BIZ-API-NONCE", "2"+vector.Nonce[1:]) },
				"body":      func(r *http.Request) { r.Body = http.NoBody; r.URL.RawQuery += vector.Body + "x" },
				"key":       func(r *http.Request) { r.Header.Set("BIZ-API-KEY", v.APISecret()) },
				"signature": func(r *http.Request) { r.Header.Set("BIZ-API-SIGNATURE", strings.Repeat("00", 64)) },
				"length":    func(r *http.Request) { r.Header.Set("BIZ-API-SIGNATURE", vector.Signature[2:]) },
				"no header": func(r *http.Request) { r.Header.Del("BIZ-API-SIGNATURE") },
			} {
				if got := check(change); got == nil || got.status != 401 || got.code != codeKeyAuth {
					t.Errorf("another %s: %+v", name, got)
				}
			}
			for range 2 { // a second time, too: nobody knows that Cobo remembers
				if got := check(func(*http.Request) {}); got != nil {
					t.Errorf("refused: %+v", got)
				}
			}
		})
	}
}

func TestPublishedKeyPair(t *testing.T) {
	published := readVectors(t).Published
	private := ed25519.NewKeyFromSeed(fromHex(t, published.Seed))
	if got := hex.EncodeToString(private.Public().(ed25519.PublicKey)); got != published.Pubkey {
		t.Errorf("public key %s, want %s", got, published.Pubkey)
	}
}

func TestResponseVectors(t *testing.T) {
	for _, vector := range readVectors(t).Responses {
		t.Run(vector.Name, func(t *testing.T) {
			v := at(t, vector.Timestamp)
			v.responseKey = ed25519.NewKeyFromSeed(fromHex(t, vector.Seed))
			if v.ResponsePublicKey() != vector.Pubkey {
				t.Errorf("public key %s, want %s", v.ResponsePublicKey(), vector.Pubkey)
			}
			if got := hex.EncodeToString(digest(replyText(vector.Body, vector.Timestamp))); got != vector.Digest {
				t.Errorf("digest %s, want %s", got, vector.Digest)
			}
			header := make(http.Header)
			v.signReply(header, []byte(vector.Body))
			for name, want := range map[string]string{
				"BIZ-TIMESTAMP": vector.Timestamp, "BIZ_TIMESTAMP": vector.Timestamp,
				"BIZ-RESP-SIGNATURE": vector.Signature, "BIZ_RESP_SIGNATURE": vector.Signature,
			} {
				if got := header[name]; len(got) != 1 || got[0] != want {
					t.Errorf("%s is %q, want %s", name, got, want)
				}
			}
		})
	}
}

// JavaScript's SDK signs a space as + and sends %20.
func TestQueryThatWasSignedAnotherWay(t *testing.T) {
	v := at(t, "1718587017026")
	signed := func(query string) []byte {
		return ed25519.Sign(v.apiSecret, digest(requestText("GET", "/v2/x", "n", query, "")))
	}
	for sent, text := range map[string]string{
		"name=a%20b&limit=1": "name=a+b&limit=1",
		"a=1&b=%2C":          "a=1&b=%2C",
		"a=1,2":              "a=1%2C2",
	} {
		u := &url.URL{Path: "/v2/x", RawQuery: sent}
		if !signedAs(v.apiPublicKey, signed(text), "GET", u, "n", "") {
			t.Errorf("%s, signed as %s, is refused", sent, text)
		}
		if signedAs(v.apiPublicKey, signed("limit=2"), "GET", u, "n", "") {
			t.Errorf("%s, signed as something else, is accepted", sent)
		}
	}
}

// Only what was signed is accepted.
func FuzzSignedAs(f *testing.F) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a=1&b=2", "1718587017026", `{"type":"KeyGen"}`)
	f.Add("a=%zz&&=", "", "|")
	f.Fuzz(func(t *testing.T, query, nonce, body string) {
		u := &url.URL{Path: "/v2/x", RawQuery: query}
		signature := ed25519.Sign(private, digest(requestText("POST", "/v2/x", nonce, query, body)))
		if !signedAs(public, signature, "POST", u, nonce, body) {
			t.Fatal("what was signed is refused")
		}
		for _, changed := range []*url.URL{{Path: "/v2/y", RawQuery: query}, {Path: "/v2/x", RawQuery: query + "&c=3"}} {
			if signedAs(public, signature, "POST", changed, nonce, body) {
				t.Fatalf("%s is accepted", changed)
			}
		}
		if signedAs(public, signature, "POST", u, nonce, body+" ") || signedAs(public, signature, "PUT", u, nonce, body) {
			t.Fatal("another body or method is accepted")
		}
	})
}

package cobo

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	sandbox "github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// TestUnsignedRepliesAreNotBelieved: whatever they say, and whoever else signed
// them. The vendor's proxies may answer four statuses without a signature.
func TestUnsignedRepliesAreNotBelieved(t *testing.T) {
	stranger := &wire{key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", 32)))}
	replay := func(w http.ResponseWriter, _ *http.Request) { // signed, and another body
		signAs(w.Header(), wireKey, `{"vault_id":"other"}`, "1718587017999")
		io.WriteString(w, `{"vault_id":"`+testVault+`"}`)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"unsigned 200": unsigned(200, `{"vault_id":"`+testVault+`"}`), "unsigned 201": unsigned(201, "{}"),
		"unsigned 302": unsigned(302, ""), "unsigned 400": unsigned(400, "{}"), "unsigned 401": unsigned(401, "{}"),
		"unsigned 403": unsigned(403, "{}"), "unsigned 404": unsigned(404, `{"error_code":2028}`),
		"signed by a stranger": stranger.says(200, testVaultView()), "404 of a stranger": stranger.says(404, `{"error_code":2028}`),
		"another body": replay,
	} {
		w := newWire(t, nil)
		w.answer(routeVault, answer)
		_, err := w.p.Inspect(t.Context(), attempt().Wallet)
		wantClass(t, err, provider.Verification, provider.ReasonVerification)
		if notFound(err) || refused(err) {
			t.Errorf("%s is believed: %v", name, err)
		}
		w.answer("PUT "+vaultPath+routeNew, answer)
		_, err = w.p.upgradeGroup(t.Context(), testVault, newGroupID)
		wantClass(t, err, provider.InDoubt, provider.ReasonVerification)
		if refused(err) {
			t.Errorf("%s is taken for a refusal: %v", name, err)
		}
	}
	for status, class := range map[int]provider.Class{
		414: provider.Terminal, 429: provider.RateLimited, 500: provider.Retryable, 502: provider.Retryable, 503: provider.Retryable, 504: provider.Retryable,
	} {
		w := newWire(t, nil)
		w.answer(routeVault, unsigned(status, `{"error_code":2024,"error_id":"0b6ddf19083c4bd1"}`))
		_, err := w.p.Inspect(t.Context(), attempt().Wallet)
		if got, _ := provider.ClassOf(err); got != class {
			t.Errorf("%d: %v is %s, want %s", status, err, got, class)
		}
		if strings.Contains(err.Error(), "2024") || strings.Contains(err.Error(), "0b6ddf19083c4bd1") {
			t.Errorf("%d: something of the body is believed: %v", status, err)
		}
	}
}

// TestSignedInEitherSpelling: real replies have one, the other, or both.
func TestSignedInEitherSpelling(t *testing.T) {
	body := `{"vault_id":"` + testVault + `"}`
	for _, names := range [][2]string{{"BIZ-TIMESTAMP", "BIZ-RESP-SIGNATURE"}, {"BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE"}} {
		w := newWire(t, nil)
		w.answer(routeVault, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header()[names[0]] = []string{"1718587017999"}
			rw.Header()[names[1]] = []string{hex.EncodeToString(ed25519.Sign(w.key, digest([]byte(body+"|1718587017999"))))}
			io.WriteString(rw, body)
		})
		if v, err := w.p.getVault(t.Context(), testVault); err != nil || v.ID != testVault {
			t.Errorf("%s: %+v, %v", names, v, err)
		}
	}
}

// TestInternalErrorsAreNoRefusal, whatever their status.
func TestInternalErrorsAreNoRefusal(t *testing.T) {
	w := newWire(t, nil)
	w.answer("PUT "+vaultPath+routeNew, w.says(400, `{"error_code":1000,"error_message":"x","error_id":"0b6ddf19083c4bd1"}`))
	_, err := w.p.upgradeGroup(t.Context(), testVault, newGroupID)
	wantClass(t, err, provider.InDoubt, provider.ReasonProviderError)
	if refused(err) {
		t.Error("taken for a definite no")
	}
}

// TestImpossibleReplies are never success, and nothing they hold goes anywhere.
func TestImpossibleReplies(t *testing.T) {
	long := `{"vault_id":"` + strings.Repeat("x", maxReply) + `"}`
	for name, body := range map[string]string{
		"not JSON": "hello", "a list": "[]", "a text": `"ok"`, "nothing": "", "too long": long, "no id": "{}",
		"an id with a path": `{"vault_id":"../x"}`, "an id of another type": `{"vault_id":7}`,
		"a key with a semicolon": `{"vault_id":"v","root_pubkeys":[{"curve":"ED25519","root_pubkey":"a;SECP256K1:b"}]}`,
		"a curve with a colon":   `{"vault_id":"v","root_pubkeys":[{"curve":"ED25519:a;X","root_pubkey":"b"}]}`,
	} {
		w := newWire(t, nil)
		w.answer(routeVault, w.says(200, body))
		_, err := w.p.Inspect(t.Context(), attempt().Wallet)
		wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		w.answer("PUT "+vaultPath+routeNew, w.says(200, strings.ReplaceAll(body, "vault_id", "key_share_holder_group_id")))
		if _, err = w.p.upgradeGroup(t.Context(), testVault, newGroupID); !inDoubt(err) && name != "a key with a semicolon" && name != "a curve with a colon" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPages follows a list to its end, and no further.
func TestPages(t *testing.T) {
	pages := func(bodies ...string) http.HandlerFunc {
		var answers []http.HandlerFunc
		for _, b := range bodies {
			answers = append(answers, newSigner().says(200, b))
		}
		return inOrder(answers...)
	}
	entry := func(id string) string { return `{"key_share_holder_group_id":"` + id + `"}` }
	full := strings.TrimSuffix(strings.Repeat(entry("a")+",", pageSize), ",")
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   string // ids; empty: an error
	}{
		"two pages":         {pages(`{"data":[`+entry("a")+`],"pagination":{"after":"x y/+"}}`, `{"data":[`+entry("b")+`],"pagination":{"after":""}}`), "a b"},
		"no pagination":     {pages(`{"data":[` + entry("a") + `]}`), "a"},
		"an empty list":     {pages(`{}`), " "},
		"one comes twice":   {pages(`{"data":[`+entry("a")+`,`+entry("b")+`],"pagination":{"after":"x"}}`, `{"data":[`+entry("b")+`]}`), "a b"},
		"full, and silent":  {pages(`{"data":[` + full + `]}`), ""},
		"round in a circle": {pages(`{"data":[` + entry("a") + `],"pagination":{"after":"x"}}`), ""},
		"a huge cursor":     {pages(`{"data":[],"pagination":{"after":"` + strings.Repeat("x", maxCursor+1) + `"}}`), ""},
		"without an id":     {pages(`{"data":[{}]}`), ""},
		"not objects":       {pages(`{"data":["a"]}`), ""},
	} {
		w := newWire(t, nil)
		w.answer(routeGroups, tt.answer)
		groups, err := w.p.listGroups(t.Context(), testVault)
		var ids []string
		for _, g := range groups {
			ids = append(ids, g.ID)
		}
		if got := strings.Join(ids, " "); tt.want == "" {
			wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		} else if err != nil || got != strings.TrimSpace(tt.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if name == "two pages" {
			if seen := w.asked(routeGroups); !strings.HasSuffix(seen[1].uri, "?after=x+y%2F%2B&limit=50") {
				t.Errorf("the second page was asked for as %s", seen[1].uri)
			}
		}
	}
}

// TestManyVaults walks the sandbox's pages.
func TestManyVaults(t *testing.T) {
	o := newOrganisationOf(t, sandbox.Options{Vaults: 120, Pace: pace}, nil, nil)
	var found, want []string
	for _, v := range o.vendor.Views() {
		want = append(want, v.ID)
	}
	stop := errors.New("enough")
	err := o.p.Wallets(t.Context(), func(w provider.Wallet) error {
		found = append(found, w.ExternalID)
		return nil
	})
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%d vaults, %v", len(found), err)
	}
	if n := o.vendor.Stats().Requests["cobo.list_vaults"]; n != 3 {
		t.Errorf("%d pages", n)
	}
	if err := o.p.Wallets(t.Context(), func(provider.Wallet) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
}

// TestNoRequestIsRepeatedWithItsNonce: when a connection that was used before
// breaks after a request was written, net/http would send a GET again by
// itself, as it was signed the first time.
func TestNoRequestIsRepeatedWithItsNonce(t *testing.T) {
	w := newWire(t, nil)
	if _, err := w.p.getVault(t.Context(), testVault); err != nil { // opens the connection
		t.Fatal(err)
	}
	w.answer(routeVault, hangsUp)
	if _, err := w.p.getVault(t.Context(), testVault); err == nil {
		t.Fatal("no error")
	}
	nonces := map[string]bool{}
	seen := w.asked(routeVault)
	for _, r := range seen {
		nonces[r.header.Get("BIZ-API-NONCE")] = true
		if r.header.Get("Transfer-Encoding") != "" || r.header.Get("Content-Length") != "" || r.body != "" {
			t.Errorf("a GET with a body: %v", r.header)
		}
	}
	if len(seen) != 2 || len(nonces) != 2 {
		t.Errorf("%d requests with %d nonces, want 2 and 2", len(seen), len(nonces))
	}
	// The sandbox refuses a request that comes twice; with faults that break
	// connections, none does.
	o := newOrganisation(t, map[string]string{assume.CoboNonces: assume.OnceInFiveMinutes}, nil)
	o.fail(faults.Fault{Operation: "cobo.get_vault", Kind: faults.LostRequest, Rate: 0.5}, faults.Fault{Operation: "cobo.list_groups", Kind: faults.DropStream, Rate: 0.5})
	for range 40 {
		if _, err := o.p.Inspect(t.Context(), o.wallet()); err != nil {
			wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		}
	}
}

func TestObserving(t *testing.T) {
	w := newWire(t, func(o *Options) { o.CallTimeout = 50 * time.Millisecond })
	_, _ = w.p.getVault(t.Context(), testVault)
	w.answer(routeVault, unsigned(503, ""))
	_, _ = w.p.getVault(t.Context(), testVault)
	w.answer(routeVault, hangsUp)
	_, _ = w.p.getVault(t.Context(), testVault)
	w.answer(routeVault, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := w.p.getVault(t.Context(), testVault)
	wantClass(t, err, provider.Retryable, provider.ReasonTimeout)
	want := []string{"get_vault 200", "get_vault 503", "get_vault network", "get_vault timeout"}
	if got := w.codes(); !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
	for _, c := range w.codes() {
		if op, _, _ := strings.Cut(c, " "); !slices.Contains(Operations, op) {
			t.Errorf("%s is not in Operations", op)
		}
	}
}

// TestNoConnection: nothing was sent, so nothing is in doubt.
func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	l.Close()
	w := newWire(t, func(o *Options) { o.BaseURL = "http://" + refusing + "/v2" })
	_, err = w.p.upgradeGroup(t.Context(), testVault, newGroupID)
	wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%q", err)
	}
}

func TestClientSideLimits(t *testing.T) {
	w := newWire(t, func(o *Options) { o.RateLimits = []RateLimit{{Requests: 1, Per: time.Hour}} })
	if _, err := w.p.getVault(t.Context(), testVault); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := w.p.upgradeGroup(ctx, testVault, newGroupID)
	wantClass(t, err, provider.RateLimited, provider.ReasonRateLimited)
	if len(w.changes()) > 0 {
		t.Error("sent all the same")
	}
}

func TestSecretProblems(t *testing.T) {
	var secret string
	var trouble error
	w := newWire(t, func(o *Options) { o.APISecret = func() (string, error) { return secret, trouble } })
	for _, bad := range []string{"", "hunter2", testSecret + "00"} {
		secret = bad
		_, err := w.p.getVault(t.Context(), testVault)
		wantClass(t, err, provider.Terminal, provider.ReasonAuth)
		if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q tells the secret", err)
		}
	}
	trouble = errors.New("reading a file: gone")
	_, err := w.p.getVault(t.Context(), testVault)
	wantClass(t, err, provider.Retryable, provider.ReasonAuth)
	if len(w.asked("")) > 0 {
		t.Error("something was sent")
	}
	secret, trouble = testSecret, nil // replaced on disk
	if _, err := w.p.getVault(t.Context(), testVault); err != nil {
		t.Error(err)
	}
}

// TestNothingSecretIsSaid plants a mark in everything that crosses the wire and
// looks for it in every error, every reference and every log line.
func TestNothingSecretIsSaid(t *testing.T) {
	const planted = "S3NT1NEL"
	signer := newSigner()
	words := strings.ReplaceAll(fmt.Sprintf(`{"key_share_holder_group_id":%q,"type":%q,"status":%q,"participants":2,"threshold":2,`+
		`"key_share_holders":[{"name":%q,"type":%q,"tss_node_id":"n","status":%q,"account_id":%q}]}`,
		newGroupID, "X", "X", "X", "X", "X", "X"), `"X"`, `"`+planted+`"`)
	hostile := map[string]http.HandlerFunc{
		"error text":         signer.says(422, `{"error_code":2006,"error_message":"`+planted+`","error_id":"`+planted+`"}`),
		"error of any form":  signer.says(403, `{"error_code":"`+planted+`","error_message":{"`+planted+`":1},"error_id":["`+planted+`"]}`),
		"error not JSON":     unsigned(500, planted),
		"success not JSON":   signer.says(200, planted),
		"unsigned":           unsigned(200, planted),
		"a group of words":   signer.says(200, words),
		"a list of words":    signer.says(200, `{"data":[`+words+`],"pagination":{"after":"`+planted+`"}}`),
		"a request of words": signer.says(200, `{"tss_request_id":"`+testReq+`","status":"`+planted+`","type":"`+planted+`","description":"`+planted+`"}`),
		"a status of words":  signer.says(200, `{"tss_request_id":"`+testReq+`","status":"`+planted+`"}`),
		"wrong types":        signer.says(200, `{"vault_id":{"`+planted+`":1},"data":"`+planted+`"}`),
		"an id with a space": signer.says(200, `{"vault_id":"`+planted+` x","key_share_holder_group_id":"`+planted+` x","tss_request_id":"`+planted+` x"}`),
		"a forged signature": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("BIZ-TIMESTAMP", planted)
			w.Header().Set("BIZ-RESP-SIGNATURE", planted)
		},
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, planted+"\r\n\r\n")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+planted+"/"+planted, http.StatusFound)
		},
		"a bad retry-after": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", planted)
			unsigned(429, planted)(w, r)
		},
	}
	for name, answer := range hostile {
		for _, route := range []string{routeVault, routeGroups, routeTSS, routeCreate, routeAskTSS, routeOneTSS,
			"GET " + vaultPath + routeNew, "PUT " + vaultPath + routeNew, "POST " + vaultPath + routeNew + "/delete"} {
			w := newWire(t, nil)
			w.groups(oldMain(), newOurs())
			w.answer(routeCreate, w.says(201, wireGroup(with(freshOurs(), func(g *group) { g.ID = "another" }))))
			w.answer(routeAskTSS, w.says(201, ourRequest(requestPending)))
			w.answer(routeOneTSS, w.says(200, ourRequest(requestSuccess)))
			w.answer(route, answer)
			a := pending(t, ourRefs())
			var said []string
			say := func(v any) { said = append(said, fmt.Sprintf("%+v", v)) }
			found, err := w.p.Inspect(t.Context(), a.Wallet)
			say(found)
			say(err)
			rec := &recorder{}
			_, err = w.p.Open(t.Context(), attempt(), rec.checkpoint)
			say(err)
			for _, r := range rec.refs {
				say(string(r.Vendor))
			}
			ready, err := w.session(t, ourRefs()).Await(t.Context())
			say(ready)
			say(err)
			say(w.p.Promote(t.Context(), a))
			say(w.p.Discard(t.Context(), a))
			say(retire(t, w.p, retirement(a)))
			text := strings.Join(said, "\n") + w.logged()
			if strings.Contains(text, planted) {
				t.Errorf("%s at %s: said it:\n%s", name, route, text)
			}
			if strings.Contains(text, testSecret) || strings.Contains(strings.ToLower(text), "biz-api") {
				t.Errorf("%s at %s: tells how requests are signed", name, route)
			}
			if w.logged() == "" {
				t.Fatal("nothing is logged, so nothing is tested")
			}
		}
	}
}

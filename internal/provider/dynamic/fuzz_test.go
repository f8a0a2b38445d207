package dynamic

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/rotatord/rotatord/internal/provider"
)

// scripted is a vendor without a network: a fuzzer asks it thousands of times a
// second. Each request gets the answer of its route.
type scripted map[string]func() *http.Response

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := s[r.Method+" "+r.URL.Path]
	if answer == nil {
		answer = reply(404, "application/json", []byte(`{"error":"not found","code":"not_found"}`))
	}
	got := answer()
	got.Request = r
	return got, nil
}

func reply(status int, kind string, body []byte) func() *http.Response {
	return func() *http.Response {
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(body)),
		}
	}
}

// newScripted is a provider whose vendor answers like the real one, but for what
// the routes given say.
func newScripted(t *testing.T, routes scripted) *Provider {
	t.Helper()
	all := scripted{
		routeAuth:      reply(200, "application/json", []byte(`{"encodedJwts":{"minifiedJwt":"mini.jwt"}}`)),
		routeByAddress: reply(200, "application/json", []byte(walletReplyText)),
		routeLocations: reply(201, "application/json", []byte(locationsText)),
	}
	for route, answer := range routes {
		all[route] = answer
	}
	p, err := New(Options{
		Name: "dynamic-test", BaseURL: "http://127.0.0.1:1", EnvironmentID: testEnvironment, Auth: AuthTokenExchange,
		APIToken: func() (string, error) { return "dyn_token", nil }, RateLimits: []RateLimit{}, HTTPClient: &http.Client{Transport: all},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantSentence: whatever the vendor sent, an error is classified, one printable
// line, and too short to hold a reply.
func wantSentence(t *testing.T, err error) {
	t.Helper()
	class, reason := provider.ClassOf(err)
	if class == "" || reason == "" {
		t.Fatalf("%v is not classified", err)
	}
	if text := err.Error(); len(text) > 400 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("no sentence: %q", text)
	}
}

// FuzzOpen has the vendor answer a refresh with anything, as plain JSON and as
// events. What is on record is never the active set, a session exists only for a
// pending set on record, and it is ready only for that one.
func FuzzOpen(f *testing.F) {
	f.Add(true, []byte("event: room_created\ndata: "+roomText+"\n\nevent: ceremony_complete\ndata: "+completeText+"\n\n"))
	f.Add(false, []byte(roomText))
	f.Add(true, []byte("event: error\ndata: {\"error\":\"wallet_not_active\"}\n\n"))
	f.Add(false, []byte(strings.Replace(roomText, newSet, oldSet, 1)))
	f.Fuzz(func(t *testing.T, stream bool, body []byte) {
		kind := "application/json"
		if stream {
			kind = "text/event-stream; charset=utf-8"
		}
		p := newScripted(t, scripted{routeRefresh: reply(200, kind, body)})
		rec := &recorder{}
		s, err := p.Open(t.Context(), attempt(), rec.checkpoint)
		for i, pending := range rec.pending {
			if i > 0 || pending == oldSet || rec.refs[i].Room == "" {
				t.Fatalf("checkpoint %d: %q, %+v", i, pending, rec.refs[i])
			}
		}
		if err != nil {
			wantSentence(t, err)
			// The refresh was asked for: only a room on record is a definite end.
			if class, _ := provider.ClassOf(err); len(rec.pending) == 0 && class != provider.InDoubt && !strings.Contains(string(body), "error") {
				t.Fatalf("nothing is on record, and %q is no doubt: %v", body, err)
			}
			return
		}
		defer s.Close()
		if len(rec.pending) != 1 || rec.pending[0] == "" {
			t.Fatalf("a session without a pending share set on record: %q", rec.pending)
		}
		ready, err := s.Await(t.Context())
		switch {
		case err != nil:
			wantSentence(t, err)
		case !ready.Ready || ready.ShareSet != rec.pending[0]:
			t.Fatalf("on record is %q, ready is %+v", rec.pending[0], ready)
		case stream && !bytes.Contains(body, []byte("ceremony_complete")):
			t.Fatalf("ready without the vendor's word: %q", body)
		}
	})
}

// FuzzAuthenticate: a token that came from the vendor fits into a header, and an
// error says nothing of one that does not.
func FuzzAuthenticate(f *testing.F) {
	f.Add([]byte(`{"message":"ok","encodedJwts":{"jwt":"long.jwt","minifiedJwt":"mini.jwt"}}`))
	f.Add([]byte(`{"encodedJwts":{"jwt":"a\r\nX-Evil: 1"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := newScripted(t, scripted{routeAuth: reply(200, "application/json", body)})
		token, err := p.token(t.Context(), withSession)
		if err != nil {
			wantSentence(t, err)
			return
		}
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Fatalf("%q is no token", token)
		}
	})
}

// FuzzWallets: discovery yields wallets with an id, and none twice as often as
// the vendor lists it.
func FuzzWallets(f *testing.F) {
	f.Add([]byte(user(true, testWallet, testAddress, propertiesText)))
	f.Add([]byte(user(false, testWallet, testAddress, propertiesText)))
	f.Add([]byte(`{"verifiedCredentials":[{"id":"a","walletName":"metamask"},null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p := newScripted(t, scripted{"GET /api/v0/sdk/" + testEnvironment + "/users": reply(200, "application/json", body)})
		n := 0
		err := p.Wallets(t.Context(), func(w provider.Wallet) error {
			if n++; w.ExternalID == "" {
				t.Fatalf("a wallet without an id: %+v", w)
			}
			return nil
		})
		if err != nil {
			wantSentence(t, err)
		}
		if most := bytes.Count(body, []byte("{")); n > most {
			t.Fatalf("%d wallets out of %d objects", n, most)
		}
	})
}

// FuzzSettings: what an operator writes beside a wallet is read or refused, and
// no number of shares that it states makes up for one that the vendor tells.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"external_client_shares": 1}`))
	f.Add([]byte(`{"external_client_shares": -1}`))
	f.Add([]byte(`{"external_client_shares": 1e99}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSettings(provider.Wallet{ExternalID: testWallet, Settings: json.RawMessage(text)})
		if err != nil {
			if class, _ := provider.ClassOf(err); class != provider.Terminal {
				t.Fatalf("%v would be tried again", err)
			}
			return
		}
		if _, err := clearanceOf(walletView{ShareSet: oldSet, Scheme: "TWO_OF_TWO", KeyShares: []keyShare{{"dynamic"}}}, s); err == nil {
			t.Fatalf("%s clears a wallet that is backed up at the vendor", text)
		}
		cl, err := clearanceOf(walletView{ShareSet: oldSet, Scheme: "TWO_OF_TWO"}, s)
		if err == nil && (s.ExternalClientShares != 1 || cl.shares != 1) {
			t.Fatalf("%s clears a wallet of two parties with %d shares", text, cl.shares)
		}
	})
}

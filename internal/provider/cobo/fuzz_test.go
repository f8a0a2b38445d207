package cobo

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/provider"
)

// scripted is a vendor without a network, asked thousands of times a second. It
// gives the answers of a route one after the other, the last one for ever, and
// signs them.
type scripted struct {
	answers map[string][][]byte // by method and path
	status  int                 // default 200
	forged  bool                // not signed
	asked   int
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked++
	res := &http.Response{StatusCode: max(s.status, 200), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r}
	route := r.Method + " " + r.URL.Path
	var body []byte
	switch all := s.answers[route]; len(all) {
	case 0:
		res.StatusCode = http.StatusNotFound
	case 1:
		body = all[0]
	default:
		body, s.answers[route] = all[0], all[1:]
	}
	if !s.forged {
		signAs(res.Header, wireKey, string(body), "1718587017999")
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (s *scripted) provider(t *testing.T) *Provider {
	t.Helper()
	p, err := New(Options{
		Name: "cobo-test", BaseURL: "http://127.0.0.1:1/v2", Nodes: []string{nodeA, nodeB, nodeC},
		APISecret: func() (string, error) { return testSecret, nil }, HTTPClient: &http.Client{Transport: s},
		ResponsePublicKey: hex.EncodeToString(wireKey.Public().(ed25519.PublicKey)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantSentence: whatever the vendor sent, an error is classified, one printable
// line, and too short to hold a reply.
func wantSentence(t *testing.T, err error) provider.Class {
	t.Helper()
	class, reason := provider.ClassOf(err)
	if class == "" || reason == "" {
		t.Fatalf("%v is not classified", err)
	}
	if text := err.Error(); len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("no sentence: %q", text)
	}
	return class
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzModels reads a body as each of the vendor's models. What is accepted holds
// only ids and keys of a form that is fit for paths and records, and reads the
// same again; for what is not, it is unknown what the vendor did.
func FuzzModels(f *testing.F) {
	f.Add(encoded(testVaultView()))
	f.Add(encoded(wireGroup(newOurs())))
	f.Add(encoded(ourRequest(requestSuccess)))
	f.Add([]byte(`{"vault_id":"../../x","key_share_holder_group_id":"a","tss_request_id":"\u0000"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &scripted{answers: map[string][][]byte{
			routeVault: {body}, "GET " + vaultPath + routeNew: {body}, routeOneTSS: {body}, routeCreate: {body}, routeAskTSS: {body},
		}}
		p := s.provider(t)
		if v, err := p.getVault(t.Context(), testVault); err == nil {
			wantID(t, v.ID)
			wantKeys(t, v.RootPubkeys)
			wantAgain(t, v)
		} else if class := wantSentence(t, err); class != provider.Retryable {
			t.Fatalf("a reading that made no sense is %s: %v", class, err)
		}
		if g, err := p.getGroup(t.Context(), testVault, newGroupID); err == nil {
			if g.ID != newGroupID {
				t.Fatalf("asked for group %s, took %s", newGroupID, g.ID)
			}
			wantKeys(t, g.Keys)
			for _, h := range g.Holders {
				if h.Node != "" {
					wantID(t, h.Node)
				}
			}
			wantAgain(t, g)
		}
		if q, err := p.getRequest(t.Context(), testVault, testReq); err == nil {
			if q.ID != testReq {
				t.Fatalf("asked for TSS request %s, took %s", testReq, q.ID)
			}
			if q.Target != "" {
				wantID(t, q.Target)
			}
			wantAgain(t, q)
		}
		_, created := p.createGroup(t.Context(), testVault, newGroup{})
		_, requested := p.createRequest(t.Context(), testVault, newTSSRequest{Target: newGroupID})
		for _, err := range []error{created, requested} {
			if err != nil && wantSentence(t, err) != provider.InDoubt {
				t.Fatalf("the vendor did it or not, and this is no doubt: %v", err)
			}
		}
	})
}

func wantID(t *testing.T, id string) {
	t.Helper()
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool {
		return r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		t.Fatalf("%q is no id", id)
	}
}

func wantKeys(t *testing.T, keys []rootKey) {
	t.Helper()
	for _, k := range keys {
		// These two separate keys in the text that stands for a wallet's key.
		if k.Curve == "" || k.RootPubkey == "" || strings.ContainsAny(k.Curve+k.RootPubkey, ":;") {
			t.Fatalf("%+v is no key", k)
		}
	}
}

func wantAgain[T any](t *testing.T, v T) {
	t.Helper()
	var again T
	if err := json.Unmarshal(encoded(v), &again); err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	if !bytes.Equal(encoded(v), encoded(again)) {
		t.Fatalf("%+v reads as %+v the second time", v, again)
	}
}

// FuzzPages walks a list whose pages are anything, one per line. It ends, asks
// no more often than there are pages and once again, and never sends back a
// position that is too long for a query.
func FuzzPages(f *testing.F) {
	page := func(after string, entries ...any) string {
		return string(encoded(map[string]any{"data": entries, "pagination": map[string]any{"before": "", "after": after, "total_count": 2}}))
	}
	f.Add(page("next", wireGroup(oldMain())) + "\n" + page("", wireGroup(newOurs())))
	f.Add(page("same") + "\n" + page("same"))
	f.Add(page(strings.Repeat("long", 1000)))
	f.Add(`{"data":[null]}`)
	f.Add(`{"data":[` + strings.Repeat(`{},`, pageSize) + `{}]}`)
	f.Fuzz(func(t *testing.T, pages string) {
		var bodies [][]byte
		for line := range strings.Lines(pages) {
			bodies = append(bodies, []byte(line))
		}
		s := &scripted{answers: map[string][][]byte{routeGroups: bodies, routeTSS: slices.Clone(bodies)}}
		p := s.provider(t)
		groups, err := p.listGroups(t.Context(), testVault)
		if s.asked > len(bodies)+1 {
			t.Fatalf("%d pages were asked for %d times", len(bodies), s.asked)
		}
		if err != nil {
			wantSentence(t, err)
			return
		}
		seen := map[string]bool{}
		for _, g := range groups {
			wantID(t, g.ID)
			if seen[g.ID] {
				t.Fatalf("group %s twice", g.ID)
			}
			seen[g.ID] = true
		}
	})
}

// FuzzErrorReplies has the vendor refuse with anything. Without its signature not
// a byte of the body counts; a change whose outcome is open is never called a
// refusal; and no body makes an error of what is none.
func FuzzErrorReplies(f *testing.F) {
	f.Add(uint16(400), true, []byte(`{"error_code":2028,"error_message":"not found","error_id":"0b6ddf19083c4bd1a9ca01bec44b24dd"}`))
	f.Add(uint16(500), true, []byte(`{"error_code":2000}`))
	f.Add(uint16(400), true, []byte(`{"error_code":1000}`))
	f.Add(uint16(503), false, []byte(`{"error_code":2024,"error_id":"0b6ddf19083c4bd1a9ca01bec44b24dd"}`))
	f.Add(uint16(429), false, []byte(`<html>slow down</html>`))
	f.Add(uint16(403), false, []byte(`{"error_code":2024}`))
	f.Fuzz(func(t *testing.T, code uint16, signed bool, body []byte) {
		status := 300 + int(code)%300
		call := func(body []byte) (read, change error) {
			s := &scripted{status: status, forged: !signed, answers: map[string][][]byte{routeVault: {body}, routeCreate: {body}}}
			p := s.provider(t)
			_, read = p.getVault(t.Context(), testVault)
			_, change = p.createGroup(t.Context(), testVault, newGroup{})
			return read, change
		}
		read, change := call(body)
		for _, err := range []error{read, change} {
			if err == nil {
				t.Fatalf("HTTP status %d is taken for success", status)
			}
			wantSentence(t, err)
		}
		if class, _ := provider.ClassOf(change); class != provider.InDoubt && (status >= 500 || !signed && !mayBeUnsigned(status)) {
			t.Fatalf("HTTP status %d, signed %v: %v is %s", status, signed, change, class)
		}
		if class, _ := provider.ClassOf(read); class == provider.InDoubt {
			t.Fatalf("a reading is in doubt: %v", read)
		}
		if signed {
			return
		}
		blankRead, blankChange := call(nil)
		if read.Error() != blankRead.Error() || change.Error() != blankChange.Error() {
			t.Fatalf("nobody signed %q, and it is heard: %v, %v", body, read, change)
		}
	})
}

// FuzzNewGroup has the vendor list anything as the vault, its groups and the new
// group. When that is found fit to become the Main Group, every promise of
// "prepared" is checked again, in other words than the code's.
func FuzzNewGroup(f *testing.F) {
	f.Add(encoded(testVaultView()), encoded(wireGroup(oldMain())), encoded(wireGroup(newOurs())))
	f.Add(encoded(testVaultView()), encoded(wireGroup(oldMain())), encoded(wireGroup(with(newOurs(), func(g *group) { g.Keys = g.Keys[:1] }))))
	f.Add(encoded(testVaultView()), encoded(wireGroup(oldMain())), encoded(wireGroup(with(newOurs(), func(g *group) { g.Keys = keys("old") }))))
	f.Add(encoded(testVaultView()), encoded(wireGroup(oldMain())), encoded(wireGroup(with(newOurs(), func(g *group) { g.Keys[0].RootPubkey = "xpubOther" }))))
	f.Add([]byte(`{}`), []byte(`{}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, vaultText, oldText, newText []byte) {
		listed := bytes.Join([][]byte{[]byte(`{"data":[`), oldText, []byte(`,`), newText, []byte(`],"pagination":{"after":""}}`)}, nil)
		s := &scripted{answers: map[string][][]byte{routeVault: {vaultText}, routeGroups: {listed}}}
		p := s.provider(t)
		st, err := p.look(t.Context(), testVault)
		if err != nil {
			wantSentence(t, err)
			return
		}
		g, ok := st.find(newGroupID)
		if !ok {
			return
		}
		refs := ourRefs()
		got, _, err := refs.verify(st, g, oldGroupID)
		if err != nil {
			wantSentence(t, err)
			return
		}
		want := rootKeys{"ED25519": edKey, "SECP256K1": secpKey}
		if !maps.Equal(got, want) {
			t.Fatalf("accepted with the keys %v, the vault has %v", got, want)
		}
		old, _ := st.find(oldGroupID)
		shares := map[string]bool{"": true}
		for _, k := range old.Keys {
			shares[k.ShareGroup] = true
		}
		for _, k := range g.Keys {
			if shares[k.ShareGroup] {
				t.Fatalf("accepted with shares that are not new: %+v", k)
			}
		}
		nodes := map[string]int{}
		for _, h := range g.Holders {
			if h.Type != holderCobo {
				nodes[h.Node]++
			}
		}
		if diff := cmp.Diff(map[string]int{nodeB: 1}, nodes); diff != "" || g.Participants != 2 || g.Threshold != 2 {
			t.Fatalf("accepted as %d of %d on other nodes: %s", g.Threshold, g.Participants, diff)
		}
		if _, err := st.main(); err != nil {
			t.Fatalf("accepted in a vault without a Main Group: %v", err)
		}
	})
}

// FuzzRefs: what is on record of an attempt is read as it was written, or not at
// all.
func FuzzRefs(f *testing.F) {
	f.Add(encoded(ourRefs()))
	f.Add([]byte(`{"attempt":"not an id"}`))
	f.Add([]byte(`{"requested_at":"0000-00-00"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, ok, err := readRefs(provider.Refs{Vendor: text})
		if err != nil || !ok {
			return
		}
		refs, err := r.encode()
		if err != nil {
			return // a year that JSON has no form for
		}
		again, ok, err := readRefs(refs)
		if err != nil || !ok || !bytes.Equal(encoded(again), encoded(r)) {
			t.Fatalf("%s reads as %+v, then as %+v: %v", text, r, again, err)
		}
	})
}

// FuzzSettings: what an operator writes beside a vault names nodes that can be
// nodes, each once, or is refused.
func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"tss_nodes":["coboNodeB","coboNodeC"]}`))
	f.Add([]byte(`{"tss_nodes":["a","a"]}`))
	f.Add([]byte(`{"tss_nodes":["../x"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p := (&scripted{}).provider(t)
		nodes, err := p.pool(provider.Wallet{ExternalID: testVault, Settings: text})
		if err != nil {
			if class, _ := provider.ClassOf(err); class != provider.Terminal {
				t.Fatalf("%v would be tried again", err)
			}
			return
		}
		for i, node := range nodes {
			wantID(t, node)
			if slices.Contains(nodes[:i], node) {
				t.Fatalf("node %s twice", node)
			}
		}
	})
}

// FuzzRetryAfter: no header holds the provider back for ever, or for less than no
// time.
func FuzzRetryAfter(f *testing.F) {
	f.Add("3")
	f.Add("Sun, 01 Nov 2026 12:00:00 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, header string) {
		if d := retryAfter(header, time.Unix(1_793_534_400, 0)); d < 0 || d > maxRetryAfter {
			t.Fatalf("retryAfter(%q) = %s", header, d)
		}
	})
}

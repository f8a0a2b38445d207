package cobo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What follows is a vendor whose answers are scripted word by word, for what
// the sandbox does not produce: answers that change between two looks, missing
// fields, unsigned replies. Everything that is a vendor's normal life is tested
// against the sandbox.

const (
	testVault  = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	oldGroupID = "b33130a9-6e18-44a9-9e48-8b3b41921f0e"
	newGroupID = "e8257ac8-76b8-4d1e-a1f9-eec4cb931dce"
	testReq    = "20240711114129000132315000003970"
	coboNode   = "coboCobo1"
	nodeA      = "coboNodeA"
	nodeB      = "coboNodeB"
	nodeC      = "coboNodeC"
	edKey      = "xpubEd"
	secpKey    = "xpubSecp"
	testSecret = "9d61b19defc9a2f3c4e5d60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b"

	vaultPath   = "/v2/wallets/mpc/vaults/" + testVault
	routeVault  = "GET " + vaultPath
	routeGroups = "GET " + vaultPath + "/key_share_holder_groups"
	routeCreate = "POST " + vaultPath + "/key_share_holder_groups"
	routeNew    = "/key_share_holder_groups/" + newGroupID
	routeOld    = "/key_share_holder_groups/" + oldGroupID
	routeTSS    = "GET " + vaultPath + "/tss_requests"
	routeAskTSS = "POST " + vaultPath + "/tss_requests"
	routeOneTSS = "GET " + vaultPath + "/tss_requests/" + testReq
	rootText    = "ED25519:" + edKey + ";SECP256K1:" + secpKey
)

var testAttempt = uuid.MustParse("0198c0de-0000-7000-8000-000000000001")

// wireKey signs replies.
var wireKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))

type seen struct {
	method, uri, body string
	header            http.Header
}

// wire answers each route with one function and remembers what was asked.
type wire struct {
	*httptest.Server
	p   *Provider
	key ed25519.PrivateKey // signs replies

	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []seen
	observed []string
	log      bytes.Buffer
}

func newWire(t *testing.T, configure func(*Options)) *wire {
	t.Helper()
	w := &wire{key: wireKey, answers: map[string]http.HandlerFunc{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	opts := Options{
		Name: "cobo-test", BaseURL: w.URL + "/v2", Nodes: []string{nodeA, nodeB, nodeC},
		APISecret:         func() (string, error) { return testSecret, nil },
		ResponsePublicKey: hex.EncodeToString(w.key.Public().(ed25519.PublicKey)),
		HTTPClient:        &http.Client{Transport: transport},
		Log:               slog.New(slog.NewJSONHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(operation, code string, _ time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.observed = append(w.observed, operation+" "+code)
		},
	}
	if configure != nil {
		configure(&opts)
	}
	var err error
	if w.p, err = New(opts); err != nil {
		t.Fatal(err)
	}
	w.p.settle = 0
	w.answer(routeVault, w.says(200, testVaultView()))
	w.groups(oldMain())
	w.answer(routeTSS, w.says(200, list()))
	return w
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.requests = append(w.requests, seen{r.Method, r.RequestURI, string(body), r.Header.Clone()})
	answer := w.answers[r.Method+" "+r.URL.Path]
	w.mu.Unlock()
	if answer == nil {
		answer = w.says(404, `{"error_code":2028,"error_message":"not found","error_id":"0b6ddf19083c4bd1a9ca01bec44b24dd"}`)
	}
	answer(rw, r)
}

func (w *wire) answer(route string, f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[route] = f
}

// groups is what the vendor lists from now on, and what it tells of each.
func (w *wire) groups(groups ...group) {
	entries := make([]any, len(groups))
	for i, g := range groups {
		entries[i] = wireGroup(g)
		w.answer("GET "+vaultPath+"/key_share_holder_groups/"+g.ID, w.says(200, wireGroup(g)))
	}
	w.answer(routeGroups, w.says(200, list(entries...)))
}

// says signs and sends; v is a text or is encoded as JSON.
func (w *wire) says(status int, v any) http.HandlerFunc {
	body, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		body = string(b)
	}
	return func(rw http.ResponseWriter, _ *http.Request) {
		signAs(rw.Header(), w.key, body, "1718587017999")
		rw.WriteHeader(status)
		io.WriteString(rw, body)
	}
}

func signAs(header http.Header, key ed25519.PrivateKey, body, timestamp string) {
	header.Set("BIZ-TIMESTAMP", timestamp)
	header.Set("BIZ-RESP-SIGNATURE", hex.EncodeToString(ed25519.Sign(key, digest([]byte(body+"|"+timestamp)))))
}

func unsigned(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// hangsUp reads the request and closes the connection without an answer.
func hangsUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// inOrder answers differently each time; the last answer stays.
func inOrder(answers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		f := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		f(w, r)
	}
}

// asked are the requests so far whose method and path begin like this.
func (w *wire) asked(prefix string) []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []seen
	for _, r := range w.requests {
		if strings.HasPrefix(r.method+" "+r.uri, prefix) {
			found = append(found, r)
		}
	}
	return found
}

// changes are the requests so far that might have changed the vendor.
func (w *wire) changes() []string {
	var found []string
	for _, r := range w.asked("") {
		if r.method != http.MethodGet {
			found = append(found, r.method+" "+r.uri)
		}
	}
	return found
}

func (w *wire) codes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.observed)
}

func (w *wire) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

type lockedWriter struct{ w *wire }

func (l lockedWriter) Write(b []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.log.Write(b)
}

func list(entries ...any) map[string]any {
	if entries == nil {
		entries = []any{}
	}
	return map[string]any{"data": entries, "pagination": map[string]any{"before": "", "after": "", "total_count": len(entries)}}
}

// wireGroup leaves out what is not told, as the vendor may.
func wireGroup(g group) map[string]any {
	b, _ := json.Marshal(g)
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil || v == "" })
	return m
}

func testVaultView() vault {
	return vault{ID: testVault, Type: orgControlled, RootPubkeys: []rootKey{
		{Curve: "SECP256K1", RootPubkey: secpKey}, {Curve: "ED25519", RootPubkey: edKey},
	}}
}

var yes, no = true, false

func keys(shares string) []rootKey {
	return []rootKey{
		{ShareGroup: shares + "Secp", Curve: "SECP256K1", RootPubkey: secpKey}, {ShareGroup: shares + "Ed", Curve: "ED25519", RootPubkey: edKey},
	}
}

func cobos() holder {
	return holder{Name: "Cobo", Type: holderCobo, Node: coboNode, Online: &yes, Signer: &yes, Status: holderValid}
}

func server(name, node string) holder {
	return holder{Name: name, Type: holderAPI, Node: node, Online: &yes, Signer: &yes, Status: holderValid}
}

func oldMain() group {
	return group{ID: oldGroupID, Type: mainGroup, Keys: keys("old"), Holders: []holder{cobos(), server("server", nodeA)},
		Participants: 2, Threshold: 2, Status: groupValid}
}

// newOurs is the group of the test's attempt, reshared.
func newOurs() group {
	return group{ID: newGroupID, Type: signingGroup, Keys: keys("new"), Holders: []holder{cobos(), server(mark(testAttempt), nodeB)},
		Participants: 2, Threshold: 2, Status: groupValid}
}

// freshOurs is the same before it was reshared.
func freshOurs() group {
	g := newOurs()
	g.Keys, g.Status = nil, groupNew
	return g
}

func with(g group, change func(*group)) group {
	g.Holders, g.Keys = slices.Clone(g.Holders), slices.Clone(g.Keys)
	change(&g)
	return g
}

func ourRequest(status string) tssRequest {
	return tssRequest{ID: testReq, Type: keyGenFromKeyGroup, Target: newGroupID, Status: status, Description: mark(testAttempt),
		Source: &sourceGroup{ID: oldGroupID, Nodes: []string{coboNode, nodeA}}}
}

func ourRefs() vendorRefs {
	return vendorRefs{Attempt: testAttempt, Nodes: []string{nodeB}, Participants: 2, Threshold: 2, RootKeys: rootText,
		Request: testReq, RequestedAt: time.Now()}
}

func attempt() provider.Attempt {
	return provider.Attempt{ID: testAttempt, Wallet: provider.Wallet{ID: 1, ExternalID: testVault}, OldShareSet: oldGroupID}
}

// pending is the attempt with everything on record.
func pending(t *testing.T, refs vendorRefs) provider.Attempt {
	t.Helper()
	a := attempt()
	a.PendingShareSet = newGroupID
	var err error
	if a.Refs, err = refs.encode(); err != nil {
		t.Fatal(err)
	}
	a.Refs.ShareSet = newGroupID
	return a
}

// recorder is a checkpoint that keeps what it was given.
type recorder struct {
	pending []string
	refs    []provider.Refs
	fail    int // from this checkpoint on; zero: never
}

var errRecord = errors.New("the record is not to be had")

func (r *recorder) checkpoint(_ context.Context, pending string, refs provider.Refs) error {
	if r.fail > 0 && len(r.pending)+1 >= r.fail {
		return errRecord
	}
	r.pending, r.refs = append(r.pending, pending), append(r.refs, refs)
	return nil
}

// wantClass checks an error's class and reason.
func wantClass(t *testing.T, err error, class provider.Class, reason provider.Reason) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s/%s", class, reason)
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is not classified", err)
	}
	if e.Class != class || e.Reason != reason {
		t.Fatalf("%q is %s/%s, want %s/%s", err, e.Class, e.Reason, class, reason)
	}
}

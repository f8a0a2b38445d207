package dynamic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// What follows replays single replies of the vendor word by word, for what the
// sandbox does not produce: old backends, malformed replies, broken promises.
// Everything that is a vendor's normal life is tested against the sandbox.

const (
	testEnvironment = "0f6ad9e4-8f2f-4f2f-9d9c-6a4a3f0b7c11"
	testWallet      = "95b11417-f18f-457f-8804-68e361f9164f"
	testAddress     = "0x742d35Cc6634C0532925a3b8D4C9db96C4b4d8b6"
	oldSet          = "11111111-1111-4111-8111-111111111111"
	newSet          = "22222222-2222-4222-8222-222222222222"
	otherSet        = "33333333-3333-4333-8333-333333333333"

	routeAuth      = "POST /api/v0/environments/" + testEnvironment + "/waas/authenticate"
	routeByID      = "GET /api/v0/environments/" + testEnvironment + "/waas/" + testWallet
	routeByAddress = "GET /api/v0/sdk/" + testEnvironment + "/waas/byWalletAddress/" + testAddress
	routeRefresh   = "POST /api/v0/sdk/" + testEnvironment + "/waas/" + testWallet + "/refresh"
	routeLocations = "POST /api/v0/sdk/" + testEnvironment + "/waas/" + testWallet + "/keyShares/backup/locations"

	walletReplyText = `{"wallet":{"accountAddress":"` + testAddress + `","chainName":"EVM","walletId":"` + testWallet +
		`","thresholdSignatureScheme":"TWO_OF_TWO","derivationPath":"","shareSetId":"` + oldSet + `","shareSetType":"rootUser",` +
		`"keyShares":[{"id":"` + otherSet + `","backupLocation":"external","passwordEncrypted":false}],` +
		`"otherShareSets":[{"shareSetId":"` + otherSet + `","shareSetType":"offlineRecovery","thresholdSignatureScheme":"TWO_OF_TWO","createdAt":"2026-01-01T00:00:00Z"}]}}`
	roomText = `{"roomId":"0123456789abcdef0123456789abcdef","serverKeygenIds":["3yZe7d"],"newServerKeygenIds":["4yZe7d"],` +
		`"walletId":"` + testWallet + `","accountAddress":"` + testAddress + `","shareSetId":"` + newSet + `","shareSetType":"rootUser"}`
	completeText  = `{"accountAddress":"` + testAddress + `","walletId":"` + testWallet + `","shareSetId":"` + newSet + `","shareSetType":"rootUser"}`
	locationsText = `{"message":"ok","walletId":"` + testWallet + `","locationsWithKeyShares":[{"location":"external","keyShareId":"` + otherSet +
		`"}],"shareSetId":"` + newSet + `","shareSetType":"rootUser","walletActive":true,"passwordUpdateStatus":"activated"}`
)

// seen is one request as it came in.
type seen struct {
	route, body string
	header      http.Header
}

// wire answers each route with one function and remembers what was asked.
type wire struct {
	*httptest.Server
	p *Provider

	mu       sync.Mutex
	answers  map[string]http.HandlerFunc
	requests []seen
	observed []string
	log      bytes.Buffer
}

func newWire(t *testing.T, configure func(*Options)) *wire {
	t.Helper()
	w := &wire{answers: map[string]http.HandlerFunc{
		routeAuth:      says(200, `{"message":"ok","encodedJwts":{"jwt":"long.jwt","minifiedJwt":"mini.jwt"}}`),
		routeByAddress: says(200, walletReplyText),
		routeRefresh:   streams("event: room_created\ndata: " + roomText + "\n\nevent: ceremony_complete\ndata: " + completeText + "\n\n"),
		routeLocations: says(201, locationsText),
	}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	opts := Options{
		Name: "dynamic-test", BaseURL: w.URL, EnvironmentID: testEnvironment, Auth: AuthTokenExchange,
		APIToken:   func() (string, error) { return "dyn_token", nil },
		RateLimits: []RateLimit{}, HTTPClient: &http.Client{Transport: transport},
		Log: slog.New(slog.NewJSONHandler(lockedWriter{w}, &slog.HandlerOptions{Level: slog.LevelDebug})),
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
	return w
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	route := r.Method + " " + r.URL.Path
	w.mu.Lock()
	w.requests = append(w.requests, seen{route, string(body), r.Header.Clone()})
	answer := w.answers[route]
	w.mu.Unlock()
	if answer == nil {
		says(404, `{"error":"not found","code":"not_found"}`)(rw, r)
		return
	}
	answer(rw, r)
}

func (w *wire) answer(route string, f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[route] = f
}

// asked are the requests to a route so far.
func (w *wire) asked(route string) []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []seen
	for _, r := range w.requests {
		if r.route == route {
			found = append(found, r)
		}
	}
	return found
}

// total is the number of requests so far.
func (w *wire) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.requests)
}

// codes are what Observe was told so far.
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

// says answers with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// streams answers with events and ends the stream.
func streams(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, events)
	}
}

// hangsAfter sends events and then keeps the stream open until the client goes.
func hangsAfter(events string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		streams(events)(w, r)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// hangsUp reads the request and closes the connection without an answer.
func hangsUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

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

func attempt() provider.Attempt {
	return provider.Attempt{
		ID:          uuid.Must(uuid.NewV7()),
		Wallet:      provider.Wallet{ID: 1, ExternalID: testWallet, Address: testAddress, Chain: "EVM"},
		OldShareSet: oldSet,
	}
}

// recorder is a checkpoint that keeps what it was given.
type recorder struct {
	pending []string
	refs    []provider.Refs
	err     error
}

func (r *recorder) checkpoint(_ context.Context, pending string, refs provider.Refs) error {
	r.pending, r.refs = append(r.pending, pending), append(r.refs, refs)
	return r.err
}

// wantClass checks an error's class and reason, and that the text is one
// sentence that names the wallet or the provider.
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
	if !strings.Contains(err.Error(), testWallet) && !strings.Contains(err.Error(), "dynamic-test") {
		t.Errorf("%q names neither wallet nor provider", err)
	}
}

// open opens an attempt that must succeed up to the session.
func (w *wire) open(t *testing.T, a provider.Attempt) (provider.Session, *recorder) {
	t.Helper()
	rec := &recorder{}
	s, err := w.p.Open(t.Context(), a, rec.checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, rec
}

func TestWholeRotationOnTheWire(t *testing.T) {
	w := newWire(t, nil)
	a := attempt()
	found, err := w.p.Inspect(t.Context(), a.Wallet)
	if err != nil {
		t.Fatal(err)
	}
	if want := (provider.Inspection{ActiveShareSet: oldSet, Address: testAddress, Chain: "EVM"}); found != want {
		t.Errorf("Inspect = %+v, want %+v", found, want)
	}
	s, rec := w.open(t, a)
	if !slices.Equal(rec.pending, []string{newSet}) {
		t.Fatalf("checkpoints: %q", rec.pending)
	}
	a.PendingShareSet, a.Refs = rec.pending[0], rec.refs[0]
	if a.Refs.Room != "0123456789abcdef0123456789abcdef" || !slices.Equal(a.Refs.ServerKeygenIDs, []string{"3yZe7d"}) ||
		!slices.Equal(a.Refs.NewServerKeygenIDs, []string{"4yZe7d"}) {
		t.Errorf("references %+v", a.Refs)
	}
	ready, err := s.Await(t.Context())
	if err != nil || ready != (provider.Readiness{Ready: true, ShareSet: newSet}) {
		t.Fatalf("Await = %+v, %v", ready, err)
	}
	if err := w.p.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}

	refresh := w.asked(routeRefresh)
	if len(refresh) != 1 || refresh[0].body != `{"shareSetId":"`+oldSet+`"}` {
		t.Fatalf("refresh was asked for as %+v", refresh)
	}
	for name, want := range map[string]string{
		"Accept": "text/event-stream", "Authorization": "Bearer mini.jwt", "Cache-Control": "no-cache",
		"Content-Type": "application/json", "X-Dyn-Request-Id": a.ID.String(),
	} {
		if got := refresh[0].header.Get(name); got != want {
			t.Errorf("refresh with %s: %q, want %q", name, got, want)
		}
	}
	locations := w.asked(routeLocations)
	if len(locations) != 1 || locations[0].body != `{"locations":[{"location":"external"}],"shareSetId":"`+newSet+`"}` {
		t.Errorf("the swap was asked for as %+v", locations)
	}
	if got := locations[0].header.Get("X-Dyn-Request-Id"); got != a.ID.String() {
		t.Errorf("the swap has request id %s, want the attempt's %s", got, a.ID)
	}
	if n := len(w.asked(routeByAddress)); n != 1 {
		t.Errorf("the wallet was read %d times; Open must use what Inspect found", n)
	}
	if want := []string{"authenticate 200", "wallet 200", "refresh 200", "locations 201"}; !slices.Equal(w.codes(), want) {
		t.Errorf("observed %q, want %q", w.codes(), want)
	}
	if !strings.Contains(w.logged(), a.ID.String()) {
		t.Error("the attempt's id is not in the log")
	}
}

func TestServerRoutes(t *testing.T) {
	proofs := 0
	w := newWire(t, func(o *Options) {
		o.Auth = AuthServer
		o.SigningProof = func() string { proofs++; return fmt.Sprintf("proof-%d", proofs) }
	})
	server := func(route string) string { return strings.Replace(route, "/sdk/", "/server/", 1) }
	for _, route := range []string{routeByAddress, routeRefresh, routeLocations} {
		w.answer(server(route), w.answers[route])
		w.answer(route, nil)
	}
	a := attempt()
	s, rec := w.open(t, a)
	if _, err := s.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.PendingShareSet, a.Refs = rec.pending[0], rec.refs[0]
	if err := w.p.Promote(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if n := len(w.asked(routeAuth)); n != 0 {
		t.Errorf("authenticated %d times; server routes take the API token", n)
	}
	for i, route := range []string{routeByAddress, routeRefresh, routeLocations} {
		got := w.asked(server(route))
		if len(got) != 1 {
			t.Fatalf("%s was asked %d times", route, len(got))
		}
		if auth := got[0].header.Get("Authorization"); auth != "Bearer dyn_token" {
			t.Errorf("%s with %q", route, auth)
		}
		if proof := got[0].header.Get("X-Dyn-Server-Signing-Proof"); proof != fmt.Sprintf("proof-%d", i+1) {
			t.Errorf("%s with proof %q; a nonce is good for one request", route, proof)
		}
	}
}

func TestWhatDynamicCannotDo(t *testing.T) {
	w := newWire(t, nil)
	a := attempt()
	if _, err := w.p.Resume(t.Context(), a, nil); !errors.Is(err, provider.ErrSessionLost) {
		t.Errorf("Resume: %v", err)
	}
	if err := w.p.Discard(t.Context(), a); err != nil {
		t.Errorf("Discard: %v", err)
	}
	if _, ok := w.p.RetireAfter(a.Wallet); ok {
		t.Error("RetireAfter is due")
	}
	if _, err := w.p.Retire(t.Context(), provider.Retirement{}); err != nil {
		t.Errorf("Retire: %v", err)
	}
	if !w.p.CoSigned() {
		t.Error("not co-signed")
	}
	if n := w.total(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func mustJSON(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

package cosigner_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-nobody-may-see"

func newClient(t *testing.T, o cosigner.Options) *cosigner.Client {
	t.Helper()
	o.Name = "main"
	c, err := cosigner.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answering is a client of a co-signer that always says the same.
func answering(t *testing.T, answer http.HandlerFunc) *cosigner.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return newClient(t, cosigner.Options{URL: server.URL + "/co/", Token: func() string { return token }})
}

// calls are all there are, to be tried one after the other.
func calls(c *cosigner.Client, id uuid.UUID) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"wallet": func(ctx context.Context) error { _, err := c.Wallet(ctx, "p", "w"); return err },
		"start": func(ctx context.Context) error {
			_, err := c.Start(ctx, cosigner.Ceremony{CeremonyID: id, ShareSetID: "b"})
			return err
		},
		"status": func(ctx context.Context) error { _, err := c.Status(ctx, id); return err },
		"commit": func(ctx context.Context) error {
			_, err := c.Commit(ctx, id, cosigner.Commit{ShareSetID: "b", Fingerprint: "f"})
			return err
		},
		"abort": func(ctx context.Context) error { _, err := c.Abort(ctx, id); return err },
	}
}

// One wallet through the whole protocol, with the reference at the other end.
func TestClientAgainstTheReference(t *testing.T) {
	rooms := relay.New()
	defer rooms.Close()
	meeting := httptest.NewServer(rooms.Handler())
	defer meeting.Close()
	server, err := reference.Open(t.TempDir(), reference.Options{
		RelayURL: meeting.URL, Token: token, NoSync: true, Wait: 20 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server.Handler())
	defer web.Close()
	c := newClient(t, cosigner.Options{URL: web.URL, Token: func() string { return token }})

	customer, vendor, err := mpc.Generate(mpc.BIP340, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const wallet = "a/b ?#%2F ü" // every character that a path could trip over
	if err := server.Import("dynamic/prod", wallet, "set-1", customer); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	held, err := c.Wallet(ctx, "dynamic/prod", wallet)
	if err != nil || held.CurrentShareSetID != "set-1" || held.PublicKey != customer.PublicKeyHex() {
		t.Fatalf("held: %+v %v", held, err)
	}
	if _, err := c.Wallet(ctx, "dynamic", "prod/"+wallet); !errors.Is(err, cosigner.ErrUnknown) {
		t.Errorf("a wallet nobody holds: %v", err)
	}

	ceremony := cosigner.Ceremony{
		CeremonyID: uuid.New(), Provider: "dynamic/prod", Wallet: wallet, RoomID: rooms.Open(),
		ShareSetID: "set-2", PreviousShareSetID: "set-1",
	}
	vendorDone := make(chan mpc.Share, 1)
	go func() {
		delta, _ := mpc.NewDelta(mpc.BIP340, rand.Reader)
		next, _ := rooms.Join(ctx, ceremony.RoomID, relay.Vendor, vendor, delta)
		rooms.End(ceremony.RoomID)
		vendorDone <- next
	}()
	status, err := c.Start(ctx, ceremony)
	if err != nil || status.State != cosigner.Prepared {
		t.Fatalf("started: %+v %v", status, err)
	}
	nextVendor := <-vendorDone
	if again, err := c.Status(ctx, ceremony.CeremonyID); err != nil || again.Fingerprint != status.Fingerprint {
		t.Errorf("asked again: %+v %v", again, err)
	}
	wrong := cosigner.Commit{ShareSetID: "set-2", Fingerprint: "another"}
	if _, err := c.Commit(ctx, ceremony.CeremonyID, wrong); !errors.Is(err, cosigner.ErrConflict) {
		t.Errorf("another fingerprint: %v", err)
	}
	right := cosigner.Commit{ShareSetID: "set-2", Fingerprint: status.Fingerprint}
	for range 2 {
		if done, err := c.Commit(ctx, ceremony.CeremonyID, right); err != nil || done.State != cosigner.Committed {
			t.Errorf("committed: %+v %v", done, err)
		}
	}
	if _, err := c.Abort(ctx, ceremony.CeremonyID); !errors.Is(err, cosigner.ErrConflict) {
		t.Errorf("aborting what is committed: %v", err)
	}
	_, shares, err := server.Shares("dynamic/prod", wallet)
	if err != nil || !mpc.CanSign(shares["set-2"].Share, nextVendor) || mpc.CanSign(shares["set-1"].Share, nextVendor) {
		t.Errorf("the new shares do not sign, or the old one does (%v)", err)
	}
}

func TestClassification(t *testing.T) {
	type verdict struct {
		class  provider.Class
		reason provider.Reason
		is     error
	}
	retry := verdict{provider.Retryable, provider.ReasonCoSigner, nil}
	stop := verdict{provider.Terminal, provider.ReasonCoSigner, nil}
	auth := verdict{provider.Terminal, provider.ReasonAuth, nil}
	for code, want := range map[int]verdict{
		400: stop, 401: auth, 403: auth, 405: stop, 413: stop, 415: stop, 422: stop,
		404: {provider.Terminal, provider.ReasonCoSigner, cosigner.ErrUnknown},
		409: {provider.Terminal, provider.ReasonCoSigner, cosigner.ErrConflict},
		429: {provider.RateLimited, provider.ReasonCoSigner, nil},
		201: retry, 204: retry, 304: retry, 408: retry, 418: retry, 500: retry, 502: retry, 503: retry, 504: retry,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			c := answering(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(code)
				if code >= 400 {
					io.WriteString(w, "secret words of the co-signer")
				}
			})
			for name, call := range calls(c, uuid.New()) {
				err := call(t.Context())
				want := want
				if code == 409 && name == "start" {
					want.class = provider.Retryable
				}
				class, reason := provider.ClassOf(err)
				if class != want.class || reason != want.reason || want.is != nil && !errors.Is(err, want.is) {
					t.Errorf("%s: %s/%s: %v", name, class, reason, err)
				}
				if errors.Is(err, cosigner.ErrUnknown) != (code == 404) || errors.Is(err, cosigner.ErrConflict) != (code == 409) {
					t.Errorf("%s: the wrong sentinel: %v", name, err)
				}
				wait := time.Duration(0)
				if code == 429 || code == 503 {
					wait = 7 * time.Second
				}
				if got := provider.RetryAfter(err); got != wait {
					t.Errorf("%s: wait %v, want %v", name, got, wait)
				}
				if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "co-signer main") {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	gone := newClient(t, cosigner.Options{URL: server.URL})
	hangsUp := answering(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	cutsOff := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "{")
	})
	for name, c := range map[string]*cosigner.Client{"gone": gone, "hangs up": hangsUp, "cuts off": cutsOff} {
		for call, do := range calls(c, uuid.New()) {
			if class, reason := provider.ClassOf(do(t.Context())); class != provider.Retryable || reason != provider.ReasonCoSigner {
				t.Errorf("%s, %s: %s/%s", name, call, class, reason)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for call, do := range calls(gone, uuid.New()) {
		if err := do(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s when cancelled: %v", call, err)
		}
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	c := newClient(t, cosigner.Options{URL: server.URL, Timeout: 20 * time.Millisecond})
	_, err := c.Status(t.Context(), uuid.New())
	if class, reason := provider.ClassOf(err); class != provider.Retryable || reason != provider.ReasonCoSigner {
		t.Errorf("%s/%s: %v", class, reason, err)
	}
}

// The token must not follow a redirect to a host that nobody configured.
func TestNoRedirects(t *testing.T) {
	visited := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		visited <- r.Header.Get("Authorization")
	}))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, code)
		})
		for name, call := range calls(c, uuid.New()) {
			if class, _ := provider.ClassOf(call(t.Context())); class != provider.Retryable {
				t.Errorf("%d, %s: %s", code, name, class)
			}
		}
	}
	if len(visited) != 0 {
		t.Error("a redirect was followed")
	}
}

// A success about something else than was asked is an error.
func TestAnswersAboutSomethingElse(t *testing.T) {
	id := uuid.New()
	good := func(state cosigner.State) cosigner.Status {
		return cosigner.Status{
			CeremonyID: id, State: state, ShareSetID: "b", Address: "A", PublicKey: "00ff", Fingerprint: "f",
		}
	}
	change := func(s cosigner.Status, by func(*cosigner.Status)) cosigner.Status { by(&s); return s }
	otherID := func(s *cosigner.Status) { s.CeremonyID = uuid.New() }
	otherSet := func(s *cosigner.Status) { s.ShareSetID = "c" }
	otherPrint := func(s *cosigner.Status) { s.Fingerprint = "g" }
	for name, tt := range map[string]struct {
		call   string
		answer cosigner.Status
		fine   bool
	}{
		"start":                      {"start", good(cosigner.Prepared), true},
		"start, running":             {"start", good(cosigner.Running), true},
		"start, failed":              {"start", good(cosigner.Failed), true},
		"start, another ceremony":    {"start", change(good(cosigner.Prepared), otherID), false},
		"start, another set":         {"start", change(good(cosigner.Running), otherSet), false},
		"status":                     {"status", good(cosigner.Aborted), true},
		"status, another ceremony":   {"status", change(good(cosigner.Prepared), otherID), false},
		"commit":                     {"commit", good(cosigner.Committed), true},
		"commit, another ceremony":   {"commit", change(good(cosigner.Committed), otherID), false},
		"commit, another set":        {"commit", change(good(cosigner.Committed), otherSet), false},
		"commit, another share":      {"commit", change(good(cosigner.Committed), otherPrint), false},
		"commit, still prepared":     {"commit", good(cosigner.Prepared), false},
		"abort":                      {"abort", good(cosigner.Aborted), true},
		"abort, had failed":          {"abort", good(cosigner.Failed), true},
		"abort, another ceremony":    {"abort", change(good(cosigner.Aborted), otherID), false},
		"abort, committed all along": {"abort", good(cosigner.Committed), false},
		"abort, still running":       {"abort", good(cosigner.Running), false},
	} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(tt.answer) })
		err := calls(c, id)[tt.call](t.Context())
		if (err == nil) != tt.fine {
			t.Errorf("%s: %v", name, err)
		}
		if class, reason := provider.ClassOf(err); err != nil && (class != provider.Retryable || reason != provider.ReasonCoSigner) {
			t.Errorf("%s: %s/%s", name, class, reason)
		}
	}
}

func TestBodyIsCapped(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"x":"`+strings.Repeat("x", 64<<10)+`"}`)
	})
	for name, call := range calls(c, uuid.New()) {
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "64 KiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is sent: path, method, token and body, and nothing else.
func TestRequests(t *testing.T) {
	id := uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	type request struct{ line, authorization, body string }
	seen := make(chan request, 1)
	c := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- request{r.Method + " " + r.URL.EscapedPath(), r.Header.Get("Authorization"), string(body)}
	})
	want := map[string]request{
		"wallet": {line: "GET /co/v1/wallets/p/w"},
		"start": {line: "POST /co/v1/ceremonies", body: `{"ceremony_id":"` + id.String() +
			`","provider":"","wallet":"","address":"","room_id":"","share_set_id":"b","previous_share_set_id":""}`},
		"status": {line: "GET /co/v1/ceremonies/" + id.String()},
		"commit": {line: "POST /co/v1/ceremonies/" + id.String() + "/commit", body: `{"share_set_id":"b","fingerprint":"f"}`},
		"abort":  {line: "POST /co/v1/ceremonies/" + id.String() + "/abort"},
	}
	for name, call := range calls(c, id) {
		if err := call(t.Context()); err == nil {
			t.Errorf("%s: an empty answer was accepted", name)
		}
		got := <-seen
		expected := want[name]
		expected.authorization = "Bearer " + token
		if got != expected {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, name := range []string{"", ".", ".."} {
		_, err := c.Wallet(t.Context(), "p", name)
		if class, _ := provider.ClassOf(err); class != provider.Terminal {
			t.Errorf("wallet %q: %v", name, err)
		}
	}
	if len(seen) != 0 {
		t.Error("a dot segment was sent")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]cosigner.Options{
		"no name":          {URL: "https://x"},
		"no URL":           {Name: "n"},
		"no host":          {Name: "n", URL: "https:///path"},
		"a path only":      {Name: "n", URL: "/v1"},
		"another scheme":   {Name: "n", URL: "ftp://x"},
		"not a URL":        {Name: "n", URL: "https://%zz:hunter2@x"},
		"a password":       {Name: "n", URL: "https://u:hunter2@x"},
		"a query":          {Name: "n", URL: "https://x?y"},
		"plain http":       {Name: "n", URL: "http://cosigner.example"},
		"negative timeout": {Name: "n", URL: "https://x", Timeout: -1},
	} {
		if _, err := cosigner.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, o := range []cosigner.Options{
		{Name: "n", URL: "https://x/path/"},
		{Name: "n", URL: "http://127.0.0.1:1"},
		{Name: "n", URL: "http://[::1]:1"},
		{Name: "n", URL: "http://localhost:1"},
		{Name: "n", URL: "http://cosigner.example", AllowHTTP: true},
	} {
		if _, err := cosigner.New(o); err != nil {
			t.Errorf("%s: %v", o.URL, err)
		}
	}
}

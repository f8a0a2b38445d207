package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/store"
	"github.com/rotatord/rotatord/migrations"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// patience is far above what anything here takes.
const patience = 20 * time.Second

// site is a server that listens.
type site struct {
	t      *testing.T
	url    string
	reg    *prometheus.Registry
	client *http.Client
}

func newSite(t *testing.T, change func(*Options)) *site {
	t.Helper()
	o := Options{
		Registry: prometheus.NewRegistry(), Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
		Ready: func(context.Context) error { return nil },
	}
	if change != nil {
		change(&o)
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &site{
		t: t, url: "http://" + listener.Addr().String(), reg: o.Registry,
		client: &http.Client{
			Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   string
}

func (s *site) do(method, path string, change func(*http.Request)) reply {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(body)}
}

func (s *site) get(path string) reply {
	s.t.Helper()
	return s.do("GET", path, nil)
}

func (r reply) wantProblem(t *testing.T, status int, detail string) {
	t.Helper()
	var p problem
	if r.status != status || r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s, want %d application/problem+json", r.status, r.header.Get("Content-Type"), status)
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != status || p.Title != http.StatusText(status) || !strings.Contains(p.Detail, detail) {
		t.Errorf("got %+v, want status %d and a detail with %q", p, status, detail)
	}
}

func TestRoutes(t *testing.T) {
	s := newSite(t, nil)
	for path, want := range map[string]string{
		"/":        "rotatord 1.2.3",
		"/healthz": "ok\n",
		"/readyz":  "ready\n",
		"/metrics": "promhttp_metric_handler_errors_total",
	} {
		if r := s.get(path); r.status != 200 || !strings.Contains(r.body, want) {
			t.Errorf("GET %s: %d %q, want 200 with %q", path, r.status, r.body, want)
		}
		if r := s.do("HEAD", path, nil); r.status != 200 || r.body != "" {
			t.Errorf("HEAD %s: %d %q, want 200 without a body", path, r.status, r.body)
		}
		r := s.do("POST", path, nil)
		r.wantProblem(t, http.StatusMethodNotAllowed, "GET and HEAD only")
		if got := r.header.Get("Allow"); got != "GET, HEAD" {
			t.Errorf("POST %s: Allow is %q, want GET, HEAD", path, got)
		}
	}
	for _, path := range []string{"/nothing", "/metrics/", "/healthz/x", "/favicon.ico", "/..%2fmetrics", "//nothing"} {
		s.get(path).wantProblem(t, http.StatusNotFound, "no such route")
	}
	// A clean path is offered where there is one.
	if r := s.get("//healthz"); r.status != http.StatusTemporaryRedirect && r.status != http.StatusMovedPermanently {
		t.Errorf("GET //healthz: %d, want a redirect", r.status)
	}
}

// TestIndexListsWhatIsThere: a link to every route, and to none that is not.
func TestIndexListsWhatIsThere(t *testing.T) {
	s := newSite(t, nil)
	page := s.get("/").body
	links := 0
	for part := range strings.SplitSeq(page, `href="`) {
		path, _, ok := strings.Cut(part, `"`)
		if !ok || !strings.HasPrefix(path, "/") {
			continue
		}
		links++
		if r := s.get(path); r.status != 200 {
			t.Errorf("the page links to %s, which answers %d", path, r.status)
		}
	}
	if links != 3 {
		t.Errorf("the page has %d links, want 3", links)
	}
}

func TestReadySaysWhy(t *testing.T) {
	var why atomic.Pointer[error]
	s := newSite(t, func(o *Options) {
		o.Ready = func(ctx context.Context) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the question has no time limit")
			}
			return *why.Load()
		}
	})
	answer := func(err error) reply {
		why.Store(&err)
		return s.get("/readyz")
	}
	hidden := answer(errors.New("dial tcp db.internal:5432: role secret_role"))
	hidden.wantProblem(t, http.StatusServiceUnavailable, "the database does not answer")
	if strings.Contains(hidden.body, "internal") || strings.Contains(hidden.body, "secret_role") {
		t.Errorf("the answer tells strangers about the database: %s", hidden.body)
	}
	answer(fmt.Errorf("%w: %w", store.ErrNoWrites, errors.New("could not extend file base/1/2"))).wantProblem(t, 503, "the database takes no writes")
	answer(fmt.Errorf("%w (it is at migration 3)", migrations.ErrTooOld)).wantProblem(t, 503, "run rotatord migrate")
	answer(fmt.Errorf("%w (it needs 9)", migrations.ErrTooNew)).wantProblem(t, 503, "upgrade the daemon")
	if r := answer(nil); r.status != 200 {
		t.Errorf("got %d after the database came back, want 200", r.status)
	}
}

// TestReadyDoesNotHang: a database that never answers is not ready.
func TestReadyDoesNotHang(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Ready = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
	})
	s.get("/readyz").wantProblem(t, http.StatusServiceUnavailable, "does not answer")
}

func TestWebConfigFileGuardsEveryRoute(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "basic_auth_users:\n  alice: %s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *Options) { o.WebConfigFile = file })
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/nothing"} {
		if r := s.get(path); r.status != http.StatusUnauthorized {
			t.Errorf("GET %s without a password: %d, want 401", path, r.status)
		}
		if r := s.do("GET", path, func(r *http.Request) { r.SetBasicAuth("alice", "wrong") }); r.status != http.StatusUnauthorized {
			t.Errorf("GET %s with a wrong password: %d, want 401", path, r.status)
		}
	}
	if r := s.do("GET", "/healthz", func(r *http.Request) { r.SetBasicAuth("alice", "right") }); r.status != 200 {
		t.Errorf("GET /healthz with the password: %d, want 200", r.status)
	}
}

func TestUnusableWebConfigFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"unknown key": "basic_auth: {}\n",
		"no such key": "tls_server_config:\n  cert_file: missing.pem\n  key_file: missing.pem\n",
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Registry: prometheus.NewRegistry(), WebConfigFile: file, Log: slog.New(slog.DiscardHandler)}); err == nil ||
			!strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error that names %s", name, err, file)
		}
	}
}

// TestLimits: somebody who sends headers without end is hung up on.
func TestLimits(t *testing.T) {
	s := newSite(t, nil)
	if r := s.do("GET", "/healthz", func(r *http.Request) { r.Header.Set("X-Long", strings.Repeat("x", 2*maxHeader)) }); r.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d for a header of %d bytes, want 431", r.status, 2*maxHeader)
	}
	server, err := New(Options{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := server.http
	for name, d := range map[string]time.Duration{"ReadHeaderTimeout": h.ReadHeaderTimeout, "ReadTimeout": h.ReadTimeout,
		"WriteTimeout": h.WriteTimeout, "IdleTimeout": h.IdleTimeout} {
		if d <= 0 {
			t.Errorf("%s is not set", name)
		}
	}
}

package rotation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// hook sees a call to the vendor or co-signer before it is made. An error is
// the call's outcome in its place. Hooks run on the engine's goroutines: they
// report, and never end the test.
type hook func(ctx context.Context, a provider.Attempt) error

// spy stands between the engine and a real provider.
type spy struct {
	provider.Provider
	mu     sync.Mutex
	before map[string]hook
	grace  *time.Duration // as if the vendor needed a clean-up; nil: ask it
	said   string         // what Retire says when it is done; empty: ask it
}

const (
	onInspect = "inspect"
	onOpen    = "open"
	onResume  = "resume"
	onAwait   = "await"
	onPromote = "promote"
	onDiscard = "discard"
	onRetire  = "retire"
	// after the vendor has done its part
	onOpened   = "opened"
	onPromoted = "promoted"
)

func (s *spy) on(call string, h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before[call] = h
}

func (s *spy) see(ctx context.Context, call string, a provider.Attempt) error {
	s.mu.Lock()
	h := s.before[call]
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	return h(ctx, a)
}

func (s *spy) Inspect(ctx context.Context, w provider.Wallet) (provider.Inspection, error) {
	if err := s.see(ctx, onInspect, provider.Attempt{Wallet: w}); err != nil {
		return provider.Inspection{}, err
	}
	return s.Provider.Inspect(ctx, w)
}

func (s *spy) Open(ctx context.Context, a provider.Attempt, c provider.Checkpoint) (provider.Session, error) {
	if err := s.see(ctx, onOpen, a); err != nil {
		return nil, err
	}
	session, err := s.Provider.Open(ctx, a, func(ctx context.Context, pending string, refs provider.Refs) error {
		err := c(ctx, pending, refs)
		a.PendingShareSet, a.Refs = pending, refs
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.see(ctx, onOpened, a); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return &spiedSession{session, s, a}, nil
}

func (s *spy) Resume(ctx context.Context, a provider.Attempt, c provider.Checkpoint) (provider.Session, error) {
	if err := s.see(ctx, onResume, a); err != nil {
		return nil, err
	}
	session, err := s.Provider.Resume(ctx, a, c)
	if err != nil {
		return nil, err
	}
	return &spiedSession{session, s, a}, nil
}

func (s *spy) Promote(ctx context.Context, a provider.Attempt) error {
	if err := s.see(ctx, onPromote, a); err != nil {
		return err
	}
	err := s.Provider.Promote(ctx, a)
	if seen := s.see(ctx, onPromoted, a); seen != nil {
		return seen
	}
	return err
}

func (s *spy) Discard(ctx context.Context, a provider.Attempt) error {
	if err := s.see(ctx, onDiscard, a); err != nil {
		return err
	}
	return s.Provider.Discard(ctx, a)
}

func (s *spy) RetireAfter(w provider.Wallet) (time.Duration, bool) {
	if s.grace != nil {
		return *s.grace, true
	}
	return s.Provider.RetireAfter(w)
}

func (s *spy) Retire(ctx context.Context, r provider.Retirement) (string, error) {
	if err := s.see(ctx, onRetire, provider.Attempt{Wallet: r.Wallet, OldShareSet: r.OldShareSet, PendingShareSet: r.NewShareSet}); err != nil {
		return "", err
	}
	said, err := s.Provider.Retire(ctx, r)
	return cmp.Or(s.said, said), err
}

type spiedSession struct {
	provider.Session
	spy *spy
	a   provider.Attempt
}

func (s *spiedSession) Await(ctx context.Context) (provider.Readiness, error) {
	if err := s.spy.see(ctx, onAwait, s.a); err != nil {
		return provider.Readiness{}, err
	}
	return s.Session.Await(ctx)
}

// Calls to the co-signer, as front names them.
const (
	onHeld   = "held"
	onStart  = "start"
	onStatus = "status"
	onCommit = "commit"
	onAbort  = "abort"
)

// front stands between the client and the sandbox's co-signer.
type front struct {
	mu     sync.Mutex
	before map[string]func(*http.Request) (status int)       // not 0: the answer in its place
	lie    map[string]func(answer map[string]any) (yes bool) // may change a JSON answer
	server *httptest.Server
}

func newFront(t *testing.T, behind string) *front {
	t.Helper()
	u, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{before: map[string]func(*http.Request) int{}, lie: map[string]func(map[string]any) bool{}}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // what breaks behind breaks here
		},
		ModifyResponse: f.rewrite,
		ErrorLog:       slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		before := f.before[callOf(r)]
		f.mu.Unlock()
		if before != nil {
			if status := before(r); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		f.server.Close()
		transport.CloseIdleConnections()
	})
	return f
}

func callOf(r *http.Request) string {
	switch path := r.URL.Path; {
	case strings.Contains(path, "/v1/wallets/"):
		return onHeld
	case strings.HasSuffix(path, "/commit"):
		return onCommit
	case strings.HasSuffix(path, "/abort"):
		return onAbort
	case r.Method == http.MethodPost:
		return onStart
	}
	return onStatus
}

// ceremonyOf is the ceremony id in a path of the protocol.
func ceremonyOf(r *http.Request) uuid.UUID {
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if id, err := uuid.Parse(part); err == nil {
			return id
		}
	}
	return uuid.Nil
}

func (f *front) on(call string, h func(*http.Request) int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before[call] = h
}

// lies changes the answers to a call; nil: it is honest again.
func (f *front) lies(call string, how func(answer map[string]any) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lie[call] = how
}

func (f *front) rewrite(resp *http.Response) error {
	f.mu.Lock()
	how := f.lie[callOf(resp.Request)]
	f.mu.Unlock()
	if how == nil || resp.StatusCode >= 300 {
		return nil
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	text, err = edit(text, how)
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	resp.ContentLength = int64(len(text))
	resp.Header.Del("Content-Length")
	return nil
}

// edit changes a JSON object; text that is none stays as it is.
func edit(text []byte, how func(map[string]any) bool) ([]byte, error) {
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil || !how(answer) {
		return text, nil
	}
	return json.Marshal(answer)
}

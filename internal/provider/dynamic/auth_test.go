package dynamic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

const tokenReply = `{"message":"ok","encodedJwts":{"jwt":"long","minifiedJwt":"%s"}}`

// expect401 lets only one token through.
func expect401(token string, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			says(401, `{"error":"unauthorized"}`)(w, r)
			return
		}
		answer(w, r)
	}
}

func TestReauthenticatesOnce(t *testing.T) {
	w := newWire(t, nil)
	w.answer(routeAuth, inOrder(says(200, fmt.Sprintf(tokenReply, "first")), says(200, fmt.Sprintf(tokenReply, "second")), says(200, fmt.Sprintf(tokenReply, "third"))))
	w.answer(routeByAddress, expect401("first", says(200, walletReplyText)))
	w.answer(routeRefresh, expect401("second", w.answers[routeRefresh]))
	a := attempt()
	if _, err := w.p.Inspect(t.Context(), a.Wallet); err != nil {
		t.Fatal(err)
	}
	s, _ := w.open(t, a) // "first" has expired by now
	s.Close()

	refresh := w.asked(routeRefresh)
	if len(refresh) != 2 || len(w.asked(routeAuth)) != 2 {
		t.Fatalf("%d refreshes, %d authentications, want 2 and 2", len(refresh), len(w.asked(routeAuth)))
	}
	if auth := w.asked(routeAuth)[0].header.Get("Authorization"); auth != "Bearer dyn_token" {
		t.Errorf("authenticated with %q", auth)
	}

	w.answer(routeRefresh, expect401("none", nil))
	w.answer(routeByAddress, says(200, walletReplyText))
	_, err := w.p.Open(t.Context(), a, (&recorder{}).checkpoint)
	wantClass(t, err, provider.Terminal, provider.ReasonAuth)
	if n := len(w.asked(routeRefresh)); n != 4 {
		t.Errorf("%d refreshes, want 4: one more and one repetition", n)
	}
}

// TestOneExchangeForAll: however many wallets need a token at once, and however
// many find theirs expired at once, it is asked for once.
func TestOneExchangeForAll(t *testing.T) {
	w := newWire(t, nil)
	const wallets = 50
	var current atomic.Value
	current.Store("")
	var exchanges atomic.Int32
	w.answer(routeAuth, func(rw http.ResponseWriter, r *http.Request) {
		token := fmt.Sprintf("token-%d", exchanges.Add(1))
		current.Store(token)
		says(200, fmt.Sprintf(tokenReply, token))(rw, r)
	})
	var arrived sync.WaitGroup
	w.answer(routeByAddress, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+current.Load().(string) {
			arrived.Done()
			arrived.Wait() // all of them hold the old token
			says(401, "")(rw, r)
			return
		}
		says(200, walletReplyText)(rw, r)
	})
	inspectAll := func() {
		var wg sync.WaitGroup
		for range wallets {
			wg.Go(func() {
				if _, err := w.p.Inspect(t.Context(), attempt().Wallet); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	inspectAll()
	if n := exchanges.Load(); n != 1 {
		t.Errorf("%d exchanges for the first token, want 1", n)
	}
	arrived.Add(wallets)
	current.Store("none of yours")
	inspectAll()
	if n := exchanges.Load(); n != 2 {
		t.Errorf("%d exchanges after all tokens expired, want 2", n)
	}
}

// TestExchangeOutlivesItsFirstCaller: one caller that gives up takes nobody
// else's token away.
func TestExchangeOutlivesItsFirstCaller(t *testing.T) {
	w := newWire(t, nil)
	started, finish := make(chan struct{}), make(chan struct{})
	w.answer(routeAuth, func(rw http.ResponseWriter, r *http.Request) {
		close(started)
		<-finish
		says(200, fmt.Sprintf(tokenReply, "token"))(rw, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := w.p.Inspect(ctx, attempt().Wallet)
		first <- err
	}()
	<-started
	second := make(chan error)
	go func() {
		_, err := w.p.Inspect(t.Context(), attempt().Wallet)
		second <- err
	}()
	cancel()
	wantClass(t, <-first, provider.Retryable, provider.ReasonInternal)
	close(finish)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if n := len(w.asked(routeAuth)); n != 1 {
		t.Errorf("%d exchanges, want 1", n)
	}
}

func TestAPITokenIsReadAnew(t *testing.T) {
	var token atomic.Value
	token.Store("dyn_old")
	w := newWire(t, func(o *Options) {
		o.APIToken = func() (string, error) { return token.Load().(string) + "\n", nil }
	})
	w.answer(routeAuth, func(rw http.ResponseWriter, r *http.Request) {
		// The token is replaced on disk while the request is under way.
		token.Store("dyn_new")
		expect401("dyn_new", says(200, fmt.Sprintf(tokenReply, "jwt")))(rw, r)
	})
	if _, err := w.p.Inspect(t.Context(), attempt().Wallet); err != nil {
		t.Fatal(err)
	}

	w = newWire(t, nil)
	w.answer(routeAuth, says(401, ""))
	_, err := w.p.Inspect(t.Context(), attempt().Wallet)
	wantClass(t, err, provider.Terminal, provider.ReasonAuth)
	if n := len(w.asked(routeAuth)); n != 1 {
		t.Errorf("the same refused token was sent %d times", n)
	}
}

func TestUnusableTokens(t *testing.T) {
	for name, tt := range map[string]struct {
		token  string
		err    error
		class  provider.Class
		reason provider.Reason
	}{
		"file missing": {"", errors.New("no such file"), provider.Retryable, provider.ReasonAuth},
		"empty":        {" \n", nil, provider.Terminal, provider.ReasonAuth},
		"two lines":    {"dyn_a\nX-Evil: 1", nil, provider.Terminal, provider.ReasonAuth},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, func(o *Options) { o.APIToken = func() (string, error) { return tt.token, tt.err } })
			_, err := w.p.Inspect(t.Context(), attempt().Wallet)
			wantClass(t, err, tt.class, tt.reason)
			if w.total() != 0 {
				t.Error("a request was made")
			}
			if tt.token != "" && strings.Contains(err.Error(), "Evil") {
				t.Errorf("%q quotes the token", err)
			}
		})
	}
	for name, reply := range map[string]string{
		"no token":         `{"message":"ok","encodedJwts":{}}`,
		"token with break": fmt.Sprintf(tokenReply, `a\r\nX: 1`),
		"not JSON":         `<html>`,
	} {
		t.Run("exchange: "+name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeAuth, says(200, reply))
			_, err := w.p.Inspect(t.Context(), attempt().Wallet)
			wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		})
	}
	t.Run("exchange: only the long form", func(t *testing.T) {
		w := newWire(t, nil)
		w.answer(routeAuth, says(200, `{"encodedJwts":{"jwt":"long.one"}}`))
		w.answer(routeByAddress, expect401("long.one", says(200, walletReplyText)))
		if _, err := w.p.Inspect(t.Context(), attempt().Wallet); err != nil {
			t.Error(err)
		}
	})
}

func TestRateLimitedReplies(t *testing.T) {
	for name, tt := range map[string]struct {
		header, body string
		want         time.Duration
	}{
		"as documented":            {"3", `{"error":"Too many requests. Please try again later."}`, 3 * time.Second},
		"a proxy, no JSON, a date": {time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), "<html>error 1015</html>", 90 * time.Second},
		"without a word":           {"", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeRefresh, func(rw http.ResponseWriter, r *http.Request) {
				if tt.header != "" {
					rw.Header().Set("Retry-After", tt.header)
				}
				says(429, tt.body)(rw, r)
			})
			_, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint)
			wantClass(t, err, provider.RateLimited, provider.ReasonRateLimited)
			if got := provider.RetryAfter(err); got > tt.want || got < tt.want-5*time.Second {
				t.Errorf("RetryAfter = %s, want about %s", got, tt.want)
			}
		})
	}
}

// TestOwnRateLimitSendsNothing: a call that its own limit holds back is neither
// sent nor in doubt.
func TestOwnRateLimitSendsNothing(t *testing.T) {
	w := newWire(t, func(o *Options) { o.RateLimits = []RateLimit{{Requests: 20, Per: time.Hour}} })
	a := attempt()
	if _, err := w.p.Inspect(t.Context(), a.Wallet); err != nil { // uses up the burst of two
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := w.p.Open(ctx, a, (&recorder{}).checkpoint)
	wantClass(t, err, provider.RateLimited, provider.ReasonRateLimited)
	if after := provider.RetryAfter(err); after < time.Minute || after > 5*time.Minute {
		t.Errorf("RetryAfter = %s", after)
	}
	if n := len(w.asked(routeRefresh)); n != 0 {
		t.Errorf("%d refreshes were sent", n)
	}
}

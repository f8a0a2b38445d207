package faults

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// maxBody is what is kept of a request that takes its effect later.
const maxBody = 1 << 20

type contextKey struct{}

// From is what befell the call that is being handled. Operations look here for
// the kinds that they do themselves.
func From(ctx context.Context) Hit {
	hit, _ := ctx.Value(contextKey{}).(Hit)
	return hit
}

// Wrap puts the faults of an operation in front of its handler. wallet names
// the wallet that a request is about; it must leave the body readable.
func (s *Set) Wrap(operation string, wallet func(*http.Request) string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit := s.Decide(operation, wallet(r))
		if !s.wait(r.Context(), hit.Delay) {
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), contextKey{}, hit))
		kind := hit.Kind
		if s.own(operation, kind) {
			kind = ""
		}
		switch kind {
		case Status:
			refuse(w, hit)
		case LostRequest:
			panic(http.ErrAbortHandler) // net/http's way to break the connection
		case LostReply:
			quietly := r.Clone(r.Context())
			quietly.Header.Del("Accept") // nobody listens to a stream
			next.ServeHTTP(newNowhere(), quietly)
			panic(http.ErrAbortHandler)
		case LateEffect:
			s.later(r, hit.Late, next)
			panic(http.ErrAbortHandler)
		case LateReply:
			kept := &kept{nowhere: newNowhere()}
			next.ServeHTTP(kept, r)
			if s.wait(r.Context(), hit.Late) {
				kept.send(w)
			}
		case DropStream:
			next.ServeHTTP(&halved{ResponseWriter: w}, r)
			panic(http.ErrAbortHandler)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// wait reports false when the caller or the sandbox is gone.
func (s *Set) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.ctx.Done():
		return false
	}
}

// later handles the request after its caller has heard the connection break.
func (s *Set) later(r *http.Request, delay time.Duration, next http.Handler) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the request was cut off; it would have had no effect
	}
	quietly := r.Clone(context.WithValue(s.ctx, contextKey{}, From(r.Context())))
	quietly.Body = io.NopCloser(bytes.NewReader(body))
	quietly.Header.Del("Accept")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.late.Go(func() {
		defer func() {
			// There is no connection to break any more.
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			}
		}()
		if s.wait(s.ctx, delay) {
			next.ServeHTTP(newNowhere(), quietly)
		}
	})
}

func refuse(w http.ResponseWriter, hit Hit) {
	if hit.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(hit.RetryAfter))
	}
	if hit.Status == http.StatusTooManyRequests {
		// What a proxy in front of the vendor answers is not JSON.
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(hit.Status)
		io.WriteString(w, "<html><title>Too Many Requests</title><body>error code: 1015</body></html>")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(hit.Status)
	fmt.Fprintf(w, `{"error":%q}`, http.StatusText(hit.Status))
}

// nowhere is a reply that nobody gets.
type nowhere struct{ header http.Header }

func newNowhere() nowhere                     { return nowhere{make(http.Header)} }
func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// kept is a reply that is sent later.
type kept struct {
	nowhere
	status int
	body   bytes.Buffer
}

func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }
func (k *kept) WriteHeader(status int)      { k.status = status }

func (k *kept) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(cmp.Or(k.status, http.StatusOK))
	k.body.WriteTo(w) // nobody is left to be told that it failed
}

// halved sends half of the first thing written, and nothing after that.
type halved struct {
	http.ResponseWriter
	cut bool
}

func (h *halved) Write(b []byte) (int, error) {
	if h.cut {
		return len(b), nil
	}
	h.cut = true
	if _, err := h.ResponseWriter.Write(b[:len(b)/2]); err != nil {
		return 0, err
	}
	return len(b), http.NewResponseController(h.ResponseWriter).Flush()
}

package dynamic

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// TestOpenFailures: no failure before room_created leaves a checkpoint behind,
// and those that may have left a pending set at the vendor are in doubt.
func TestOpenFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		class  provider.Class
		reason provider.Reason
	}{
		{"reply lost", hangsUp, provider.InDoubt, provider.ReasonProviderError},
		{"500", says(500, `{"error":"x"}`), provider.InDoubt, provider.ReasonProviderError},
		{"an old lock", says(422, `{"error":"x","code":"lock_timeout"}`), provider.Retryable, provider.ReasonProviderError},
		{"403", says(403, `{"error":{"code":"x","message":"y"}}`), provider.Terminal, provider.ReasonAuth},
		{"403 that is a wallet's state", says(403, `{"error":{"code":"wallet_not_active"}}`), provider.Retryable, provider.ReasonInvalidState},
		{"a redirect is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, provider.Terminal, provider.ReasonProviderError},
		{"204", says(204, ""), provider.InDoubt, provider.ReasonProviderError},
		{"half a reply", says(200, roomText[:40]), provider.InDoubt, provider.ReasonProviderError},
		{"a reply without a room", says(200, `{"shareSetId":"`+newSet+`"}`), provider.InDoubt, provider.ReasonProviderError},
		{"a reply that never ends", says(200, strings.Repeat(" ", maxReply+1)), provider.InDoubt, provider.ReasonProviderError},
		{"a stream that says nothing", streams(""), provider.InDoubt, provider.ReasonProviderError},
		{"a stream cut in its first event", streams("event: room_created\ndata: " + roomText), provider.InDoubt, provider.ReasonProviderError},
		{"a stream of comments", streams(strings.Repeat(":\n", maxStream)), provider.InDoubt, provider.ReasonProviderError},
		{"an error event", streams("event: error\ndata: {\"error\":\"no\"}\n\n"), provider.InDoubt, provider.ReasonProviderError},
		{"an error event with a code", streams("event: error\ndata: {\"error\":\"no\",\"code\":\"wallet_service_connection_error\"}\n\n"),
			provider.Retryable, provider.ReasonProviderError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeRefresh, tt.answer)
			rec := &recorder{}
			_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
			wantClass(t, err, tt.class, tt.reason)
			if len(rec.pending) != 0 {
				t.Errorf("checkpoints %q", rec.pending)
			}
			if n := len(w.asked(routeRefresh)); n != 1 {
				t.Errorf("refresh was asked for %d times; it is not idempotent", n)
			}
		})
	}
}

func TestOpenTimesOutInDoubt(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no reply":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no first word": hangsAfter(": hello\n"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, func(o *Options) { o.CallTimeout = 100 * time.Millisecond })
			w.answer(routeRefresh, answer)
			_, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint)
			wantClass(t, err, provider.InDoubt, provider.ReasonTimeout)
		})
	}
	t.Run("the caller's time is up", func(t *testing.T) {
		w := newWire(t, nil)
		a := attempt()
		if _, err := w.p.Inspect(t.Context(), a.Wallet); err != nil {
			t.Fatal(err)
		}
		w.answer(routeRefresh, hangsAfter(": hello\n"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := w.p.Open(ctx, a, (&recorder{}).checkpoint)
		wantClass(t, err, provider.InDoubt, provider.ReasonTimeout)
	})
}

func TestOpenWithoutConnectionIsRetryable(t *testing.T) {
	w := newWire(t, nil)
	a := attempt()
	if _, err := w.p.Inspect(t.Context(), a.Wallet); err != nil {
		t.Fatal(err)
	}
	w.Close()
	w.p.client.CloseIdleConnections() // what is written to a dying connection is in doubt
	_, err := w.p.Open(t.Context(), a, (&recorder{}).checkpoint)
	wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%q does not say why", err)
	}
	if codes := w.codes(); codes[len(codes)-1] != "refresh network" {
		t.Errorf("observed %q", codes)
	}
}

// TestOpenRefusesRooms: a room that must not be carried on with is recorded
// first.
func TestOpenRefusesRooms(t *testing.T) {
	replace := func(what, with string) string {
		return "event: room_created\ndata: " + strings.Replace(roomText, what, with, 1) + "\n\n"
	}
	for _, tt := range []struct {
		name, events, pending string
		class                 provider.Class
		reason                provider.Reason
	}{
		{"no share set named (older backends)", replace(`"shareSetId":"`+newSet+`",`, ""), "", provider.Terminal, provider.ReasonProviderError},
		{"share set null", replace(`"`+newSet+`"`, "null"), "", provider.Terminal, provider.ReasonProviderError},
		{"the active set as the pending one", replace(newSet, oldSet), "", provider.Verification, provider.ReasonVerification},
		{"another wallet", replace(testWallet, otherSet), newSet, provider.Verification, provider.ReasonVerification},
		{"another address", replace(testAddress, "0x0"), newSet, provider.Verification, provider.ReasonVerification},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeRefresh, hangsAfter(tt.events))
			rec := &recorder{}
			_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
			wantClass(t, err, tt.class, tt.reason)
			if !slices.Equal(rec.pending, []string{tt.pending}) || rec.refs[0].Room == "" {
				t.Errorf("recorded %q %+v, want the room and %q", rec.pending, rec.refs, tt.pending)
			}
		})
	}
}

func TestOpenStopsWhenTheCheckpointFails(t *testing.T) {
	w := newWire(t, nil)
	gone := make(chan struct{})
	w.answer(routeRefresh, func(rw http.ResponseWriter, r *http.Request) {
		hangsAfter("event: room_created\ndata: "+roomText+"\n\n")(rw, r)
		close(gone)
	})
	fenced := errors.New("another replica has taken over")
	_, err := w.p.Open(t.Context(), attempt(), (&recorder{err: fenced}).checkpoint)
	if err != fenced {
		t.Errorf("Open = %v, want the checkpoint's own error", err)
	}
	<-gone // the stream was let go
}

func TestPlainJSONReply(t *testing.T) {
	w := newWire(t, nil)
	w.answer(routeRefresh, says(200, roomText))
	a := attempt()
	s, rec := w.open(t, a)
	if !slices.Equal(rec.pending, []string{newSet}) {
		t.Errorf("recorded %q", rec.pending)
	}
	ready, err := s.Await(t.Context())
	if err != nil || ready != (provider.Readiness{Ready: true, ShareSet: newSet}) {
		t.Errorf("Await = %+v, %v", ready, err)
	}
	if log := w.logged(); !strings.Contains(log, `"level":"WARN"`) || !strings.Contains(log, "co-signer alone") {
		t.Errorf("the weaker proof is not logged:\n%s", log)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Await(ctx)
	if class, _ := provider.ClassOf(err); class != provider.Retryable {
		t.Errorf("Await after cancel: %v", err)
	}
}

func TestPlainJSONReplyRefusedWhereCompletionIsRequired(t *testing.T) {
	w := newWire(t, func(o *Options) { o.RequireCeremonyComplete = true })
	w.answer(routeRefresh, says(200, roomText))
	rec := &recorder{}
	_, err := w.p.Open(t.Context(), attempt(), rec.checkpoint)
	wantClass(t, err, provider.Terminal, provider.ReasonProviderError)
	if !slices.Equal(rec.pending, []string{newSet}) {
		t.Errorf("recorded %q; the pending set exists and must be on record", rec.pending)
	}
}

// TestOpenLooksForItself: without a fresh Inspect, or with one that found
// another set, Open inspects and refuses what it may not touch.
func TestOpenLooksForItself(t *testing.T) {
	t.Run("a wallet that would lose recovery", func(t *testing.T) {
		w := newWire(t, nil)
		w.answer(routeByAddress, says(200, strings.Replace(walletReplyText, `"external"`, `"dynamic"`, 1)))
		_, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint)
		wantClass(t, err, provider.Terminal, provider.ReasonInvalidState)
		if n := len(w.asked(routeRefresh)); n != 0 {
			t.Errorf("refresh was asked for %d times", n)
		}
	})
	t.Run("another active set", func(t *testing.T) {
		w := newWire(t, nil)
		a := attempt()
		a.OldShareSet = otherSet
		if _, err := w.p.Inspect(t.Context(), a.Wallet); err != nil {
			t.Fatal(err)
		}
		_, err := w.p.Open(t.Context(), a, (&recorder{}).checkpoint)
		wantClass(t, err, provider.Verification, provider.ReasonVerification)
		if n := len(w.asked(routeRefresh)); n != 0 {
			t.Errorf("refresh was asked for %d times", n)
		}
	})
	t.Run("no set on record", func(t *testing.T) {
		w := newWire(t, nil)
		a := attempt()
		a.OldShareSet = ""
		_, err := w.p.Open(t.Context(), a, (&recorder{}).checkpoint)
		wantClass(t, err, provider.Terminal, provider.ReasonInternal)
	})
	t.Run("an inspection serves once", func(t *testing.T) {
		w := newWire(t, nil)
		a := attempt()
		for range 2 {
			s, _ := w.open(t, a)
			s.Close()
		}
		if n := len(w.asked(routeByAddress)); n != 2 {
			t.Errorf("the wallet was read %d times for two attempts", n)
		}
	})
}

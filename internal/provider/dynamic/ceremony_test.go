package dynamic

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

const roomEvent = "event: room_created\ndata: " + roomText + "\n\n"

// TestAwait: what the vendor may say after room_created, and what it means.
func TestAwait(t *testing.T) {
	complete := func(what, with string) string {
		return "event: ceremony_complete\ndata: " + strings.Replace(completeText, what, with, 1) + "\n\n"
	}
	for _, tt := range []struct {
		name, events string
		class        provider.Class
		reason       provider.Reason
	}{
		{"the stream ends", "", provider.Retryable, provider.ReasonPartyUnavailable},
		{"the stream ends within the last event", strings.TrimSuffix(complete("", ""), "\n"), provider.Retryable, provider.ReasonPartyUnavailable},
		{"an error", "event: error\ndata: {\"error\":\"boom\"}\n\n", provider.Retryable, provider.ReasonProviderError},
		{"an error that says why", "event: error\ndata: {\"error\":\"boom\",\"code\":\"invalid_mpc_environment\"}\n\n", provider.Terminal, provider.ReasonInvalidState},
		{"complete, for another set", complete(newSet, otherSet), provider.Verification, provider.ReasonVerification},
		{"complete, for the old set", complete(newSet, oldSet), provider.Verification, provider.ReasonVerification},
		{"complete, for no set", complete(newSet, ""), provider.Verification, provider.ReasonVerification},
		{"complete, for another wallet", complete(testWallet, otherSet), provider.Verification, provider.ReasonVerification},
		{"complete, for another address", complete(testAddress, "0x0"), provider.Verification, provider.ReasonVerification},
		{"complete, unreadable", "event: ceremony_complete\ndata: {\n\n", provider.Retryable, provider.ReasonProviderError},
		{"unknown events for ever", strings.Repeat("event: x\ndata: 1\n\n", maxStream/17), provider.Retryable, provider.ReasonProviderError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeRefresh, streams(roomEvent+tt.events))
			s, _ := w.open(t, attempt())
			for range 2 { // the answer stays the same
				ready, err := s.Await(t.Context())
				wantClass(t, err, tt.class, tt.reason)
				if ready.Ready {
					t.Error("ready all the same")
				}
			}
		})
	}
	t.Run("unknown events are passed over", func(t *testing.T) {
		w := newWire(t, nil)
		w.answer(routeRefresh, streams(": hi\n\nevent: hello\ndata: 1\n\n"+roomEvent+"event: progress\ndata: {}\n\n"+complete("", "")))
		s, _ := w.open(t, attempt())
		if ready, err := s.Await(t.Context()); err != nil || ready.ShareSet != newSet {
			t.Errorf("Await = %+v, %v", ready, err)
		}
	})
	t.Run("a checksum is not another address", func(t *testing.T) {
		w := newWire(t, nil)
		w.answer(routeRefresh, streams(roomEvent+complete(testAddress, strings.ToLower(testAddress))))
		s, _ := w.open(t, attempt())
		if _, err := s.Await(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAwaitHasALimit(t *testing.T) {
	w := newWire(t, func(o *Options) { o.CeremonyTimeout = 100 * time.Millisecond })
	w.answer(routeRefresh, hangsAfter(roomEvent))
	s, _ := w.open(t, attempt())
	_, err := s.Await(t.Context())
	wantClass(t, err, provider.Retryable, provider.ReasonTimeout)
}

// TestStreamOutlivesTheCall: neither the call time-out nor the context of Open
// ends the stream; the context of one Await ends that Await only.
func TestStreamOutlivesTheCall(t *testing.T) {
	w := newWire(t, func(o *Options) { o.CallTimeout = 300 * time.Millisecond })
	finish := make(chan struct{})
	w.answer(routeRefresh, func(rw http.ResponseWriter, r *http.Request) {
		streams(roomEvent)(rw, r)
		rw.(http.Flusher).Flush()
		select {
		case <-finish:
			streams("event: ceremony_complete\ndata: "+completeText+"\n\n")(rw, r)
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := w.p.Open(ctx, attempt(), (&recorder{}).checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()

	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // longer than the call time-out
	defer cancel()
	_, err = s.Await(short)
	if class, reason := provider.ClassOf(err); class != provider.Retryable || reason != provider.ReasonTimeout {
		t.Fatalf("the first Await = %v", err)
	}
	close(finish)
	if ready, err := s.Await(t.Context()); err != nil || !ready.Ready {
		t.Fatalf("the second Await = %+v, %v", ready, err)
	}
}

func TestCloseEndsTheStream(t *testing.T) {
	w := newWire(t, nil)
	gone := make(chan struct{})
	w.answer(routeRefresh, func(rw http.ResponseWriter, r *http.Request) {
		hangsAfter(roomEvent)(rw, r)
		close(gone)
	})
	s, _ := w.open(t, attempt())
	waiting := make(chan error)
	go func() {
		_, err := s.Await(context.WithoutCancel(t.Context()))
		waiting <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	wantClass(t, <-waiting, provider.Retryable, provider.ReasonInternal)
	<-gone
}

package sandbox

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

type event struct {
	ID          string `json:"event_id"`
	URL, Type   string
	Created     int64 `json:"created_timestamp"`
	Status      string
	RetriesLeft *int `json:"retries_left"`
	Data        struct {
		DataType string `json:"data_type"`
		requestReply
	}
}

// receiver is an endpoint that checks signatures and keeps what it was sent.
type receiver struct {
	t      *testing.T
	url    string
	key    ed25519.PublicKey
	answer func(event) int // nil: 200

	mu     sync.Mutex
	events []event
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/webhooks/cobo/cobo"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		r.t.Error(err)
	}
	for _, names := range [][2]string{{"BIZ-TIMESTAMP", "BIZ-RESP-SIGNATURE"}, {"BIZ_TIMESTAMP", "BIZ_RESP_SIGNATURE"}} {
		signature, err := hex.DecodeString(request.Header.Get(names[1]))
		if err != nil || !ed25519.Verify(r.key, doubleHash(string(body)+"|"+request.Header.Get(names[0])), signature) {
			r.t.Errorf("an event is not signed in %s: %v", names[1], request.Header)
		}
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		r.t.Errorf("%s: %v", body, err)
	}
	r.mu.Lock()
	r.events = append(r.events, e)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		w.Header().Set("Location", r.url+"/moved")
		w.WriteHeader(answer(e))
	}
}

func (r *receiver) all() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// statuses of a request, by type of event, in any order.
func (r *receiver) statuses() []string {
	var all []string
	for _, e := range r.all() {
		all = append(all, strings.TrimPrefix(e.Type, "wallets.mpc.tss_request.")+" "+e.Data.Status)
	}
	slices.Sort(all)
	return all
}

// listening is an org whose events go to a receiver.
func listening(t *testing.T) (*org, *receiver) {
	t.Helper()
	r := newReceiver(t)
	o := newOrg(t, Options{})
	r.key = o.reply
	o.want(204, o.do("PUT", "/_sandbox/webhooks", "", map[string]string{"url": r.url}), nil)
	return o, r
}

func (o *org) awaitDeliveries(want cobo.Deliveries) {
	o.t.Helper()
	o.eventually("the deliveries", func() bool { return o.Stats().Cobo.Webhooks == want })
}

func TestWebhooks(t *testing.T) {
	o, r := listening(t)
	q := o.await(o.reshare(o.create("a", o.free()), "rotation"), cobo.Success)
	o.awaitDeliveries(cobo.Deliveries{Events: 4, Sent: 4, Delivered: 4})
	want := []string{"created PendingKeyHolderConfirmation", "succeeded Success", "updated KeyGenerating", "updated MPCProcessing"}
	if got := r.statuses(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	ids := map[string]bool{}
	for _, e := range r.all() {
		ids[e.ID] = true
		if e.URL != r.url || e.Created == 0 || e.Status != "" || e.Data.DataType != "TSSRequest" || e.Data.ID != q.ID ||
			e.Data.Target != q.Target || e.Data.Source.ID != q.Source.ID || e.Data.Description != "rotation" {
			t.Errorf("%+v", e)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d ids", len(ids))
	}

	// A failure, and a cancel, are events, too.
	o.faulty(once("cobo.ceremony", faults.Status))
	o.await(o.reshare(o.create("b", o.free()), ""), cobo.KeyGeneratingFailed)
	o.faulty(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour})
	o.want(201, o.cancel(o.reshare(o.create("c", o.free()), "")), nil)
	o.awaitDeliveries(cobo.Deliveries{Events: 10, Sent: 10, Delivered: 10})
	times := map[string]int{}
	for _, status := range r.statuses() {
		times[status]++
	}
	if times["failed KeyGeneratingFailed"] != 1 || times["succeeded Success"] != 2 {
		t.Errorf("got %v", times)
	}

	o.want(204, o.do("PUT", "/_sandbox/webhooks", "", `{"url":""}`), nil)
	o.want(400, o.do("PUT", "/_sandbox/webhooks", "", `{"url":"nowhere"}`), nil)
	o.reshare(o.groups()[2], "")
	if got := o.Stats().Cobo.Webhooks.Events; got != 10 {
		t.Errorf("%d events after the webhook was removed", got)
	}
}

// 201 is as good as 200; anything else, a redirect included, is tried again ten
// times with the same event id.
func TestWebhookRetries(t *testing.T) {
	o, r := listening(t)
	r.answer = func(e event) int {
		switch {
		case strings.HasSuffix(e.Type, ".created"):
			return 500
		case strings.HasSuffix(e.Type, ".succeeded") && (e.RetriesLeft == nil || *e.RetriesLeft > 6):
			return 307
		}
		return 201
	}
	o.await(o.reshare(o.create("a", o.free()), ""), cobo.Success)
	o.awaitDeliveries(cobo.Deliveries{Events: 4, Sent: 11 + 5 + 2, Delivered: 3, GivenUp: 1})
	attempts := map[string]int{}
	for _, e := range r.all() {
		attempts[e.ID]++
		if left := e.RetriesLeft; left != nil && (e.Status != "Retrying" || *left != 11-attempts[e.ID]) {
			t.Errorf("attempt %d: %+v", attempts[e.ID], e)
		}
	}
	if len(attempts) != 4 || len(r.all()) != 18 {
		t.Errorf("%d ids in %d events", len(attempts), len(r.all()))
	}
}

func TestWebhookFaults(t *testing.T) {
	for kind, want := range map[faults.Kind]cobo.Deliveries{
		faults.LoseState:   {Events: 4, Sent: 3, Delivered: 3, GivenUp: 1},
		faults.LostRequest: {Events: 4, Sent: 4, Delivered: 4},
		faults.Status:      {Events: 4, Sent: 4, Delivered: 4},
		faults.LostReply:   {Events: 4, Sent: 5, Delivered: 4},
		faults.Latency:     {Events: 4, Sent: 4, Delivered: 4},
	} {
		t.Run(string(kind), func(t *testing.T) {
			o, r := listening(t)
			o.faulty(faults.Fault{Operation: "cobo.webhook", Kind: kind, Times: 1, Delay: time.Millisecond})
			o.await(o.reshare(o.create("a", o.free()), ""), cobo.Success)
			o.awaitDeliveries(want)
			ids := map[string]bool{}
			for _, e := range r.all() {
				ids[e.ID] = true
			}
			if len(r.all()) != want.Sent || len(ids) != want.Delivered {
				t.Errorf("%d events with %d ids", len(r.all()), len(ids))
			}
		})
	}
}

// The first event comes after the last one.
func TestWebhooksOutOfOrder(t *testing.T) {
	o, r := listening(t)
	o.faulty(faults.Fault{Operation: "cobo.webhook", Kind: faults.LateEffect, Times: 1, Delay: 500 * time.Millisecond})
	o.await(o.reshare(o.create("a", o.free()), ""), cobo.Success)
	o.awaitDeliveries(cobo.Deliveries{Events: 4, Sent: 4, Delivered: 4})
	events := r.all()
	if last := events[3]; last.Type != "wallets.mpc.tss_request.created" || last.Status != "" {
		t.Errorf("the last one is %+v", last)
	}
}

// A receiver that is not there, or slow, does not keep a sandbox from closing.
func TestWebhookToNowhere(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{slow.URL, gone.URL} {
		o := newOrg(t, Options{WebhookURL: url, WebhookRetry: time.Hour})
		o.await(o.reshare(o.create("a", o.free()), ""), cobo.Success)
		o.eventually("the first delivery", func() bool { return o.Stats().Cobo.Webhooks.Sent > 0 })
	}
}

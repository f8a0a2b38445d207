package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/cobo"
)

// vendor is who calls: it has the key that the provider is pinned to.
type vendor struct {
	*site
	key   ed25519.PrivateKey
	mu    sync.Mutex
	woken []provider.Notice
	fails error // what waking ends in
}

// newVendor serves webhooks of a real provider named cobo-prod.
func newVendor(t *testing.T, change func(*Options)) *vendor {
	t.Helper()
	v := &vendor{key: ed25519.NewKeyFromSeed([]byte("of the vendor, thirty-two bytes."))}
	p, err := cobo.New(cobo.Options{
		Name: "cobo-prod", BaseURL: "http://127.0.0.1:1/v2", APISecret: func() (string, error) { return "", errors.New("nobody is asked") },
		ResponsePublicKey: hex.EncodeToString(v.key.Public().(ed25519.PublicKey)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	v.site = newSite(t, func(o *Options) {
		o.Webhooks = []Webhook{{Type: "cobo", Provider: "cobo-prod", Receiver: p, Wake: v.wake}}
		if change != nil {
			change(o)
		}
	})
	return v
}

func (v *vendor) wake(_ context.Context, n provider.Notice) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.woken = append(v.woken, n)
	return v.fails
}

// wantWoken says which share sets were woken so far.
func (v *vendor) wantWoken(sets ...string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	var got []string
	for _, n := range v.woken {
		got = append(got, n.ShareSet)
	}
	if strings.Join(got, " ") != strings.Join(sets, " ") {
		v.t.Errorf("woken: %q, want %q", got, sets)
	}
}

func event(id, group string) string {
	return fmt.Sprintf(`{"event_id": %q, "url": "https://rotatord.example/webhooks/cobo/cobo-prod", "created_timestamp": 1753000000000,
		"type": "wallets.mpc.tss_request.succeeded", "data": {"data_type": "TSSRequest", "tss_request_id": "2024", "status": "Success",
		"target_key_share_holder_group_id": %q}}`, id, group)
}

// signed are the headers of an honest call.
func (v *vendor) signed(body string, at time.Time) map[string]string {
	timestamp := strconv.FormatInt(at.UnixMilli(), 10)
	once := sha256.Sum256([]byte(body + "|" + timestamp))
	twice := sha256.Sum256(once[:])
	return map[string]string{"BIZ-TIMESTAMP": timestamp, "BIZ-RESP-SIGNATURE": hex.EncodeToString(ed25519.Sign(v.key, twice[:]))}
}

func (v *vendor) post(path, body string, headers map[string]string) reply {
	v.t.Helper()
	return v.do("POST", path, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		for name, value := range headers {
			r.Header[name] = []string{value} // as it is written
		}
	})
}

const hookPath = "/webhooks/cobo/cobo-prod"

// call is an honest one, signed now.
func (v *vendor) call(body string) reply {
	v.t.Helper()
	return v.post(hookPath, body, v.signed(body, time.Now()))
}

func (r reply) wantOK(t *testing.T) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Errorf("answered %d %s, want 200", r.status, r.body)
	}
}

func TestWebhookWakes(t *testing.T) {
	v := newVendor(t, nil)
	v.call(event("e1", "group-1")).wantOK(t)
	body := event("e2", "group-2")
	underscored := map[string]string{}
	for name, value := range v.signed(body, time.Now()) {
		underscored[strings.ReplaceAll(name, "-", "_")] = value
	}
	v.post(hookPath, body, underscored).wantOK(t)
	v.wantWoken("group-1", "group-2")
	if got := v.get("/metrics").body; !strings.Contains(got, `rotatord_webhooks_total{provider="cobo-prod",result="accepted"} 2`) ||
		!strings.Contains(got, `rotatord_webhooks_total{provider="cobo-prod",result="refused"} 0`) {
		t.Errorf("the metrics do not count it:\n%s", got)
	}
}

// TestWebhookIsBelievedBySignatureAlone tries everything that somebody who is
// not the vendor could send.
func TestWebhookIsBelievedBySignatureAlone(t *testing.T) {
	v := newVendor(t, nil)
	body := event("e1", "group-1")
	now := time.Now()
	changed := func(name, value string) map[string]string {
		headers := v.signed(body, now)
		headers[name] = value
		return headers
	}
	stranger := &vendor{key: ed25519.NewKeyFromSeed([]byte("of a stranger, thirty-two bytes."))}
	for name, c := range map[string]struct {
		body    string
		headers map[string]string
	}{
		"no headers":           {body, nil},
		"no signature":         {body, changed("BIZ-RESP-SIGNATURE", "")},
		"no time":              {body, changed("BIZ-TIMESTAMP", "")},
		"another key":          {body, stranger.signed(body, now)},
		"another time":         {body, changed("BIZ-TIMESTAMP", strconv.FormatInt(now.UnixMilli()+1, 10))},
		"another body":         {event("e1", "group-2"), v.signed(body, now)},
		"the same, re-encoded": {strings.ReplaceAll(body, "\n\t\t", ""), v.signed(body, now)},
		"two signatures":       {body, changed("BIZ_RESP_SIGNATURE", strings.Repeat("0", 128))},
		"too old":              {body, v.signed(body, now.Add(-cobo.WebhookWindow-time.Minute))},
		"from the future":      {body, v.signed(body, now.Add(cobo.WebhookWindow+time.Minute))},
	} {
		r := v.post(hookPath, c.body, c.headers)
		if r.wantProblem(t, http.StatusUnauthorized, "not signed"); t.Failed() {
			t.Fatalf("%s was not refused", name)
		}
	}
	v.wantWoken()
}

func TestWebhookThatIsNothing(t *testing.T) {
	v := newVendor(t, nil)
	v.call(strings.Repeat(" ", cobo.MaxWebhook+1)).wantProblem(t, http.StatusRequestEntityTooLarge, "longer")
	v.call("not JSON").wantProblem(t, http.StatusBadRequest, "not an event")
	for _, body := range []string{
		`{"event_id": "e1", "type": "wallets.transaction.created", "data": {"data_type": "Transaction", "transaction_id": "x"}}`,
		`{"event_id": "e2", "type": "of.a.kind.that.is.new", "data": [1, 2]}`,
		`{}`,
	} {
		v.call(body).wantOK(t)
	}
	v.wantWoken()
}

// TestWebhookComesTwice: deliveries are repeated, also those that were
// answered; one that could not be passed on is wanted again.
func TestWebhookComesTwice(t *testing.T) {
	v := newVendor(t, nil)
	body := event("e1", "group-1")
	v.fails = errors.New("no database")
	v.call(body).wantProblem(t, http.StatusServiceUnavailable, "call again")
	v.fails = nil
	v.call(body).wantOK(t)
	v.call(body).wantOK(t)
	v.wantWoken("group-1", "group-1")
	// One without an id may be told from no other.
	v.call(event("", "group-2")).wantOK(t)
	v.call(event("", "group-2")).wantOK(t)
	v.wantWoken("group-1", "group-1", "group-2", "group-2")
}

// TestWebhookIsAnsweredInTime: the vendor waits two seconds, a database may
// hang for longer.
func TestWebhookIsAnsweredInTime(t *testing.T) {
	v := newVendor(t, func(o *Options) {
		o.Webhooks[0].Wake = func(ctx context.Context, _ provider.Notice) error {
			<-ctx.Done()
			return ctx.Err()
		}
	})
	start := time.Now()
	v.call(event("e1", "group-1")).wantProblem(t, http.StatusServiceUnavailable, "call again")
	if took := time.Since(start); took >= 2*time.Second {
		t.Errorf("it took %s, want less than 2 s", took)
	}
}

// TestWebhooksOfOthers: there is a route for each provider whose vendor calls,
// and for nobody else.
func TestWebhooksOfOthers(t *testing.T) {
	v := newVendor(t, nil)
	for _, path := range []string{"/webhooks/cobo/other", "/webhooks/cobo/", "/webhooks/cobo", "/webhooks/dynamic/cobo-prod", hookPath + "/x"} {
		body := event("e1", "group-1")
		v.post(path, body, v.signed(body, time.Now())).wantProblem(t, http.StatusNotFound, "no such route")
	}
	v.get(hookPath).wantProblem(t, http.StatusNotFound, "no such route")
	newSite(t, nil).do("POST", hookPath, nil).wantProblem(t, http.StatusNotFound, "no such route")
	v.wantWoken()
}

// TestWebhooksNeedNoPassword, where everything else does.
func TestWebhooksNeedNoPassword(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "basic_auth_users:\n  alice: %s\n", hash), 0o600); err != nil {
		t.Fatal(err)
	}
	v := newVendor(t, func(o *Options) { o.WebConfigFile = file })
	v.call(event("e1", "group-1")).wantOK(t)
	v.wantWoken("group-1")
	v.post(hookPath, event("e2", "group-2"), nil).wantProblem(t, http.StatusUnauthorized, "not signed")
	for _, path := range []string{"/", "/healthz", "/metrics", "/webhooks/cobo/other", "/webhooks/../metrics"} {
		if r := v.get(path); r.status == http.StatusOK {
			t.Errorf("GET %s without a password: %d", path, r.status)
		}
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	var r recent
	for i := range recentEvents + 10 {
		r.add(strconv.Itoa(i))
		r.add(strconv.Itoa(i))
	}
	for i, want := range map[int]bool{0: false, 9: false, 10: true, recentEvents + 9: true} {
		if got := r.has(strconv.Itoa(i)); got != want {
			t.Errorf("event %d is known: %v, want %v", i, got, want)
		}
	}
	if len(r.known) != recentEvents {
		t.Errorf("%d events are remembered, want %d", len(r.known), recentEvents)
	}
}

package api

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/cobo"
)

// FuzzWebhook calls the door that is open to the world, with headers and a body
// of anybody's, and with the vendor's signature under a body of anybody's. What
// is not signed wakes nothing; what is wakes at most once, about an id that is
// fit for a query; and every call is answered and counted.
func FuzzWebhook(f *testing.F) {
	f.Add("1753000000000", strings.Repeat("00", ed25519.SignatureSize), []byte(event("e1", "b33130a9-6e18-44a9-9e48-8b3b41921f0e")))
	f.Add("", "", []byte(event("e2", "'; DROP TABLE rotations")))
	f.Add("1753000000000|", "zz", []byte(`{"event_id":"e3","data":{"vault_id":"f47ac10b-58cc-4372-a567-0e02b2c3d479"}}`))
	f.Add("-1", "", []byte(`{"event_id":7,"data":[]}`))
	key := ed25519.NewKeyFromSeed([]byte("of the vendor, thirty-two bytes."))
	f.Fuzz(func(t *testing.T, timestamp, signature string, body []byte) {
		p, err := cobo.New(cobo.Options{
			Name: "cobo-prod", BaseURL: "http://127.0.0.1:1/v2", APISecret: func() (string, error) { return "", errors.New("nobody is asked") },
			ResponsePublicKey: hex.EncodeToString(key.Public().(ed25519.PublicKey)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		var woken []provider.Notice
		routes := webhookRoutes(Options{
			Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
			Webhooks: []Webhook{{Type: "cobo", Provider: "cobo-prod", Receiver: p, Wake: func(_ context.Context, n provider.Notice) error {
				woken = append(woken, n)
				return nil
			}}},
		})
		call := func(timestamp, signature string) int {
			r := httptest.NewRequest("POST", hookPath, strings.NewReader(string(body)))
			r.Header["Biz-Timestamp"], r.Header["Biz-Resp-Signature"] = []string{timestamp}, []string{signature}
			w := httptest.NewRecorder()
			routes.ServeHTTP(w, r)
			return w.Code
		}
		if code := call(timestamp, signature); code == http.StatusOK || len(woken) > 0 {
			t.Fatalf("nobody signed it: HTTP status %d, woken %+v", code, woken)
		}
		now := strconv.FormatInt(time.Now().UnixMilli(), 10)
		once := sha256.Sum256(append(append(append([]byte{}, body...), '|'), now...))
		twice := sha256.Sum256(once[:])
		genuine := hex.EncodeToString(ed25519.Sign(key, twice[:]))
		first := call(now, genuine)
		switch first {
		case http.StatusOK, http.StatusBadRequest:
		case http.StatusUnauthorized, http.StatusRequestEntityTooLarge:
			if len(body) <= cobo.MaxWebhook {
				t.Fatalf("the vendor's call: HTTP status %d", first)
			}
		default:
			t.Fatalf("the vendor's call: HTTP status %d", first)
		}
		if second := call(now, genuine); second != first {
			t.Fatalf("the same call twice: HTTP status %d, then %d", first, second)
		}
		for i, n := range woken {
			if first != http.StatusOK || i > 0 && n.ID != "" {
				t.Fatalf("HTTP status %d, woken %+v", first, woken)
			}
			if strings.ContainsAny(n.Wallet+n.ShareSet, " '\";\x00\n") || len(n.Wallet)+len(n.ShareSet) > 256 {
				t.Fatalf("woken: %+v", n)
			}
		}
	})
}

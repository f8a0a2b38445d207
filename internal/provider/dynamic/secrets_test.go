package dynamic

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// TestNothingSecretIsSaid plants a mark in everything that crosses the wire and
// looks for it in every error and every log line, at the debug level.
func TestNothingSecretIsSaid(t *testing.T) {
	const mark = "S3NT1NEL"
	hostile := map[string]http.HandlerFunc{
		"error text":        says(422, `{"error":"`+mark+`","code":"`+mark+`"}`),
		"error nested":      says(403, `{"error":{"code":"`+mark+`","message":"`+mark+`"},"payload":"`+mark+`"}`),
		"error not JSON":    says(500, mark),
		"success not JSON":  says(200, mark),
		"wrong types":       says(200, `{"roomId":{"`+mark+`":1},"wallet":{"shareSetId":{"`+mark+`":1}},"encodedJwts":"`+mark+`","walletId":["`+mark+`"]}`),
		"another wallet":    says(200, `{"roomId":"r","shareSetId":"`+newSet+`","walletId":"`+mark+`","wallet":{"walletId":"`+mark+`","shareSetId":"x"}}`),
		"another set":       says(200, strings.Replace(locationsText, newSet, mark, 1)),
		"backup elsewhere":  says(200, strings.Replace(walletReplyText, `"external"`, `"`+mark+`"`, 1)),
		"set of a new type": says(200, strings.Replace(walletReplyText, "TWO_OF_TWO", mark, 1)),
		"token with break":  says(200, `{"encodedJwts":{"minifiedJwt":"`+mark+`\r\n"}}`),
		"error event":       streams("event: error\ndata: {\"error\":\"" + mark + "\",\"code\":\"" + mark + "\"}\n\n"),
		"error after room":  streams(roomEvent + "event: error\ndata: {\"error\":\"" + mark + "\"}\n\n"),
		"garbage after":     streams(roomEvent + "event: ceremony_complete\ndata: {\"" + mark + "\"\n\n"),
		"other set after":   streams(roomEvent + "event: ceremony_complete\ndata: {\"shareSetId\":\"" + mark + "\"}\n\n"),
		"a bad header": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 200 OK\r\n"+mark+"\r\n\r\n")
		},
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, mark+"\r\n\r\n")
		},
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+mark+"/"+mark, http.StatusFound)
		},
		"a bad retry-after": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", mark)
			says(429, mark)(w, r)
		},
	}
	for name, answer := range hostile {
		for _, route := range []string{routeAuth, routeByAddress, routeRefresh, routeLocations} {
			t.Run(name+" at "+route[strings.LastIndex(route, "/")+1:], func(t *testing.T) {
				w := newWire(t, func(o *Options) {
					o.APIToken = func() (string, error) { return "dyn_" + mark, nil }
				})
				w.answer(routeAuth, says(200, `{"encodedJwts":{"minifiedJwt":"`+mark+`"}}`))
				w.answer(route, answer)
				var errs []error
				_, err := w.p.Inspect(t.Context(), attempt().Wallet)
				errs = append(errs, err)
				s, err := w.p.Open(t.Context(), attempt(), (&recorder{}).checkpoint)
				errs = append(errs, err)
				if err == nil {
					_, err = s.Await(t.Context())
					errs = append(errs, err, s.Close())
				}
				errs = append(errs, w.p.Promote(t.Context(), promotable(t, 1)))

				said := fmt.Sprintf("%+v\n%s", errors.Join(errs...), w.logged())
				if strings.Contains(said, mark) {
					t.Errorf("said it:\n%s", said)
				}
				if w.logged() == "" {
					t.Fatal("nothing is logged, so nothing is tested")
				}
				for _, err := range errs {
					for e := err; e != nil; e = errors.Unwrap(e) {
						if strings.Contains(e.Error(), mark) {
							t.Errorf("%T says it: %v", e, e)
						}
					}
				}
			})
		}
	}
}

// TestConnectionErrorsAreNamedByKind: a certificate's text comes from the other side.
func TestConnectionErrorsAreNamedByKind(t *testing.T) {
	w := httptest.NewUnstartedServer(says(200, "{}"))
	w.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.StartTLS()
	defer w.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := l.Addr().String()
	l.Close()
	for url, want := range map[string]string{
		w.URL:               "no connection",
		"http://" + refused: "connection refused",
	} {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		p, err := New(Options{
			Name: "dynamic-test", BaseURL: url, EnvironmentID: testEnvironment, Auth: AuthServer,
			APIToken: func() (string, error) { return "dyn_x", nil }, HTTPClient: &http.Client{Transport: transport},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Inspect(t.Context(), attempt().Wallet)
		wantClass(t, err, provider.Retryable, provider.ReasonProviderError)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestOptions(t *testing.T) {
	good := func() Options {
		return Options{
			Name: "dynamic-test", EnvironmentID: testEnvironment, Auth: AuthServer,
			APIToken: func() (string, error) { return "dyn_x", nil },
		}
	}
	for name, change := range map[string]func(*Options){
		"no scheme":             func(o *Options) { o.BaseURL = "app.dynamicauth.com" },
		"another scheme":        func(o *Options) { o.BaseURL = "ftp://app.dynamicauth.com" },
		"credentials":           func(o *Options) { o.BaseURL = "https://u:hunter2@app.dynamicauth.com" },
		"a query":               func(o *Options) { o.BaseURL = "https://app.dynamicauth.com?key=hunter2" },
		"not a URL":             func(o *Options) { o.BaseURL = "https://hunter2:%zz" },
		"no environment":        func(o *Options) { o.EnvironmentID = "" },
		"environment no UUID":   func(o *Options) { o.EnvironmentID = "../x" },
		"no token":              func(o *Options) { o.APIToken = nil },
		"no authentication":     func(o *Options) { o.Auth = "" },
		"other authentication":  func(o *Options) { o.Auth = "basic" },
		"a negative time-out":   func(o *Options) { o.CallTimeout = -time.Second },
		"a rate limit of zero":  func(o *Options) { o.RateLimits = []RateLimit{{}} },
		"a negative time-out 2": func(o *Options) { o.CeremonyTimeout = -time.Second },
	} {
		o := good()
		change(&o)
		_, err := New(o)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q quotes what may be a secret", name, err)
		}
	}
	p, err := New(good())
	if err != nil {
		t.Fatal(err)
	}
	if p.base != DefaultBaseURL || p.opts.CallTimeout != DefaultCallTimeout || p.opts.CeremonyTimeout != DefaultCeremonyTimeout ||
		len(p.limits.buckets) != len(DocumentedRateLimits()) {
		t.Errorf("defaults: %s %s %s %d limits", p.base, p.opts.CallTimeout, p.opts.CeremonyTimeout, len(p.limits.buckets))
	}
}

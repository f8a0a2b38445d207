package dynamic

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestErrorCode(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"Wallet is not active","code":"wallet_not_active"}`:                    "wallet_not_active",
		`{"error":"x","code":"a_code_of_tomorrow","payload":{}}`:                         "a_code_of_tomorrow",
		`{"error_code":"lock_timeout"}`:                                                  "lock_timeout",
		`{"error":{"code":"invalid_wallet_id","message":"m"},"payload":{}}`:              "invalid_wallet_id",
		`{"error":"too_many_requests"}`:                                                  "too_many_requests",
		`{"error":"Too many requests. Please try again later."}`:                         "",
		`{"message":"Rate limit exceeded","code":429}`:                                   "",
		`{"code":"dyn_Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmE"}`: "",
		`{"code":"` + strings.Repeat("a_", 40) + `a"}`:                                   "",
		`<html>429 Too Many Requests</html>`:                                             "",
		`{"error":{"code":`:                                                              "",
		`null`:                                                                           "",
		``:                                                                               "",
	} {
		if got := errorCode([]byte(body)); got != want {
			t.Errorf("errorCode(%s) = %q, want %q", body, got, want)
		}
	}
}

func FuzzErrorCode(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"invalid_wallet_id"}}`))
	f.Add([]byte(`{"code":["a_b"],"error_code":null,"error":"a_b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if code := errorCode(body); code != "" && (len(code) > 64 || !codePattern.MatchString(code)) {
			t.Fatalf("%q is no code", code)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                           0,
		"0":                          0,
		"3":                          3 * time.Second,
		" 30 ":                       30 * time.Second,
		"86400":                      maxRetryAfter,
		"99999999999999999999999999": maxRetryAfter,
		"-3":                         0,
		"1.5":                        0,
		"soon":                       0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
		now.AddDate(1, 0, 0).Format(http.TimeFormat):  maxRetryAfter,
		"Sunday, 01-Nov-26 12:00:09 GMT":              9 * time.Second,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", header, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("3")
	f.Add("Sun, 01 Nov 2026 12:00:00 GMT")
	f.Fuzz(func(t *testing.T, header string) {
		if d := retryAfter(header, time.Unix(1_793_534_400, 0)); d < 0 || d > maxRetryAfter {
			t.Fatalf("retryAfter(%q) = %s", header, d)
		}
	})
}

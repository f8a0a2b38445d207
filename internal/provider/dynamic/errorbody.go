package dynamic

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxErrorBody is how much of an error's body is looked at for a code.
const maxErrorBody = 64 << 10

// maxRetryAfter limits how long one header can hold the provider back. The
// vendor's longest documented window is five minutes.
const maxRetryAfter = time.Hour

// codePattern is what a vendor's error code looks like. Codes are the only part
// of a reply that reaches errors and logs, so the pattern is narrow on purpose:
// lower-case words joined by underscores, which no token and no key fits.
var codePattern = regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)

// errorCode finds the vendor's code in the body of an error, in any of the
// shapes its services use:
//
//	{"error": "text", "code": "wallet_not_active"}
//	{"error_code": "…"}                     the key share service
//	{"error": {"code": "…", "message": …}}  a variant of 403
//	{"error": "wallet_not_active"}
//
// It returns "" for everything else, also for bodies that are not JSON.
func errorCode(body []byte) string {
	var reply struct {
		Code      json.RawMessage `json:"code"`
		ErrorCode json.RawMessage `json:"error_code"`
		Error     json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return ""
	}
	var nested struct {
		Code json.RawMessage `json:"code"`
	}
	if len(reply.Error) > 0 && reply.Error[0] == '{' {
		_ = json.Unmarshal(reply.Error, &nested) // no code then; the status decides
	}
	for _, raw := range []json.RawMessage{reply.Code, reply.ErrorCode, nested.Code, reply.Error} {
		var s string
		if len(raw) > 0 && json.Unmarshal(raw, &s) == nil && len(s) <= 64 && codePattern.MatchString(s) {
			return s
		}
	}
	return ""
}

// retryAfter reads a Retry-After header: seconds (what the vendor documents) or
// an HTTP date (what a proxy in front of it may send). It returns zero when
// there is none or it makes no sense, and never more than maxRetryAfter.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}

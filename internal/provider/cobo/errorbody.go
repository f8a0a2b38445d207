package cobo

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter limits how long one header can hold the provider back. The
// vendor documents no such header; a proxy in front of it may send one.
const maxRetryAfter = time.Hour

// errorIDPattern is what the vendor's error ids look like. With the numeric code
// they are the only part of an error's body that reaches errors and logs: the
// vendor's support asks for them.
var errorIDPattern = regexp.MustCompile(`^[0-9a-fA-F-]{8,64}$`)

// readError reads the vendor's ErrorResponse. It returns zero values for
// everything that is not one.
func readError(body []byte) (code int, id string) {
	var reply struct {
		Code json.RawMessage `json:"error_code"`
		ID   json.RawMessage `json:"error_id"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return 0, ""
	}
	if json.Unmarshal(reply.Code, &code) != nil || code < 0 {
		code = 0
	}
	if json.Unmarshal(reply.ID, &id) != nil || !errorIDPattern.MatchString(id) {
		id = ""
	}
	return code, id
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. It returns
// zero when there is none or it makes no sense, and never more than
// maxRetryAfter.
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

package cosigner

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

var (
	// ErrUnknown is in the chain of every 404: the co-signer does not know the
	// wallet or the ceremony.
	ErrUnknown = errors.New("unknown to the co-signer")
	// ErrConflict is in the chain of every 409: what was asked does not fit
	// what the co-signer holds.
	ErrConflict = errors.New("in conflict with what the co-signer holds")
)

// maxRetryAfter bounds what a co-signer may ask for: a slip in a header must
// not park a rotation between prepared and committed for a day.
const maxRetryAfter = time.Hour

// refusal classifies an answer that is not a success by its status code:
//
//	401, 403             terminal, auth
//	404                  terminal, ErrUnknown
//	409                  retryable when it refuses a start (another ceremony may still be
//	                     running there), else terminal; ErrConflict
//	429                  rate_limited
//	400 405 413 415 422  terminal: the same call will be refused again
//	anything else        retryable; a 5xx, a redirect, a proxy's own words
//
// The reason is cosigner, but for auth.
func refusal(op, name string, response *http.Response, now time.Time) error {
	class, reason := provider.Retryable, provider.ReasonCoSigner
	code := response.StatusCode
	cause := errors.New("it answered " + strings.TrimSpace(strconv.Itoa(code)+" "+http.StatusText(code)))
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		class, reason = provider.Terminal, provider.ReasonAuth
	case http.StatusNotFound:
		class, cause = provider.Terminal, ErrUnknown
	case http.StatusConflict:
		cause = ErrConflict
		if request := response.Request; request == nil || !strings.HasSuffix(request.URL.Path, "/v1/ceremonies") {
			class = provider.Terminal
		}
	case http.StatusTooManyRequests:
		class = provider.RateLimited
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		class = provider.Terminal
	}
	err := provider.Errorf(class, reason, "%s at co-signer %s: %w", op, name, cause)
	if class == provider.RateLimited || code == http.StatusServiceUnavailable {
		err.RetryAfter = parseRetryAfter(response.Header.Get("Retry-After"), now)
	}
	return err
}

// parseRetryAfter reads seconds or an HTTP date (RFC 9110 §10.2.3). What it
// cannot read is zero: the caller then backs off on its own.
func parseRetryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = maxRetryAfter
		if seconds < int64(maxRetryAfter/time.Second) {
			wait = time.Duration(seconds) * time.Second
		}
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// unreachable is for a call that got no complete answer. Whether it had its
// effect is unknown; asking again with the same id is harmless.
func (c *Client) unreachable(op string, err error) error {
	// url.Error repeats method and URL, which op and name say already.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return provider.Errorf(provider.Retryable, provider.ReasonCoSigner, "%s at co-signer %s: %w", op, c.name, err)
}

func (c *Client) malformed(op string, err error) error {
	return provider.Errorf(provider.Retryable, provider.ReasonCoSigner, "%s at co-signer %s: reading its answer: %w", op, c.name, err)
}

package cobo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// maxReply limits what is read of a reply; the largest one of interest is a
// page of 50 groups, some 40 kB.
const maxReply = 4 << 20

var (
	errCallTimeout = errors.New("the call took longer than its limit")
	errReplyTooBig = errors.New("the reply is longer than allowed")
)

// request is one HTTP request, before it is signed.
type request struct {
	op     operation
	what   string // for errors: "reading vault 3f…"
	method string
	path   string // below the base URL
	query  url.Values
	body   any // encoded as JSON; nil for none
}

// call makes one request and decodes its reply. There is no second try: each
// caller knows what it may repeat.
func (p *Provider) call(ctx context.Context, r request, into any) error {
	body, f := p.send(ctx, r)
	if f == nil && json.Unmarshal(body, into) != nil { // its error may quote the reply
		f = &failure{outcome: outcome{op: r.op, sent: true, fault: faultGarbled}, detail: "the reply is not the JSON that was expected"}
	}
	if f != nil {
		return r.fail(f)
	}
	return nil
}

// failure is what went wrong in one exchange, without a word of what the vendor
// sent but its status, code and the id that its support asks for.
type failure struct {
	outcome
	retryAfter time.Duration
	detail     string
	err        error // instead of detail: ours, from before anything was sent
}

func (f *failure) Error() string {
	if f.err != nil {
		return f.err.Error()
	}
	return f.detail
}

func (f *failure) Unwrap() error { return f.err }

// fail turns a failure into the error that a rotation decides by.
func (r request) fail(f *failure) error {
	var classified *provider.Error
	if errors.As(f.err, &classified) {
		return f.err
	}
	v := classify(f.outcome)
	e := provider.Errorf(v.class, v.reason, "%s: %w", r.what, f)
	e.RetryAfter = f.retryAfter
	return e
}

// garbled is the error of a successful reply that makes no sense.
func (r request) garbled(format string, args ...any) error {
	return r.fail(&failure{outcome: outcome{op: r.op, sent: true, fault: faultGarbled}, detail: fmt.Sprintf(format, args...)})
}

// refused says that the vendor gave a definite no.
func refused(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.fault == faultNone && f.status >= 400 && f.status < 500 && !internalCode(f.code)
}

// notFound says that the vendor does not know what was asked about.
func notFound(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.fault == faultNone && (f.status == http.StatusNotFound || f.code == codeNotFound)
}

// inDoubt says that a call may have had its effect.
func inDoubt(err error) bool {
	class, _ := provider.ClassOf(err)
	return err != nil && class == provider.InDoubt
}

// send signs and makes one request, after waiting for the client-side rate
// limits, and returns the body of a reply of status 2xx that the vendor signed.
func (p *Provider) send(ctx context.Context, r request) ([]byte, *failure) {
	if err := p.limits.wait(ctx); err != nil {
		// Judged as the vendor's own 429: nothing was sent, and it goes later.
		return nil, &failure{outcome: outcome{op: r.op, status: http.StatusTooManyRequests},
			detail: "waiting for the client-side rate limit: " + err.Error()}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.opts.CallTimeout, errCallTimeout)
	defer cancel()
	var sent atomic.Bool
	req, err := p.newRequest(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// The transport looks for another connection only when it is certain
		// that nothing was written on the first one, see newRequest.
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}), r)
	if err != nil {
		return nil, &failure{outcome: outcome{op: r.op, fault: faultNetwork}, err: err}
	}
	start := time.Now()
	res, err := p.client.Do(req)
	if err != nil {
		f := broken(ctx, outcome{op: r.op, sent: sent.Load()}, err)
		p.observe(r, f.outcome, time.Since(start), "")
		return nil, f
	}
	defer res.Body.Close()
	body, f := p.receive(ctx, r.op, res)
	o, id := outcome{op: r.op, sent: true, status: res.StatusCode}, ""
	if f != nil {
		o, id = f.outcome, f.errorID
	}
	p.observe(r, o, time.Since(start), id)
	return body, f
}

// receive reads a reply and checks whose it is before it believes a word.
func (p *Provider) receive(ctx context.Context, op operation, res *http.Response) ([]byte, *failure) {
	o := outcome{op: op, sent: true, status: res.StatusCode}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err == nil && len(body) > maxReply {
		err = errReplyTooBig
	}
	if err != nil && o.status < 400 {
		o.status = 0
		return nil, broken(ctx, o, err)
	}
	_, forged := verify(p.key, res.Header, body)
	signed := err == nil && forged == nil
	if !signed && !mayBeUnsigned(o.status) && o.status < 500 {
		o.fault = faultUnsigned
		return nil, &failure{outcome: o, detail: fmt.Sprintf("the reply (HTTP status %d) is not to be believed: %s", o.status, because(err, forged))}
	}
	if o.status >= 200 && o.status < 300 {
		return body, nil
	}
	f := &failure{outcome: o, detail: "HTTP status " + strconv.Itoa(o.status)}
	f.retryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	if signed {
		f.code, f.errorID = readError(body)
	}
	if f.code != 0 {
		f.detail += fmt.Sprintf(", code %d", f.code)
	}
	if f.errorID != "" {
		f.detail += ", error_id " + f.errorID
	}
	return nil, f
}

func because(unread, forged error) string {
	if unread != nil {
		return "it is not complete"
	}
	return forged.Error()
}

func (p *Provider) newRequest(ctx context.Context, r request) (*http.Request, error) {
	key, err := p.apiKey()
	if err != nil {
		return nil, err
	}
	var encoded []byte
	// A body that is not nil and cannot be had again, even if it is empty, keeps
	// the transport from repeating a GET that it has written: that would send
	// the same nonce twice.
	var body io.Reader = io.NopCloser(bytes.NewReader(nil))
	if r.body != nil {
		if encoded, err = json.Marshal(r.body); err != nil {
			return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s: encoding the request: %w", r.what, err)
		}
	}
	if r.method != http.MethodGet {
		body = bytes.NewReader(encoded) // with its length, zero included
	}
	target := *p.base
	target.Path += r.path
	target.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s: making the request failed", r.what)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache") // a cached answer proves nothing
	req.Header.Set("User-Agent", "rotatord")
	if r.method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	sign(req.Header, key, r.method, req.URL.EscapedPath(), nonces.next(time.Now()), req.URL.RawQuery, encoded)
	return req, nil
}

// observe counts and logs one request. Nothing of its content is logged.
func (p *Provider) observe(r request, o outcome, d time.Duration, errorID string) {
	code := strconv.Itoa(o.status)
	switch {
	case o.status != 0:
	case o.fault == faultTimeout:
		code = "timeout"
	default:
		code = "network"
	}
	p.opts.Observe(string(r.op), code, d)
	p.log.LogAttrs(context.Background(), slog.LevelDebug, "called the vendor",
		slog.String("operation", string(r.op)), slog.String("code", code), slog.Bool("believed", o.fault != faultUnsigned),
		slog.Int("vendor_code", o.code), slog.String("error_id", errorID), slog.Duration("took", d))
}

// broken is an exchange that ended without a complete reply, described without
// a byte that came from the other side: Go's HTTP errors quote what they do not
// understand.
func broken(ctx context.Context, o outcome, err error) *failure {
	var n net.Error
	switch {
	case errors.Is(err, errReplyTooBig):
		o.fault = faultGarbled
	case ctx.Err() != nil && context.Cause(ctx) != errCallTimeout && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		o.fault = faultCanceled
	case ctx.Err() != nil || errors.As(err, &n) && n.Timeout():
		o.fault = faultTimeout
	default:
		o.fault = faultNetwork
	}
	return &failure{outcome: o, detail: describe(err, o)}
}

func describe(err error, o outcome) string {
	switch {
	case o.fault == faultCanceled:
		return "stopped by the caller"
	case !o.sent:
		// Nothing was sent, so nothing came back: dial and DNS errors are ours
		// to quote, everything else (TLS, proxies) is named by kind.
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return "no connection: " + op.Error()
		}
		if o.fault == faultTimeout {
			return "no connection in time"
		}
		return "no connection"
	case o.fault == faultTimeout:
		return "no complete answer in time"
	case o.fault == faultGarbled:
		return "the answer is longer than allowed"
	default:
		return "the connection broke before a complete answer"
	}
}

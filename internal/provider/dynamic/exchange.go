package dynamic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// maxReply limits what is read of a reply; the largest one of interest is a
// wallet with all its share sets.
const maxReply = 1 << 20

const eventStream = "text/event-stream"

var (
	errCallTimeout     = errors.New("the call took longer than its limit")
	errCeremonyTimeout = errors.New("the ceremony took longer than its limit")
	errReplyTooBig     = errors.New("the reply is longer than allowed")
)

// request is one HTTP request, before it has a token.
type request struct {
	op     operation
	what   string // for errors: "reading wallet 3f…"
	method string
	path   string // below the base URL, escaped
	body   []byte // JSON; nil for none
	accept string
	id     uuid.UUID // x-dyn-request-id: the attempt's id, where there is one
	with   credential
}

// exchange is a successful reply whose body has not been read. It ends with the
// caller's context or with the call's time-out, whichever comes first, unless
// detach lets it live on.
type exchange struct {
	*http.Response
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	unlink func() bool
}

// detach lets the exchange live until close. It answers false when it has
// ended already.
func (x *exchange) detach() bool {
	return x.timer.Stop() && x.unlink() && x.ctx.Err() == nil
}

func (x *exchange) close() {
	x.timer.Stop()
	x.unlink()
	x.cancel(context.Canceled)
	x.Body.Close()
}

// read reads the whole body, up to limit bytes.
func (x *exchange) read(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(x.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errReplyTooBig
	}
	return b, err
}

// failure is what went wrong in one exchange, without a word of what the vendor
// sent but its status and code.
type failure struct {
	outcome
	retryAfter time.Duration
	detail     string
}

// send makes one request, after waiting for the client-side rate limits. It
// returns the exchange for a status of 2xx, a failure for everything else.
func (p *Provider) send(ctx context.Context, r request, bearer string) (*exchange, *failure) {
	if blocked, err := p.limits.wait(ctx); err != nil {
		return nil, &failure{
			// Judged as the vendor's own 429: nothing was sent, and it goes later.
			outcome:    outcome{op: r.op, status: http.StatusTooManyRequests},
			retryAfter: blocked,
			detail:     "waiting for the client-side rate limit: " + err.Error(),
		}
	}

	x := &exchange{}
	x.ctx, x.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	x.timer = time.AfterFunc(p.opts.CallTimeout, func() { x.cancel(errCallTimeout) })
	x.unlink = context.AfterFunc(ctx, func() { x.cancel(context.Cause(ctx)) })

	var sent atomic.Bool
	req, err := p.newRequest(httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		// The transport looks for another connection for a POST only when it is
		// certain that nothing of it was written on the first one.
		GetConn:      func(string) { sent.Store(false) },
		WroteHeaders: func() { sent.Store(true) },
	}), r, bearer)
	if err != nil {
		x.timer.Stop()
		x.unlink()
		x.cancel(context.Canceled)
		return nil, &failure{outcome: outcome{op: r.op, fault: faultNetwork}, detail: err.Error()}
	}
	start := time.Now()
	x.Response, err = p.client.Do(req)
	if err != nil {
		f := &failure{outcome: outcome{op: r.op, sent: sent.Load(), fault: x.faultOf(err)}}
		f.detail = describe(err, f.outcome)
		x.timer.Stop()
		x.unlink()
		x.cancel(context.Canceled)
		p.observe(r, f.outcome, time.Since(start))
		return nil, f
	}
	f := &failure{outcome: outcome{op: r.op, sent: true, status: x.StatusCode}}
	if x.StatusCode >= 200 && x.StatusCode < 300 {
		p.observe(r, f.outcome, time.Since(start))
		return x, nil
	}
	// An error's body is read for its code alone; a body that cannot be read
	// leaves the status to speak for itself.
	body, _ := x.read(maxErrorBody)
	f.code = errorCode(body)
	f.retryAfter = retryAfter(x.Header.Get("Retry-After"), time.Now())
	f.detail = "HTTP status " + strconv.Itoa(f.status)
	if f.code != "" {
		f.detail += ", code " + f.code
	}
	x.close()
	p.observe(r, f.outcome, time.Since(start))
	return nil, f
}

func (p *Provider) newRequest(ctx context.Context, r request, bearer string) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, p.base+r.path, body)
	if err != nil {
		return nil, fmt.Errorf("making the request for %s", r.path)
	}
	req.Header.Set("Accept", r.accept)
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Cache-Control", "no-cache") // a cached answer proves nothing
	req.Header.Set("User-Agent", "rotatord")
	req.Header.Set("X-Dyn-Request-Id", r.id.String())
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.opts.SigningProof != nil && p.opts.Auth == AuthServer {
		if proof := p.opts.SigningProof(); proof != "" {
			req.Header.Set("X-Dyn-Server-Signing-Proof", proof)
		}
	}
	return req, nil
}

// observe counts and logs one request. Nothing of its content is logged.
func (p *Provider) observe(r request, o outcome, d time.Duration) {
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
		slog.String("operation", string(r.op)), slog.String("request_id", r.id.String()),
		slog.String("code", code), slog.String("vendor_code", o.code), slog.Duration("took", d))
}

// faultOf says why the exchange broke.
func (x *exchange) faultOf(err error) fault {
	if x.ctx.Err() != nil {
		switch context.Cause(x.ctx) {
		case errCallTimeout, errCeremonyTimeout, context.DeadlineExceeded:
			return faultTimeout
		}
		return faultCanceled
	}
	if errors.Is(err, errReplyTooBig) || errors.Is(err, errStreamTooLong) {
		return faultGarbled
	}
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return faultTimeout
	}
	return faultNetwork
}

// describe tells of a broken exchange without quoting a byte that came from the
// other side: Go's HTTP errors do ("malformed HTTP response …").
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
	case errors.Is(err, errReplyTooBig) || errors.Is(err, errStreamTooLong):
		return "the answer is longer than allowed"
	default:
		return "the connection broke before a complete answer"
	}
}

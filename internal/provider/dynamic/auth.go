package dynamic

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/rotatord/rotatord/internal/provider"
)

// credential says which token a route takes.
type credential int

const (
	// withSession is the exchanged JWT or, with AuthServer, the API token.
	withSession credential = iota
	// withAPIToken is for the /environments routes, which take no JWT.
	withAPIToken
)

// session caches the JWT that the API token was exchanged for. However many
// wallets need a new one, it is asked for once.
type session struct {
	mu     sync.Mutex
	jwt    string
	flight singleflight.Group
}

func (s *session) cached() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jwt
}

// forget drops the JWT that the vendor refused, unless it was replaced already
// while the refusal was on its way.
func (s *session) forget(refused string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jwt == refused {
		s.jwt = ""
	}
}

func (s *session) store(jwt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jwt = jwt
}

// authorized sends r with the token it needs. A 401 is answered with one new
// token and one more try: JWTs have a lifetime that the vendor does not
// document, and API tokens are replaced on disk. Repeating is safe because a
// 401 is a refusal.
func (p *Provider) authorized(ctx context.Context, r request) (*exchange, error) {
	token, err := p.token(ctx, r.with)
	if err != nil {
		return nil, err
	}
	x, f := p.send(ctx, r, token)
	if f != nil && f.status == http.StatusUnauthorized && f.sent {
		fresh, err := p.renew(ctx, r.with, token)
		if err != nil {
			return nil, err
		}
		if fresh != token {
			x, f = p.send(ctx, r, fresh)
		}
	}
	if f != nil && classify(f.outcome) != done {
		return nil, r.fail(f)
	}
	return x, nil
}

// fail turns a failure into the error that a rotation decides by.
func (r request) fail(f *failure) error {
	v := classify(f.outcome)
	e := provider.Errorf(v.class, v.reason, "%s: %s", r.what, f.detail)
	e.RetryAfter = f.retryAfter
	return e
}

// call makes a request and returns the whole body of its reply. The body is nil
// when an error reply means that there is nothing left to do.
func (p *Provider) call(ctx context.Context, r request, limit int64) ([]byte, error) {
	x, err := p.authorized(ctx, r)
	if err != nil || x == nil {
		return nil, err
	}
	defer x.close()
	body, err := x.read(limit)
	if err != nil {
		return nil, r.broken(x, err)
	}
	return body, nil
}

// broken is the error of a successful reply that could not be read to its end.
func (r request) broken(x *exchange, err error) error {
	o := outcome{op: r.op, sent: true, fault: x.faultOf(err)}
	return r.fail(&failure{outcome: o, detail: describe(err, o)})
}

// garbled is the error of a successful reply that makes no sense.
func (r request) garbled(detail string) error {
	return r.fail(&failure{outcome: outcome{op: r.op, sent: true, fault: faultGarbled}, detail: detail})
}

// token is the credential that a route takes, fetched if need be.
func (p *Provider) token(ctx context.Context, with credential) (string, error) {
	if with == withAPIToken || p.opts.Auth == AuthServer {
		return p.apiToken()
	}
	if jwt := p.session.cached(); jwt != "" {
		return jwt, nil
	}
	// The exchange belongs to all who wait for it: it must not end with the
	// first one's context. Its time is limited by its own call time-outs.
	flight := p.session.flight.DoChan("", func() (any, error) {
		if jwt := p.session.cached(); jwt != "" { // a flight landed just now
			return jwt, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*p.opts.CallTimeout)
		defer cancel()
		return p.authenticate(ctx)
	})
	select {
	case res := <-flight:
		if res.Err != nil {
			return "", res.Err
		}
		return res.Val.(string), nil
	case <-ctx.Done():
		reason := provider.ReasonInternal
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			reason = provider.ReasonTimeout
		}
		return "", provider.Errorf(provider.Retryable, reason, "authenticating at %s: %w", p.opts.Name, ctx.Err())
	}
}

// renew returns another token after refused was. It may be the same one when
// there is no other.
func (p *Provider) renew(ctx context.Context, with credential, refused string) (string, error) {
	p.session.forget(refused)
	return p.token(ctx, with)
}

// apiToken reads the environment's token.
func (p *Provider) apiToken() (string, error) {
	token, err := p.opts.APIToken()
	if err != nil {
		// Retryable: a secret that is being replaced is missing for a moment.
		return "", provider.Errorf(provider.Retryable, provider.ReasonAuth, "reading the API token of %s: %w", p.opts.Name, err)
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", provider.Errorf(provider.Terminal, provider.ReasonAuth, "the API token of %s is empty or not printable", p.opts.Name)
	}
	return token, nil
}

// authenticate exchanges the API token for a JWT.
func (p *Provider) authenticate(ctx context.Context) (string, error) {
	r := request{
		op: opAuthenticate, what: "authenticating at " + p.opts.Name,
		method: http.MethodPost, path: p.environmentRoute("authenticate"),
		accept: "application/json", id: newRequestID(), with: withAPIToken,
	}
	body, err := p.call(ctx, r, maxReply)
	if err != nil {
		return "", err
	}
	var reply struct {
		EncodedJwts struct {
			Jwt         string `json:"jwt"`
			MinifiedJwt string `json:"minifiedJwt"` // what the vendor's client uses everywhere
		} `json:"encodedJwts"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return "", r.garbled("the reply is not the JSON that was expected")
	}
	jwt := reply.EncodedJwts.MinifiedJwt
	if jwt == "" {
		jwt = reply.EncodedJwts.Jwt
	}
	if jwt == "" || strings.ContainsFunc(jwt, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", r.garbled("the reply carries no usable token")
	}
	p.session.store(jwt)
	return jwt, nil
}

// newRequestID makes the id of a request that belongs to no attempt.
func newRequestID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.New() // panics without a source of randomness, as nothing is safe then
	}
	return id
}

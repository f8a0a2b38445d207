package dynamic

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// Provider is one account at Dynamic. It is safe for concurrent use.
type Provider struct {
	opts    Options
	base    string // scheme, host and path prefix, without a trailing slash
	client  *http.Client
	log     *slog.Logger
	limits  *limits
	session session
	cleared clearances
}

var _ provider.Provider = (*Provider)(nil)

// New makes a provider. It calls nobody; the first call authenticates.
func New(opts Options) (*Provider, error) {
	base, err := opts.complete()
	if err != nil {
		return nil, fmt.Errorf("configuring Dynamic: %w", err)
	}
	limits, err := newLimits(opts.RateLimits)
	if err != nil {
		return nil, fmt.Errorf("configuring Dynamic: %w", err)
	}
	return &Provider{
		opts:   opts,
		base:   strings.TrimRight(base.String(), "/"),
		client: opts.httpClient(),
		log:    opts.Log.With(slog.String("provider", opts.Name)),
		limits: limits,
	}, nil
}

// Close lets go of idle connections.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// CoSigned is always true: the customer's client share takes part in every
// ceremony.
func (p *Provider) CoSigned() bool { return true }

// Resume always returns [provider.ErrSessionLost]. A room cannot be joined a
// second time and its event stream cannot be opened again.
func (p *Provider) Resume(context.Context, provider.Attempt, provider.Checkpoint) (provider.Session, error) {
	return nil, provider.ErrSessionLost
}

// Discard does nothing, successfully: the vendor has no call that deletes a
// pending share set, and documents no expiry for one either.
func (p *Provider) Discard(context.Context, provider.Attempt) error { return nil }

// RetireAfter is never due: the swap itself retires the old share set at the
// vendor. What the co-signer does about the old share is between the rotation
// and the co-signer.
func (p *Provider) RetireAfter(provider.Wallet) (grace time.Duration, ok bool) { return 0, false }

// Retire does nothing, see RetireAfter. It does not promise that the vendor
// destroyed its old share.
func (p *Provider) Retire(context.Context, provider.Retirement) (string, error) { return "", nil }

// walletRoute is a route that the session's credential opens.
func (p *Provider) walletRoute(parts ...string) string {
	kind := "sdk"
	if p.opts.Auth == AuthServer {
		kind = "server"
	}
	return p.route(kind, append([]string{"waas"}, parts...)...)
}

// environmentRoute is a route that takes the API token.
func (p *Provider) environmentRoute(parts ...string) string {
	return p.route("environments", append([]string{"waas"}, parts...)...)
}

func (p *Provider) route(kind string, parts ...string) string {
	path := "/api/v0/" + kind + "/" + p.opts.EnvironmentID
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

package cobo

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// Provider is one organisation at Cobo. It is safe for concurrent use.
type Provider struct {
	opts   Options
	base   *url.URL // with the version in its path, without a trailing slash
	key    ed25519.PublicKey
	client *http.Client
	log    *slog.Logger
	limits limits
	now    func() time.Time

	// settling remembers TSS requests that ended in Success before their group
	// was Valid; submitted remembers what the vendor accepted and has not
	// carried out.
	settling  sightings
	submitted sightings
	settle    time.Duration
}

var (
	_ provider.Provider        = (*Provider)(nil)
	_ provider.WebhookReceiver = (*Provider)(nil)
)

// New makes a provider. It calls nobody.
func New(opts Options) (*Provider, error) {
	base, key, err := opts.complete()
	if err != nil {
		return nil, fmt.Errorf("configuring Cobo: %w", err)
	}
	limits, err := newLimits(opts.RateLimits)
	if err != nil {
		return nil, fmt.Errorf("configuring Cobo: %w", err)
	}
	return &Provider{
		opts: opts, base: base, key: key, client: opts.httpClient(),
		log: opts.Log.With(slog.String("provider", opts.Name)), limits: limits,
		now: time.Now, settle: settleTime,
	}, nil
}

// Close lets go of idle connections.
func (p *Provider) Close() { p.client.CloseIdleConnections() }

// CoSigned is always false: the customer's shares are on TSS nodes, which talk
// to the vendor themselves.
func (p *Provider) CoSigned() bool { return false }

// RetireAfter is the configured grace period. With Invalidate there is nothing
// to clean up but other groups, if they are to be replaced: the upgrade itself
// has ended the old one.
func (p *Provider) RetireAfter(provider.Wallet) (grace time.Duration, ok bool) {
	if p.opts.MainGroupHandling == Invalidate {
		return 0, p.opts.RefreshOtherGroups
	}
	return p.opts.Grace, true
}

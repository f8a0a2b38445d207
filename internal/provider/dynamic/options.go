package dynamic

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/rotatord/rotatord/internal/failpoint"
)

// The two ways to authenticate, as written in the config.
const (
	// AuthTokenExchange trades the API token for a JWT and uses the /sdk routes.
	AuthTokenExchange = "token_exchange"
	// AuthServer sends the API token itself, to the /server routes.
	AuthServer = "server"
)

const (
	// DefaultBaseURL is the vendor's production API.
	DefaultBaseURL = "https://app.dynamicauth.com"
	// DefaultCallTimeout limits one call. The vendor's own client allows 30 s
	// from the refresh request to room_created and has no limit elsewhere; a
	// replica's calls must end well within its heartbeat, which is given up
	// after 30 s.
	DefaultCallTimeout = 10 * time.Second
	// DefaultCeremonyTimeout limits the wait for ceremony_complete, for which
	// the vendor's client has no limit. A refresh takes seconds; minutes leave
	// room for a co-signer that is slow to join.
	DefaultCeremonyTimeout = 2 * time.Minute
)

// uuidPattern is the form in which the vendor gives and takes UUIDs.
var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Options configure one account at Dynamic.
type Options struct {
	// Name of the provider in the config; it appears in logs and errors.
	Name string
	// BaseURL is scheme and host of the API; empty means DefaultBaseURL.
	BaseURL string
	// EnvironmentID is the vendor's UUID of the environment.
	EnvironmentID string
	// APIToken returns the token of the environment ("dyn_…"). It is called
	// anew whenever the token is needed, so that a token that was replaced on
	// disk takes effect; it must be quick and safe for concurrent use.
	APIToken func() (string, error)
	// Auth is AuthTokenExchange or AuthServer.
	Auth string
	// SigningProof returns the value of x-dyn-server-signing-proof, needed
	// where a registered server signer controls the wallets. It is called once
	// for each request, because the nonce in it is good for one. May be nil;
	// used with AuthServer only.
	SigningProof func() string
	// RateLimits are kept by this process towards the vendor. Nil means
	// DocumentedRateLimits; an empty slice means none.
	RateLimits []RateLimit
	// CallTimeout limits one request, for a refresh until room_created. It runs
	// after the wait for a rate limit. Zero means DefaultCallTimeout.
	CallTimeout time.Duration
	// CeremonyTimeout limits the time from room_created to ceremony_complete.
	// Zero means DefaultCeremonyTimeout.
	CeremonyTimeout time.Duration
	// RequireCeremonyComplete refuses a refresh that is answered in plain JSON,
	// see the package comment.
	RequireCeremonyComplete bool
	// HTTPClient is copied; its Timeout is ignored (it would cut event streams)
	// and redirects are never followed, because they would carry the token
	// elsewhere. Nil means a client of its own.
	HTTPClient *http.Client
	// Log gets one debug line for each call. Nil discards.
	Log *slog.Logger
	// Observe is told of every request that was sent: operation is one of
	// Operations; code an HTTP status, "timeout" or "network". May be nil.
	Observe func(operation, code string, d time.Duration)
}

// complete fills in the defaults and refuses what cannot work.
func (o *Options) complete() (*url.URL, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	base, err := url.Parse(o.BaseURL)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" {
		// The URL itself is not quoted: it may carry a password by mistake.
		return nil, errors.New("base_url must be an http or https URL")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("base_url must not carry credentials, a query or a fragment")
	}
	if !uuidPattern.MatchString(o.EnvironmentID) {
		return nil, fmt.Errorf("environment_id %q is not a UUID in lower case", o.EnvironmentID)
	}
	if o.APIToken == nil {
		return nil, errors.New("an API token is needed")
	}
	if o.Auth != AuthTokenExchange && o.Auth != AuthServer {
		return nil, fmt.Errorf("auth must be %s or %s, not %q", AuthTokenExchange, AuthServer, o.Auth)
	}
	if o.CallTimeout < 0 || o.CeremonyTimeout < 0 {
		return nil, errors.New("time-outs must not be negative")
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.CeremonyTimeout == 0 {
		o.CeremonyTimeout = DefaultCeremonyTimeout
	}
	if o.RateLimits == nil {
		o.RateLimits = DocumentedRateLimits()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	return base, nil
}

// httpClient is a copy of the configured client that neither cuts streams nor
// follows redirects.
func (o *Options) httpClient() *http.Client {
	var c http.Client
	if o.HTTPClient != nil {
		c = *o.HTTPClient
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		// The default of 2 would open a connection for nearly every call of a
		// busy fleet. There is no upper limit on connections in use: one wallet
		// must never wait for another's event stream.
		t.MaxIdleConnsPerHost = 64
		// Shorter than the 60 s after which load balancers commonly hang up: a
		// refresh written to a connection that is just being closed is in doubt.
		t.IdleConnTimeout = 30 * time.Second
		c.Transport = failpoint.Transport(t)
	}
	c.Timeout = 0
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

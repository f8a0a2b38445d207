package cobo

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/failpoint"
)

// The vendor's environments. Portals, keys and TSS nodes are separate; a key of
// one is refused by the other with 401.
const (
	// DevelopmentURL is for trying things out.
	DevelopmentURL = "https://api.dev.cobo.com/v2"
	// ProductionURL is the default.
	ProductionURL = "https://api.cobo.com/v2"
)

// responseKeys are the keys that the vendor signs its answers and webhooks
// with, by environment (official Python and Java SDKs; guide to webhooks).
var responseKeys = map[string]string{
	DevelopmentURL: "a04ea1d5fa8da71f1dcfccf972b9c4eba0a2d8aba1f6da26f49977b08a0d2718",
	ProductionURL:  "8d4a482641adb2a34b726f05827dba9a9653e5857469b8749052bf4458a86729",
}

// What becomes of the Main Group that an upgrade replaces.
const (
	// ConvertToSigningGroup keeps it as a Signing Group, to be deleted after the
	// grace period. It is the default.
	ConvertToSigningGroup = "ConvertToSigningGroup"
	// Invalidate ends it with the upgrade. There is no way back.
	Invalidate = "Invalidate"
)

const (
	// DefaultCallTimeout limits one call. It must end well within a replica's
	// heartbeat, which is given up after 30 s.
	DefaultCallTimeout = 10 * time.Second
	// DefaultGrace is how long a converted Main Group is kept: time to notice
	// that the new one does not sign as it should.
	DefaultGrace = 24 * time.Hour
	// DefaultApprovalAttention is how long a TSS request may wait before people
	// are told whom it waits for. Server co-signers need about half a minute.
	DefaultApprovalAttention = 10 * time.Minute
)

// RateLimit allows so many requests in any time of length Per, roughly: the
// vendor publishes no limits, so there is none that could be kept exactly.
type RateLimit struct {
	Requests int
	Per      time.Duration
}

// Options configure one organisation at Cobo.
type Options struct {
	// Name of the provider in the config; it appears in logs and errors.
	Name string
	// BaseURL of the API, with its version: "https://…/v2". Empty means
	// ProductionURL.
	BaseURL string
	// APISecret returns the seed of the API key's Ed25519 private key, 64 hex
	// digits. The API key is its public key, so nobody has to give it. It is
	// called anew for each request, so that a key that was replaced on disk
	// takes effect; it must be quick and safe for concurrent use.
	APISecret func() (string, error)
	// ResponsePublicKey is the Ed25519 key that answers and webhooks must be
	// signed with, in hex. Empty means the one of BaseURL's environment; it is
	// needed for any other BaseURL.
	ResponsePublicKey string
	// Nodes are the ids of the customer's TSS nodes that may hold shares. They
	// serve all vaults; a vault's settings may name others. A node holds shares
	// of one key of a vault at a time, so two are the least; three, if Grace is
	// longer than the time between two rotations.
	Nodes []string
	// MainGroupHandling is ConvertToSigningGroup or Invalidate. Empty means
	// ConvertToSigningGroup.
	MainGroupHandling string
	// Grace is how long a converted Main Group is kept before it is deleted; zero
	// means that it is deleted at once. See DefaultGrace.
	Grace time.Duration
	// RefreshOtherGroups has Retire replace the vault's other Signing and Recovery
	// Groups by groups on other nodes, made from the new Main Group, and DELETE
	// them: else their shares of before a rotation stay valid. Groups with a
	// holder on a phone are never touched; a person is told.
	RefreshOtherGroups bool
	// ApprovalAttention is how long a TSS request may wait before Await says
	// whom for. Zero means DefaultApprovalAttention.
	ApprovalAttention time.Duration
	// RateLimits are kept by this process towards the vendor. Nil means none.
	RateLimits []RateLimit
	// CallTimeout limits one request. It runs after the wait for a rate limit.
	// Zero means DefaultCallTimeout.
	CallTimeout time.Duration
	// HTTPClient is copied; redirects are never followed, because a signature
	// is good for one URL. Nil means a client of its own.
	HTTPClient *http.Client
	// Log gets one debug line for each call. Nil discards.
	Log *slog.Logger
	// Observe is told of every request that was sent: operation is a name such
	// as list_groups (see Operations); code an HTTP status, "timeout" or
	// "network". May be nil.
	Observe func(operation, code string, d time.Duration)
}

// complete fills in the defaults and refuses what cannot work.
func (o *Options) complete() (base *url.URL, key ed25519.PublicKey, err error) {
	if o.BaseURL == "" {
		o.BaseURL = ProductionURL
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	base, err = url.Parse(o.BaseURL)
	if err != nil || (base.Scheme != "https" && base.Scheme != "http") || base.Host == "" {
		// The URL itself is not quoted: it may carry a password by mistake.
		return nil, nil, errors.New("base_url must be an http or https URL")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, nil, errors.New("base_url must not carry credentials, a query or a fragment")
	}
	if o.APISecret == nil {
		return nil, nil, errors.New("an API secret is needed")
	}
	if o.ResponsePublicKey == "" {
		o.ResponsePublicKey = responseKeys[o.BaseURL]
	}
	raw, err := hex.DecodeString(o.ResponsePublicKey)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("response_public_key must be %d hex digits; only the vendor's own environments have a default",
			2*ed25519.PublicKeySize)
	}
	if err := checkNodes(o.Nodes); err != nil {
		return nil, nil, err
	}
	if o.MainGroupHandling == "" {
		o.MainGroupHandling = ConvertToSigningGroup
	}
	if o.MainGroupHandling != ConvertToSigningGroup && o.MainGroupHandling != Invalidate {
		return nil, nil, fmt.Errorf("main_group_handling must be %s or %s, not %q", ConvertToSigningGroup, Invalidate, o.MainGroupHandling)
	}
	if o.CallTimeout < 0 || o.Grace < 0 || o.ApprovalAttention < 0 {
		return nil, nil, errors.New("times must not be negative")
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = DefaultCallTimeout
	}
	if o.ApprovalAttention == 0 {
		o.ApprovalAttention = DefaultApprovalAttention
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
	return base, raw, nil
}

// checkNodes refuses a pool that names a node twice or what is no node id.
func checkNodes(nodes []string) error {
	for i, id := range nodes {
		if !idPattern.MatchString(id) {
			return fmt.Errorf("TSS node %d: %q is not a node id", i+1, id)
		}
		if slices.Contains(nodes[:i], id) {
			return fmt.Errorf("TSS node %s is named twice", id)
		}
	}
	return nil
}

// httpClient is a copy of the configured client that follows no redirects.
func (o *Options) httpClient() *http.Client {
	var c http.Client
	if o.HTTPClient != nil {
		c = *o.HTTPClient
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		// The default of 2 would open a connection for nearly every call of a
		// busy fleet.
		t.MaxIdleConnsPerHost = 16
		// Shorter than the 60 s after which load balancers commonly hang up: a
		// call written to a connection that is just being closed is in doubt.
		t.IdleConnTimeout = 30 * time.Second
		// HTTP/2 may repeat a request on its own, and each try needs its own
		// nonce; what keeps HTTP/1 from it is in newRequest.
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		t.ForceAttemptHTTP2 = false
		c.Transport = failpoint.Transport(t)
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

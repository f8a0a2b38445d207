package cosigner

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/failpoint"
	"github.com/rotatord/rotatord/internal/provider"
)

// maxBody is the most that either side reads of one message. The largest
// honest one, a wallet with a dozen kept shares, is a few KiB.
const maxBody = 64 << 10

// defaultTimeout is for one whole call. It must leave room for a co-signer
// that lets POST /v1/ceremonies wait a moment for the ceremony's end.
const defaultTimeout = 15 * time.Second

// Options of a [Client].
type Options struct {
	// Name of the co-signer in the configuration, for error texts. Required.
	Name string
	// URL the calls start from, for example https://cosigner.internal:8443. A
	// path is kept; user info, query and fragment are refused. Required.
	URL string
	// AllowHTTP permits plain http to a host other than the local one. Whoever
	// listens on the way can then read the token: for test beds only.
	AllowHTTP bool
	// Token returns the bearer token, asked for again at every call so that it
	// may change. Nil, or an empty answer: none is sent.
	Token func() string
	// TLS is what the connection is made with; see [TLSFiles.Config]. Nil: the
	// system's roots and no client certificate.
	TLS *tls.Config
	// Timeout of one call, from dialling to the last byte. Zero: 15 s.
	Timeout time.Duration
}

// Client speaks the protocol to one co-signer. It is safe for concurrent use.
// It logs nothing, follows no redirect, and puts nothing that the co-signer
// wrote in the body of a refusal into an error.
//
// Every error is a [provider.Error]. Because each call is idempotent by
// ceremony id, a call whose outcome is unknown is Retryable, never InDoubt.
type Client struct {
	name  string
	base  *url.URL
	token func() string
	http  *http.Client
}

// New checks the options. It does not connect.
func New(o Options) (*Client, error) {
	if o.Name == "" {
		return nil, errors.New("a co-signer needs a name")
	}
	base, err := parseBase(o.URL, o.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of co-signer %s: %w", o.Name, err)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("co-signer %s: the timeout is negative", o.Name)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Token == nil {
		o.Token = func() string { return "" }
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// Commits of a whole cycle go to the same host; two idle connections, the
	// default, would mean a TLS handshake for nearly each of them.
	transport.MaxIdleConnsPerHost = 32
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS != nil {
		transport.TLSClientConfig = o.TLS.Clone()
	}
	return &Client{
		name:  o.Name,
		base:  base,
		token: o.Token,
		http: &http.Client{
			Transport: failpoint.Transport(transport),
			Timeout:   o.Timeout,
			// A redirect would take the token to a host nobody configured.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func parseBase(text string, allowHTTP bool) (*url.URL, error) {
	base, err := url.Parse(text)
	if err != nil {
		// url.Error quotes its input, which may hold a password.
		return nil, errors.New("it is not a URL")
	}
	switch {
	case base.User != nil:
		return nil, errors.New("user info belongs into the token, not into the URL")
	case base.Hostname() == "":
		return nil, errors.New("it has no host")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("it must not have a query or a fragment")
	case base.Scheme == "https":
	case base.Scheme == "http" && (allowHTTP || isLocal(base.Hostname())):
	case base.Scheme == "http":
		return nil, errors.New("plain http is for the local host only, unless it is allowed explicitly")
	default:
		return nil, fmt.Errorf("the scheme %q is neither https nor http", base.Scheme)
	}
	return base, nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name of the co-signer in the configuration.
func (c *Client) Name() string { return c.name }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Wallet asks what the co-signer holds for a wallet. [ErrUnknown]: nothing.
// CurrentShareSetID is empty when the current share is lost but another one is
// still held.
func (c *Client) Wallet(ctx context.Context, providerName, wallet string) (WalletStatus, error) {
	const op = "asking for wallet"
	path := "/v1/wallets/" + url.PathEscape(providerName) + "/" + url.PathEscape(wallet)
	if !routable(providerName) || !routable(wallet) {
		return WalletStatus{}, provider.Errorf(provider.Terminal, provider.ReasonCoSigner,
			"%s at co-signer %s: a provider or wallet named %q cannot be put into a path", op, c.name, providerName+"/"+wallet)
	}
	body, err := c.call(ctx, op, http.MethodGet, path, nil)
	if err != nil {
		return WalletStatus{}, err
	}
	status, err := decodeWalletStatus(body)
	if err != nil {
		return WalletStatus{}, c.malformed(op, err)
	}
	return status, nil
}

// routable: servers and proxies clean dot segments out of a path even when
// they are escaped, and would answer for something else.
func routable(segment string) bool { return segment != "" && segment != "." && segment != ".." }

// Start asks the co-signer to take part in a ceremony. The answer is Running,
// or what became of it if it has ended already. It may be repeated with the
// same ceremony. [ErrUnknown]: the co-signer holds no share of this wallet.
// [ErrConflict]: another ceremony of the wallet is running, the previous share
// set is not current, or the id was used for another ceremony.
func (c *Client) Start(ctx context.Context, ceremony Ceremony) (Status, error) {
	want := expectation{id: ceremony.CeremonyID, shareSet: ceremony.ShareSetID}
	return c.ceremony(ctx, "starting a ceremony", http.MethodPost, "/v1/ceremonies", ceremony, want)
}

// Status of a ceremony. [ErrUnknown]: the co-signer never heard of it, or does
// not remember.
func (c *Client) Status(ctx context.Context, id uuid.UUID) (Status, error) {
	return c.ceremony(ctx, "asking for a ceremony", http.MethodGet, "/v1/ceremonies/"+id.String(), nil, expectation{id: id})
}

// Commit makes the new share the current one. A nil error means that the
// co-signer said committed, for this share set and this fingerprint.
// [ErrConflict]: it will not, because the share is not the one named, is lost,
// was aborted, or follows a share set that is no longer current.
func (c *Client) Commit(ctx context.Context, id uuid.UUID, commit Commit) (Status, error) {
	want := expectation{id: id, shareSet: commit.ShareSetID, fingerprint: commit.Fingerprint, states: []State{Committed}}
	return c.ceremony(ctx, "committing a share", http.MethodPost, "/v1/ceremonies/"+id.String()+"/commit", commit, want)
}

// Abort marks a ceremony as one that will not be committed; a prepared share
// is kept. The answer is Aborted, or Failed if the ceremony had failed before.
// [ErrConflict]: it is committed.
func (c *Client) Abort(ctx context.Context, id uuid.UUID) (Status, error) {
	want := expectation{id: id, states: []State{Aborted, Failed}}
	return c.ceremony(ctx, "aborting a ceremony", http.MethodPost, "/v1/ceremonies/"+id.String()+"/abort", nil, want)
}

func (c *Client) ceremony(ctx context.Context, op, method, path string, in any, want expectation) (Status, error) {
	body, err := c.call(ctx, op, method, path, in)
	if err != nil {
		return Status{}, err
	}
	status, err := decodeStatus(body)
	if err != nil {
		return Status{}, c.malformed(op, err)
	}
	if err := want.check(status); err != nil {
		return Status{}, c.malformed(op, err)
	}
	return status, nil
}

// call does one exchange and returns the body of a success.
func (c *Client) call(ctx context.Context, op, method, path string, in any) ([]byte, error) {
	var payload io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s at co-signer %s: %w", op, c.name, err)
		}
		payload = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.base.String(), "/")+path, payload)
	if err != nil {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal, "%s at co-signer %s: making the request failed", op, c.name)
	}
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token := c.token(); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(op, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusAccepted {
		// The body was read only so that the connection can be used again.
		return nil, refusal(op, c.name, response, time.Now())
	}
	if err != nil {
		return nil, c.unreachable(op, err)
	}
	if len(body) > maxBody {
		return nil, c.malformed(op, fmt.Errorf("more than %d KiB", maxBody>>10))
	}
	return body, nil
}

package cobo

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

const (
	// defaultNodes is three more than one vault needs at a time.
	defaultNodes = 4
	// coboNodes is more than one, so that nobody takes a node of Cobo's for the
	// node of a group.
	coboNodes = 2
	// defaultPace makes a TSS request take under a second; in the field it is
	// half a minute.
	defaultPace = 200 * time.Millisecond
)

// Options of a [Vendor].
type Options struct {
	Vaults int
	// Nodes is how many TSS nodes the customer runs. They serve all vaults;
	// zero: 4.
	Nodes int
	// Seed makes credentials, nodes and the fleet reproducible.
	Seed   uint64
	Assume assume.Set
	Faults *faults.Set
	// Now is the clock of nonces and timestamps; nil: time.Now.
	Now func() time.Time
	// Pace is how long a TSS request stays in each of its three statuses, and
	// how long anything else that is not immediate takes; zero: 200 ms.
	Pace time.Duration
	// WebhookURL is where events are sent. Empty: nowhere; see [Vendor.SetWebhook].
	WebhookURL string
	// WebhookRetry is the time between two deliveries of an event; zero: 1 s.
	WebhookRetry time.Duration
}

// Vendor is one simulated organisation at Cobo, and the TSS nodes of it.
type Vendor struct {
	options Options
	assume  assume.Set
	faults  *faults.Set
	now     func() time.Time

	apiSecret    ed25519.PrivateKey
	apiPublicKey ed25519.PublicKey
	responseKey  ed25519.PrivateKey
	nonces       *nonces
	requests     tally.Requests
	courier      *courier

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex // guards everything below, vaults and nodes included
	closed   bool
	last     int // position of what was created last
	vaults   []*vault
	byID     map[string]*vault
	nodes    []*node // the customer's
	cobo     []*node // Cobo's
	others   []*node // those of people
	nodeTurn chan struct{}
	load     tally.Load
}

// New makes an organisation with its vaults.
func New(o Options) (*Vendor, error) {
	if o.Vaults < 0 || o.Nodes < 0 || o.Pace < 0 || o.WebhookRetry < 0 {
		return nil, errors.New("vaults, nodes, pace and webhook retry cannot be negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Nodes == 0 {
		o.Nodes = defaultNodes
	}
	if o.Pace == 0 {
		o.Pace = defaultPace
	}
	random := seed.New("cobo", o.Seed)
	ctx, cancel := context.WithCancel(context.Background())
	v := &Vendor{
		options: o, assume: o.Assume, faults: o.Faults, now: o.Now,
		apiSecret:   ed25519.NewKeyFromSeed(random.Bytes(ed25519.SeedSize)),
		responseKey: ed25519.NewKeyFromSeed(random.Bytes(ed25519.SeedSize)),
		nonces:      &nonces{assume: o.Assume, now: o.Now},
		ctx:         ctx, cancel: cancel,
		byID: make(map[string]*vault), nodeTurn: make(chan struct{}),
	}
	v.apiPublicKey = v.apiSecret.Public().(ed25519.PublicKey)
	v.courier = newCourier(v, o.WebhookURL, o.WebhookRetry)
	registerFaults(o.Faults)
	for range coboNodes {
		v.cobo = append(v.cobo, newNode(random))
	}
	for range o.Nodes {
		v.nodes = append(v.nodes, newNode(random))
	}
	for i := range o.Vaults {
		vt, err := v.newVault(random, i)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("making vault %d: %w", i, err)
		}
		v.vaults = append(v.vaults, vt)
		v.byID[vt.id] = vt
	}
	return v, nil
}

// Close stops TSS requests and webhooks where they are.
func (v *Vendor) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	v.background.Wait()
	v.courier.close()
}

// APIKey of the organisation: an Ed25519 public key in hex.
func (v *Vendor) APIKey() string { return hex.EncodeToString(v.apiPublicKey) }

// APISecret is the seed of the API key's private key in hex.
func (v *Vendor) APISecret() string { return hex.EncodeToString(v.apiSecret.Seed()) }

// ResponsePublicKey verifies answers and webhooks, in hex.
func (v *Vendor) ResponsePublicKey() string {
	return hex.EncodeToString(v.responseKey.Public().(ed25519.PublicKey))
}

// next is the position of something new; the caller holds mu.
func (v *Vendor) next() int {
	v.last++
	return v.last
}

// after does something later, unless the sandbox ends before. The caller holds
// mu, and do is called with it held.
func (v *Vendor) after(delay time.Duration, do func()) {
	if v.closed {
		return
	}
	v.background.Go(func() {
		if !v.pause(delay, nil) {
			return
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		do()
	})
}

// pause reports whether the time passed in full: false if stop was closed, or
// the sandbox.
func (v *Vendor) pause(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	case <-v.ctx.Done():
		return false
	}
}

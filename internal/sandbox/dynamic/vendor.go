package dynamic

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

const (
	// ceremonyTimeout is how long the vendor waits in a room for the client.
	ceremonyTimeout = 30 * time.Second
	// pendingLifetime is when a pending set is gone under pending_sets=expire.
	pendingLifetime = 10 * time.Minute
)

// Options of a [Vendor].
type Options struct {
	Wallets int
	// Seed makes the environment, the token and the fleet reproducible.
	Seed   uint64
	Assume assume.Set
	Faults *faults.Set
	Rooms  *relay.Rooms
	// Now is the clock of JWTs, rate limits and pending sets; nil: time.Now.
	Now func() time.Time
	// CeremonyTimeout is how long the vendor waits in a room; zero: 30 s.
	CeremonyTimeout time.Duration
	// BeforeSwap is told of every swap while the old set is still active. May
	// be nil; it is called with no lock held.
	BeforeSwap func(walletID string)
}

// Vendor is one simulated environment at Dynamic.
type Vendor struct {
	options Options
	assume  assume.Set
	faults  *faults.Set
	rooms   *relay.Rooms
	now     func() time.Time

	environmentID string
	apiToken      string
	userID        string
	jwt           *jwtIssuer
	limits        *limiter
	requests      tally.Requests

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	ceremonies sync.WaitGroup

	mu        sync.Mutex // guards everything below, the wallets included
	closed    bool
	wallets   []*wallet
	byID      map[string]*wallet
	byAddress map[string]*wallet
	load      tally.Load
}

// Customer is the other half of a new wallet, for whoever holds it.
type Customer struct {
	WalletID   string
	ShareSetID string
	Share      mpc.Share
}

// New makes an environment with its fleet. The customers' shares are returned
// and not kept.
func New(o Options) (*Vendor, []Customer, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CeremonyTimeout == 0 {
		o.CeremonyTimeout = ceremonyTimeout
	}
	if o.BeforeSwap == nil {
		o.BeforeSwap = func(string) {}
	}
	random := seed.New("dynamic", o.Seed)
	ctx, cancel := context.WithCancel(context.Background())
	v := &Vendor{
		options: o, assume: o.Assume, faults: o.Faults, rooms: o.Rooms, now: o.Now,
		environmentID: random.UUID(), apiToken: "dyn_" + random.Letters(56), userID: random.UUID(),
		limits: newLimiter(o.Now),
		ctx:    ctx, cancel: cancel,
		byID: make(map[string]*wallet), byAddress: make(map[string]*wallet),
	}
	v.jwt = newJWTIssuer(random, v.environmentID, v.userID, v.jwtLifetime(), o.Now)
	registerFaults(o.Faults)

	customers := make([]Customer, o.Wallets)
	curves := mpc.Curves()
	for i := range customers {
		customer, vendor, err := mpc.Generate(curves[i%len(curves)], random)
		if err != nil {
			cancel()
			return nil, nil, fmt.Errorf("making wallet %d: %w", i, err)
		}
		w := newWallet(random, vendor, o.Now())
		v.wallets = append(v.wallets, w)
		v.byID[w.id], v.byAddress[w.address] = w, w
		customers[i] = Customer{WalletID: w.id, ShareSetID: w.active.id, Share: customer}
	}
	return v, customers, nil
}

// Close fails every ceremony and waits for it.
func (v *Vendor) Close() {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	v.rooms.Close()
	v.ceremonies.Wait()
}

// EnvironmentID of the account.
func (v *Vendor) EnvironmentID() string { return v.environmentID }

// APIToken of the account, "dyn_" and 56 characters.
func (v *Vendor) APIToken() string { return v.apiToken }

// RevokeJWTs makes every JWT so far worthless; the next call with one is 401.
func (v *Vendor) RevokeJWTs() { v.jwt.revoke() }

func (v *Vendor) jwtLifetime() time.Duration {
	if v.assume.Is(assume.JWTLifetime, assume.TwoSeconds) {
		return 2 * time.Second
	}
	return time.Hour
}

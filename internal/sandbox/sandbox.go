package sandbox

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// cosignerWait lets the co-signer answer most ceremonies at once; those that
// take longer are answered 202 and asked about.
const cosignerWait = 2 * time.Second

// Options of a [Sandbox]. All but Wallets and Vaults may be left out.
type Options struct {
	// Wallets at Dynamic. Their curves take turns.
	Wallets int
	// Vaults at Cobo, each with a 2-of-2 Main Group of Cobo and one TSS node.
	Vaults int
	// Seed makes ids, credentials, keys and the luck of faults reproducible.
	Seed int64
	// Assume chooses what vendors do not document; see package assume.
	Assume map[string]string
	// CosignerDir is where the co-signer keeps its shares. Empty: a temporary
	// folder that Close removes. The vendors' half lives in memory alone, so a
	// folder that another run has rotated in is refused.
	CosignerDir string
	// Provider is the name under which the co-signer knows the wallets: that
	// of the provider in rotatord's config. Default "dynamic".
	Provider string
	// CosignerGrace is how long the co-signer keeps old shares; default 24 h.
	CosignerGrace time.Duration
	// CeremonyTimeout is how long a vendor waits in a room; default 30 s.
	CeremonyTimeout time.Duration
	// CoboNodes is how many TSS nodes the customer runs, for all vaults; default 4.
	CoboNodes int
	// CoboPace is how long a TSS request stays in each of its statuses; default
	// 200 ms.
	CoboPace time.Duration
	// WebhookURL is where Cobo's events are sent; default: nowhere.
	WebhookURL string
	// WebhookRetry is the time between two deliveries of an event; default 1 s.
	WebhookRetry time.Duration
	// Clock of JWTs, nonces, limits, expiry and grace periods; default time.Now.
	Clock func() time.Time
	// Log of the co-signer; default: none.
	Log *slog.Logger
}

// Sandbox is everything a rotation talks to, in one process.
type Sandbox struct {
	provider   string
	assume     assume.Set
	faults     *faults.Set
	rooms      *relay.Rooms
	vendor     *dynamic.Vendor
	cobo       *cobo.Vendor
	gate       *cosignerGate // with the co-signer
	openSigner func() (*reference.Server, error)
	archive    *archive
	token      string
	tempDir    string
	handler    http.Handler

	servers sync.WaitGroup
	mu      sync.Mutex
	running []*http.Server
	closed  bool
}

// New makes a sandbox. Serve its Handler or call Listen; Close it in the end.
func New(o Options) (*Sandbox, error) {
	choices, err := assume.Parse(o.Assume)
	if err != nil {
		return nil, err
	}
	if o.Wallets < 0 {
		return nil, errors.New("the number of wallets is negative")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sandbox{
		provider: cmp.Or(o.Provider, "dynamic"),
		assume:   choices,
		faults:   faults.NewSet(uint64(o.Seed)),
		rooms:    relay.New(),
		archive:  newArchive(),
		token:    fmt.Sprintf("cosigner_%x", sha256.Sum256(fmt.Appendf(nil, "co-signer token %d", o.Seed))),
	}
	if err := s.start(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start brings up the parts that can fail. Close ends those it got to.
func (s *Sandbox) start(o Options) error {
	var customers []dynamic.Customer
	var err error
	s.vendor, customers, err = dynamic.New(dynamic.Options{
		Wallets: o.Wallets, Seed: uint64(o.Seed), Assume: s.assume, Faults: s.faults, Rooms: s.rooms,
		Now: o.Clock, CeremonyTimeout: o.CeremonyTimeout, BeforeSwap: s.remember,
	})
	if err != nil {
		return fmt.Errorf("making the Dynamic environment: %w", err)
	}
	s.cobo, err = cobo.New(cobo.Options{
		Vaults: o.Vaults, Nodes: o.CoboNodes, Seed: uint64(o.Seed), Assume: s.assume, Faults: s.faults, Now: o.Clock,
		Pace: o.CoboPace, WebhookURL: o.WebhookURL, WebhookRetry: o.WebhookRetry,
	})
	if err != nil {
		return fmt.Errorf("making the Cobo organisation: %w", err)
	}
	// The co-signer reaches its rooms over HTTP, as it would in the field, on a
	// listener of its own: the handler's address is not known here.
	relayURL, err := s.serve("127.0.0.1:0", http.StripPrefix(relayPrefix, s.rooms.Handler()))
	if err != nil {
		return fmt.Errorf("starting the relay: %w", err)
	}
	dir := o.CosignerDir
	if dir == "" {
		if s.tempDir, err = os.MkdirTemp("", "rotatord-sandbox-*"); err != nil {
			return fmt.Errorf("making the co-signer's folder: %w", err)
		}
		dir = s.tempDir
	}
	s.openSigner = func() (*reference.Server, error) {
		return reference.Open(dir, reference.Options{
			RelayURL: relayURL + relayPrefix, Token: s.token, Grace: o.CosignerGrace, Wait: cosignerWait,
			NoSync: true, Log: o.Log, Now: o.Clock,
		})
	}
	s.gate = newCosignerGate(s.faults, s.provider)
	if err := s.StartCosigner(); err != nil {
		return err
	}
	first := s.gate.signer.Load()
	for _, c := range customers {
		if err := first.Import(s.provider, c.WalletID, c.ShareSetID, c.Share); err != nil {
			return fmt.Errorf("giving the co-signer its shares: %w", err)
		}
		s.archive.keep(c.WalletID, c.ShareSetID, c.Share)
	}
	s.handler = s.routes()
	return nil
}

// Handler serves everything.
func (s *Sandbox) Handler() http.Handler { return s.handler }

// Listen serves everything on an address until Close, and returns its URL.
func (s *Sandbox) Listen(address string) (baseURL string, err error) {
	return s.serve(address, s.handler)
}

func (s *Sandbox) serve(address string, handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		// A connection that a fault breaks is not worth a line in the log.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.Join(errors.New("the sandbox is closed"), listener.Close())
	}
	s.running = append(s.running, server)
	s.servers.Go(func() { server.Serve(listener) }) // ends with Close alone
	return "http://" + listener.Addr().String(), nil
}

// Close ends every ceremony, stops what listens, and removes the co-signer's
// folder if it was a temporary one.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	s.closed = true
	running := s.running
	s.mu.Unlock()

	s.faults.Close()
	if s.vendor != nil {
		s.vendor.Close()
	}
	if s.cobo != nil {
		s.cobo.Close()
	}
	var errs []error
	if s.gate != nil {
		errs = append(errs, s.StopCosigner())
	}
	for _, server := range running {
		errs = append(errs, server.Close())
	}
	s.servers.Wait()
	if s.tempDir != "" {
		errs = append(errs, os.RemoveAll(s.tempDir))
	}
	return errors.Join(errs...)
}

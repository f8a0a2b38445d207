package reference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The refusals of the protocol; handler.go maps them to status codes.
var (
	errInvalid  = errors.New("the request is not valid")
	errUnknown  = errors.New("unknown")
	errConflict = errors.New("conflict")
	errClosed   = errors.New("the co-signer is shutting down")
)

// Options of a [Server].
type Options struct {
	// RelayURL is where the rooms are.
	RelayURL string
	// Token that callers must bear. Empty: callers must come with a client
	// certificate that the listener has verified; anybody else is refused.
	Token string
	// Grace is how long the share that was current is kept after a commit, and
	// how long prepared shares of other share sets are. Zero: 24 h. Once it is
	// over and a share is dropped, a vendor restored from a backup can no
	// longer be followed back to it.
	Grace time.Duration
	// CeremonyTimeout is how long to stay in a room. Zero: 2 min.
	CeremonyTimeout time.Duration
	// Wait is how long POST /v1/ceremonies waits for the end of the ceremony
	// before it answers 202. Zero: not at all. Keep it well below the callers'
	// time-out.
	Wait time.Duration
	// NoSync leaves out every fsync. The shares then survive the end of the
	// process, kill -9 included, but not a power failure: for sandboxes only.
	NoSync bool
	// Log of what happens; never of a share or a token. Nil: slog.Default.
	Log *slog.Logger
	// Now is the clock of grace periods. Nil: time.Now.
	Now func() time.Time

	// at is called between durable steps, sync is what makes them durable; both
	// nil in production.
	at   func(point string)
	sync func(*os.File) error
}

// Server holds shares in a folder and speaks the co-signer protocol.
type Server struct {
	options Options
	folder  string // of the wallets' folders
	disk    disk
	lock    *os.File
	log     *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // ceremonies and the sweeper

	// mu may be taken while a wallet's mu is held, never the other way round.
	mu       sync.Mutex
	closed   bool
	wallets  map[string]*wallet    // by folder name
	owners   map[uuid.UUID]*wallet // by ceremony
	sweeping map[*wallet]struct{}  // has something to drop one day
}

// Open takes possession of a folder, making it in its parent if need be, and
// brings every wallet in it back to where it was. It fails when another process has the
// folder, or when a journal cannot be read: then a person must look.
func Open(dir string, o Options) (*Server, error) {
	o.Grace = cmp.Or(o.Grace, 24*time.Hour)
	o.CeremonyTimeout = cmp.Or(o.CeremonyTimeout, 2*time.Minute)
	if o.Grace < 0 || o.CeremonyTimeout < 0 || o.Wait < 0 {
		return nil, errors.New("opening shares: a duration is negative")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.at == nil {
		o.at = func(string) {}
	}
	switch {
	case o.sync != nil:
	case o.NoSync:
		o.sync = func(*os.File) error { return nil }
	default:
		o.sync = (*os.File).Sync
	}
	s := &Server{
		options:  o,
		folder:   filepath.Join(dir, "wallets"),
		disk:     disk{sync: o.sync, at: o.at},
		log:      o.Log,
		wallets:  make(map[string]*wallet),
		owners:   make(map[uuid.UUID]*wallet),
		sweeping: make(map[*wallet]struct{}),
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		// Only if it is new: a hardened unit may not read the folder above.
		if err := s.disk.makeFolder(filepath.Dir(dir), filepath.Base(dir)); err != nil {
			return nil, fmt.Errorf("opening shares: %w", err)
		}
	}
	var err error
	if s.lock, err = lockFolder(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("opening shares: %w", err)
	}
	if err := s.recover(dir); err != nil {
		s.lock.Close()
		return nil, fmt.Errorf("opening shares: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.sweepLoop)
	return s, nil
}

// Close ends every ceremony, waits for them, and gives the folder free. What
// was prepared stays prepared.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	s.cancel()
	s.wg.Wait()
	return s.lock.Close()
}

// wallet by its names; errUnknown if it never had a share.
func (s *Server) wallet(provider, name string) (*wallet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	w := s.wallets[folderName(provider, name)]
	if w == nil {
		return nil, fmt.Errorf("%w: no share of this wallet is held", errUnknown)
	}
	return w, nil
}

// owner of a ceremony; errUnknown if there is none.
func (s *Server) owner(id uuid.UUID) (*wallet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	w := s.owners[id]
	if w == nil {
		return nil, fmt.Errorf("%w: no such ceremony", errUnknown)
	}
	return w, nil
}

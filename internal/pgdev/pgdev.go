package pgdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Options says what server is wanted. The zero value is a fast, private one.
type Options struct {
	// URL is a PostgreSQL that runs already; it wins over everything else.
	// Its role must be allowed to create databases.
	URL string
	// Dir is where the server's folder is made. Default: the system's
	// temporary folder. When running as root, every folder above must be open
	// to other users.
	Dir string
	// Durable makes the server survive a crash of the machine, at the speed
	// of its disk. Default: it survives only its own crashes, which is all
	// that a test can cause.
	Durable bool
	// Settings go into postgresql.conf, after and over the defaults.
	Settings map[string]string
	// Log hears in a few lines what is running where and how to open it.
	// Default: nobody.
	Log io.Writer

	search *search             // where PostgreSQL may be found; nil: where it usually is
	port   func() (int, error) // chooses a port; nil: a free one
}

// ErrStopped is what a stopped server answers.
var ErrStopped = errors.New("the throwaway PostgreSQL is stopped")

// ErrNotOurs refuses what may only be done to a server started here.
var ErrNotOurs = errors.New("the PostgreSQL at the given URL is not ours to restart")

// Server is a running PostgreSQL. Its methods may be called at the same time.
type Server struct {
	base string   // the DSN new databases are made through; foreign: as given
	url  string   // see URL
	own  *cluster // nil: the server was given by URL

	prefix string // foreign: in front of each database name

	life    sync.RWMutex // write-held while the server stops or restarts
	stopped bool

	mu   sync.Mutex
	made []string // foreign: databases to drop at the end, oldest first
}

// Start runs a server or borrows the one at Options.URL. ctx bounds the start
// alone: the server runs until Stop, or until this process ends or has
// forgotten the Server.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.URL != "" {
		return borrow(ctx, opts)
	}
	if opts.search == nil {
		opts.search = defaultSearch()
	}
	if opts.port == nil {
		opts.port = freePort
	}
	c, err := startCluster(ctx, opts)
	if err != nil {
		return nil, err
	}
	s := &Server{base: c.dsn(), url: c.dsn(), own: c}
	fmt.Fprintf(opts.Log, "PostgreSQL %s (%s) runs on 127.0.0.1:%d and %s\n", c.bin.version, c.bin.dir, c.port, c.socket())
	fmt.Fprintf(opts.Log, "open it with: %s\n", s.PsqlCommand(s.url))
	return s, nil
}

// URL is the DSN of the maintenance database, as a superuser. On a server
// given by Options.URL it is a fresh database of our own instead, with the
// rights that the URL has.
func (s *Server) URL() string { return s.url }

// Stop ends the server and removes its folder; on a server given by URL it
// drops the databases made here. Connected clients are cut off. Stopping again
// does nothing.
func (s *Server) Stop() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	if s.own == nil {
		return s.dropAll()
	}
	return s.own.close()
}

// Restart stops the server and starts it again on the same port. With
// immediate, it stops as in a crash: nothing is flushed, and the next start
// recovers from the log. Committed transactions survive either way.
func (s *Server) Restart(ctx context.Context, immediate bool) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.own == nil {
		return ErrNotOurs
	}
	if s.stopped {
		return ErrStopped
	}
	return s.own.restart(ctx, immediate)
}

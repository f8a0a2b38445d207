// Package demo shows rotatord at work on one machine: a throwaway PostgreSQL,
// the sandbox, a few policies as an operator would write them, and the real
// daemon. In the end it does not take the daemon's word for what happened: it
// asks the sandbox which wallets sign and which old shares no longer do, and
// compares what vendor, co-signer and record say.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// Options of Run. All are required, but for DatabaseURL and Seed, and one of
// Wallets and Vaults.
type Options struct {
	// For is how long policies run, from the moment everything is up.
	For time.Duration
	// Wallets at the simulated Dynamic, and Vaults at the simulated Cobo.
	Wallets, Vaults int
	// Seed makes the sandbox's wallets reproducible.
	Seed int64
	// DatabaseURL is a PostgreSQL that runs already; what is made there is
	// dropped in the end. Empty: a throwaway one.
	DatabaseURL string
	// Listener of the daemon; closed in the end.
	Listener net.Listener
	// ShareDir is an empty folder for the co-signer's shares.
	ShareDir string
	// Screen shows what goes on.
	Screen *Screen
	// Version of the daemon.
	Version string
}

// drainTimeout is for the rotations that are under way in the end; a rotation
// here takes a fraction of a second.
const drainTimeout = 20 * time.Second

// stage is everything that runs.
type stage struct {
	Options
	log      *slog.Logger
	postgres *pgdev.Server
	dsn      string
	sandbox  *sandbox.Sandbox
	url      string // of the sandbox
	operator *operator
	before   map[string]sandbox.WalletState // before the first rotation
	daemon   chan error                     // what its Run returned
	stop     context.CancelFunc             // ends the daemon
}

// Run runs the demo until its time is over or ctx ends, and returns what came
// of it. An error means that it could not be run to its end, and is that of ctx
// when ctx ended before everything was up; a summary that is not OK means that
// it could, and that something is wrong. Nothing is left running, nor on disk.
func Run(ctx context.Context, o Options) (summary *Summary, err error) {
	s := &stage{Options: o, log: slog.New(slog.NewTextHandler(o.Screen, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	// What ends the demo early must not keep it from cleaning up.
	working := context.WithoutCancel(ctx)
	defer func() {
		if closing := s.close(); closing != nil {
			err = errors.Join(err, closing)
		}
	}()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err() // whatever was cut off says it in other words
		}
		return nil, err
	}
	s.introduce()
	started := time.Now()
	if err := s.watch(ctx); err != nil {
		return nil, err
	}
	interrupted := ctx.Err() != nil
	if err := s.drain(working); err != nil {
		return nil, err
	}
	if summary, err = s.judge(working, interrupted); err != nil {
		return nil, fmt.Errorf("judging what happened: %w", err)
	}
	summary.Seconds = time.Since(started).Seconds()
	return summary, nil
}

// start brings everything up. close ends what it got to.
func (s *stage) start(ctx context.Context) (err error) {
	s.Screen.Line("starting PostgreSQL, the sandbox with %d wallets and %d vaults, and the daemon", s.Wallets, s.Vaults)
	if s.postgres, err = pgdev.Start(ctx, pgdev.Options{URL: s.DatabaseURL}); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", app.OneLine(err))
	}
	if s.dsn, err = s.postgres.CreateDatabase(ctx, "demo", ""); err != nil {
		return err
	}
	if s.sandbox, err = sandbox.New(sandbox.Options{Wallets: s.Wallets, Vaults: s.Vaults, Seed: s.Seed, CosignerDir: s.ShareDir}); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	if s.url, err = s.sandbox.Listen("127.0.0.1:0"); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	daemon, err := app.New(ctx, s.config(), app.Options{Version: s.Version, Log: s.log, Listener: s.Listener})
	if err != nil {
		return fmt.Errorf("starting the daemon: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.daemon = stop, make(chan error, 1)
	go func() { s.daemon <- daemon.Run(running) }()

	if err := s.sandbox.SetWebhook("http://" + s.Listener.Addr().String() + "/webhooks/cobo/" + coboName); err != nil {
		return fmt.Errorf("telling the sandbox where to call: %w", err)
	}
	if s.before, err = s.truth(ctx); err != nil {
		return err
	}
	if s.operator, err = newOperator(ctx, s.dsn); err != nil {
		return err
	}
	return s.operator.setUp(ctx, s.policies(), s.before)
}

// watch shows progress until the time is over, ctx ends or the daemon does.
func (s *stage) watch(ctx context.Context) error {
	defer s.Screen.EndStatus()
	begun := time.Now()
	over := time.NewTimer(s.For)
	defer over.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			return nil
		case <-ctx.Done():
			s.Screen.EndStatus()
			s.Screen.Line("stopping early; once more to stop at once")
			return nil
		case err := <-s.daemon:
			s.daemon <- err // for close
			return errors.Join(errors.New("the daemon ended by itself"), err)
		case <-tick.C:
			// Not with ctx: its end in the middle of a query costs the connection.
			p, err := s.operator.progress(context.WithoutCancel(ctx))
			if err != nil {
				return err
			}
			s.Screen.Status("%3.0fs of %.0fs   %s", time.Since(begun).Seconds(), s.For.Seconds(), p)
		}
	}
}

// drain stops new cycles as an operator would, waits for the rotations that
// are under way, and ends the daemon.
func (s *stage) drain(ctx context.Context) error {
	s.Screen.Line("stopping new rotations and waiting for those under way")
	waiting, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := s.operator.pause(waiting, "the demo is over"); err != nil {
		return err
	}
	if err := s.operator.awaitQuiet(waiting); err != nil && waiting.Err() == nil {
		return err // after drainTimeout the checks say what is not at its end
	}
	s.stop()
	err := <-s.daemon
	s.daemon <- err // for close
	if err != nil {
		return fmt.Errorf("ending the daemon: %w", err)
	}
	return nil
}

// close ends everything, the last thing first.
func (s *stage) close() error {
	var errs []error
	if s.daemon != nil {
		s.stop()
		<-s.daemon // its error was told already
	} else {
		_ = s.Listener.Close() // the daemon would have
	}
	if s.operator != nil {
		s.operator.close()
	}
	if s.sandbox != nil {
		errs = append(errs, s.sandbox.Close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop())
	}
	return errors.Join(errs...)
}

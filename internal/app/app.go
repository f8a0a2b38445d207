// Package app makes a running daemon out of a configuration. All of it can be
// started and stopped inside a test: it uses no globals, binds only the
// listener it is told to, and leaves no goroutine behind.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/rotatord/rotatord/internal/api"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/history"
	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/scheduler"
	"github.com/rotatord/rotatord/internal/store"
)

// Options of New.
type Options struct {
	// Version of the daemon, for people: in the table replicas and on the page
	// at /.
	Version string
	// Log; nil discards.
	Log *slog.Logger
	// Registry takes every metric; nil: one of its own, with those of the Go
	// runtime and of the process.
	Registry *prometheus.Registry
	// Listener is served instead of http.listen of the configuration, and
	// closed by the App. Nil: http.listen.
	Listener net.Listener
}

// App is a daemon that is ready to run.
type App struct {
	log       *slog.Logger
	store     *store.Store
	parties   *parties
	scheduler *scheduler.Scheduler
	watch     *history.Watch // nil: histories are not verified here
	server    *api.Server
	listener  net.Listener
	closing   sync.Once
}

// New reads secrets, opens the database and the listener, and calls neither a
// vendor nor a co-signer. It refuses a database whose schema does not suit.
// Whoever does not go on to Run must Close.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *App, err error) {
	if err := cfg.ReadyToServe(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
		o.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	a := &App{log: o.Log, listener: o.Listener}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	if a.parties, err = meet(cfg, newRequestMetrics(o.Registry), o.Log); err != nil {
		return nil, err
	}
	if a.store, err = openStore(ctx, cfg, o.Log); err != nil {
		return nil, err
	}
	if a.server, err = a.newServer(cfg, o); err != nil {
		return nil, err
	}
	if a.listener == nil {
		if a.listener, err = net.Listen("tcp", cfg.HTTP.Listen); err != nil {
			return nil, fmt.Errorf("listening for HTTP: %w", err)
		}
	}
	walks, err := reconcile(cfg)
	if err != nil {
		return nil, err
	}
	a.scheduler = a.newScheduler(cfg, walks, o)
	if every := cfg.History.VerifyInterval; every > 0 {
		a.watch = &history.Watch{Store: a.store, Every: every, Log: o.Log}
	}
	return a, nil
}

func (a *App) newServer(cfg *config.Config, o Options) (*api.Server, error) {
	o.Registry.MustRegister(version.NewCollector("rotatord"))
	if err := api.RegisterFleet(o.Registry, api.FleetOptions{
		Store: a.store, Providers: a.parties.providerNames(), CoSigners: a.parties.coSignerNames(),
		Results: results(), CoSignerOf: a.parties.coSignerName, Log: o.Log,
	}); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return api.New(api.Options{
		Registry: o.Registry, Ready: a.store.Ready, WebConfigFile: cfg.HTTP.WebConfigFile, Webhooks: a.webhooks(cfg),
		Version: o.Version, Log: o.Log,
	})
}

func (a *App) newScheduler(cfg *config.Config, walks scheduler.Reconcile, o Options) *scheduler.Scheduler {
	s, r := cfg.Scheduler, cfg.Rotation
	return scheduler.New(scheduler.Options{
		Store: a.store, ReplicaID: replicaID(), Version: o.Version, Log: o.Log,
		Config: scheduler.Config{
			MinInterval: s.MinInterval, PollInterval: s.PollInterval,
			HeartbeatInterval: s.HeartbeatInterval, HeartbeatTimeout: s.HeartbeatTimeout,
			CallTimeout: r.CallTimeout, LookAhead: s.LookAhead, Workers: s.Workers, ShutdownGrace: s.ShutdownGrace,
			MaxPerHour: int32(s.MaxRotationsPerHour),
		},
		Metrics: scheduler.NewMetrics(o.Registry), Reconcile: walks,
		Rotation: rotation.Options{
			Providers: a.parties.providers, CoSigner: a.parties.coSigner, Log: o.Log,
			Metrics: rotation.NewMetrics(o.Registry, a.parties.providerNames(), a.parties.coSignerNames()...),
			Breaker: store.Breaker{Failures: r.Circuit.Failures, Pause: r.Circuit.Pause, MaxPause: r.Circuit.MaxPause},
			Timing: rotation.Timing{
				Call: r.CallTimeout, Ceremony: r.CeremonyTimeout, Approval: r.ApprovalTimeout, Quiet: r.QuietTime,
				CommitAttention: r.CommitAttentionAfter, BackoffInitial: r.Backoff.Initial, BackoffMax: r.Backoff.Max,
			},
		},
	})
}

// replicaID is for people; what tells replicas apart is their epoch.
func replicaID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// Addr is where HTTP is served.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Run works until ctx ends: rotations in hand are brought to a state that
// others can go on from, for at most shutdown_grace, while HTTP still answers;
// then everything is closed. It returns nil after that, or what made it stop
// by itself.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	// Health and metrics are there before the first rotation and until after
	// the last.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	served := make(chan error, 1)
	go func() {
		defer stopWorking()
		served <- a.server.Serve(serving, a.listener)
	}()
	var watching sync.WaitGroup
	if a.watch != nil {
		watching.Go(func() { a.watch.Run(working) })
	}
	err := a.scheduler.Run(working)
	stopWorking()
	watching.Wait()
	if err != nil {
		err = fmt.Errorf("running the scheduler: %w", err)
	}
	stopServing()
	return errors.Join(err, <-served)
}

// Close lets go of listener, connections and database. Run does it too.
func (a *App) Close() {
	a.closing.Do(func() {
		if a.listener != nil {
			_ = a.listener.Close() // the server has closed it, if there was one
		}
		if a.parties != nil {
			a.parties.close()
		}
		if a.store != nil {
			a.store.Close()
		}
	})
}

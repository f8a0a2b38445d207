package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
)

// Limits of the listener. Requests here are small.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout is above the longest that Prometheus waits for a scrape.
	writeTimeout = time.Minute
	idleTimeout  = 2 * time.Minute
	// maxHeader is room for a cookie jar of somebody else's; more is an attack.
	maxHeader = 16 << 10
	maxBody   = 64 << 10
	// stopTimeout is for answers that are being written when the server stops.
	stopTimeout = 5 * time.Second
)

// Options of New. All are required, but for WebConfigFile and Webhooks.
type Options struct {
	// Registry is what /metrics shows, and where the metrics of this package
	// are registered.
	Registry *prometheus.Registry
	// Ready says why the daemon cannot work, or nil. It is given a short time.
	Ready func(context.Context) error
	// WebConfigFile is the exporter-toolkit's file for TLS and basic
	// authentication; empty: neither.
	WebConfigFile string
	// Webhooks are where vendors call; none: there are no such routes.
	Webhooks []Webhook
	// Version of the daemon, for the page at /.
	Version string
	Log     *slog.Logger
}

// Server is the HTTP side of a daemon.
type Server struct {
	http    *http.Server
	webFile string
	log     *slog.Logger
}

// New makes a server. It fails when the web configuration file is unusable.
func New(o Options) (*Server, error) {
	if err := web.Validate(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("reading the web configuration %s: %w", o.WebConfigFile, err)
	}
	s := &Server{
		http: &http.Server{
			Handler:           http.MaxBytesHandler(withProblems(routes(o)), maxBody),
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeader,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // mostly port scans
		},
		webFile: o.WebConfigFile,
		log:     o.Log,
	}
	hooks := webhookRoutes(o)
	// The exporter-toolkit puts its guard around the handler when it begins to
	// serve, and asks for passwords that no vendor has. This is called after
	// that and before the first connection.
	s.http.BaseContext = func(net.Listener) context.Context {
		s.http.Handler = before(hooks, s.http.Handler)
		return context.Background()
	}
	return s, nil
}

// before asks the mux first; what it has no route for goes on.
func before(first *http.ServeMux, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if handler, pattern := first.Handler(r); pattern != "" {
			handler.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Serve answers on the listener until ctx ends, then finishes what it is
// writing and closes the listener. Its error is that of a listener that broke.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(stopped)
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if s.http.Shutdown(ending) != nil {
			_ = s.http.Close() // who still reads after that is cut off
		}
	})
	err := web.Serve(listener, s.http, &web.FlagConfig{WebConfigFile: &s.webFile}, s.log)
	if !cancel() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	_ = listener.Close() // web.Serve leaves it open when it cannot start
	return fmt.Errorf("serving HTTP: %w", err)
}

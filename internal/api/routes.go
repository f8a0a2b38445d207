package api

import (
	_ "embed"
	"html/template"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesAtOnce bounds what scrapes take of the connections to the database;
// two Prometheus servers are the usual number.
const scrapesAtOnce = 2

//go:embed index.html
var indexText string

var indexPage = template.Must(template.New("index").Parse(indexText))

func routes(o Options) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index(o.Version))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, "ok") })
	mux.HandleFunc("GET /readyz", ready(o.Ready, o.Log))
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{
		Registry:            o.Registry,
		ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesAtOnce,
	}))
	return mux
}

func say(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, text+"\n")
}

func index(version string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_ = indexPage.Execute(w, version) // the caller has gone: nobody is left to tell
	}
}

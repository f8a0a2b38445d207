package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rotatord/rotatord/internal/store"
	"github.com/rotatord/rotatord/migrations"
)

// readyTimeout is far above what a database takes that can be worked with, and
// below the second that load balancers and Kubernetes commonly wait.
const readyTimeout = 900 * time.Millisecond

// ready asks the database. Probes come every few seconds, so the log hears of
// changes only.
func ready(ask func(context.Context) error, log *slog.Logger) http.HandlerFunc {
	var failing atomic.Bool
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		err := ask(ctx)
		if r.Context().Err() != nil {
			return // the caller has gone, which says nothing of the database
		}
		if err != nil {
			if !failing.Swap(true) {
				log.Error("not ready", "error", err)
			}
			refuse(w, http.StatusServiceUnavailable, unreadiness(err))
			return
		}
		if failing.Swap(false) {
			log.Info("ready again")
		}
		say(w, "ready")
	}
}

// unreadiness is what anybody who can reach the port may know; the error of a
// connection names hosts and roles.
func unreadiness(err error) string {
	switch {
	case errors.Is(err, migrations.ErrTooOld), errors.Is(err, migrations.ErrTooNew):
		return err.Error()
	case errors.Is(err, store.ErrNoWrites):
		return store.ErrNoWrites.Error() + "; the log says more"
	}
	return "the database does not answer; the log says more"
}

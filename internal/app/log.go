package app

import (
	"io"
	"log/slog"

	"github.com/rotatord/rotatord/internal/config"
)

// NewLog is the daemon's log as the configuration wants it.
func NewLog(w io.Writer, c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == config.LogText {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

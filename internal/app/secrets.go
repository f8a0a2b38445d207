package app

import (
	"log/slog"
	"sync"

	"github.com/rotatord/rotatord/internal/config"
)

// follow returns the value of a secret as it is whenever it is asked for. When
// its file cannot be read the last good value stays in use, because files are
// often replaced in two steps; the log hears of it once.
func follow(secret config.Secret, log *slog.Logger) func() string {
	var mu sync.Mutex
	last, complained := secret.Reveal(), false
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		now, err := secret.Current()
		switch {
		case err == nil:
			last, complained = now, false
		case !complained:
			complained = true
			log.Warn("keeping the last good value of a secret", "error", err)
		}
		return last
	}
}

package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "stopped by signal: " + i.signal.String() }

// exitCode is what a shell makes of a process that the signal killed.
func (i interrupted) exitCode() int { return 128 + int(i.signal) }

// interruption says which signal ended ctx, if one did.
func interruption(ctx context.Context) (i interrupted, ok bool) {
	return i, errors.As(context.Cause(ctx), &i)
}

// signals waits for the user's patience to end.
type signals struct {
	mu    sync.Mutex
	hurry []func()
}

// catchSignals returns a context that the first SIGINT, SIGTERM or SIGHUP ends.
// The second one ends the process at once.
func catchSignals(ctx context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &signals{}
	heard := make(chan os.Signal, 2)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup means that the terminal may go
		signal.Notify(heard, syscall.SIGHUP)
	}
	go func() {
		cancel(interrupted{(<-heard).(syscall.Signal)})
		again := interrupted{(<-heard).(syscall.Signal)}
		s.mu.Lock() // for ever: nothing is to be made while the process ends
		for _, clean := range s.hurry {
			clean()
		}
		os.Exit(again.exitCode())
	}()
	return ctx, s
}

// onHurry has something done before the process ends in a hurry: what must not
// stay behind on disk. A nil s does nothing.
func (s *signals) onHurry(clean func()) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurry = append(s.hurry, clean)
}

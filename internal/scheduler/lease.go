package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// errLeaseOver ends all work under a lease.
var errLeaseOver = errors.New("no heartbeat reached the database in time")

// beatShare of the lease is what signing on, or one heartbeat, may take. A connection that
// leads nowhere costs this much; the next heartbeat takes another one.
const beatShare = 3

// lease is this replica's right to act: an epoch that heartbeats keep alive.
// It holds on the monotonic clock of this process until a timeout after the
// last heartbeat that was sent and confirmed; other replicas count from the
// moment it arrived, on the database's clock, and wait longer. So a lease is
// over here before anybody takes its work over. A machine that is suspended
// stops this clock as well: it finds out at its first heartbeat, and until
// then the epoch keeps its writes from counting.
type lease struct {
	epoch   int64
	timeout time.Duration

	mu    sync.Mutex
	until time.Time
}

// Epoch that every write carries.
func (l *lease) Epoch() int64 { return l.epoch }

// Until is when the lease ends if no further heartbeat is confirmed.
func (l *lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *lease) renew(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = sent.Add(l.timeout)
}

// register takes a new epoch. It does not stop half-way when ctx ends: a
// replica that never heard that it has signed on could not sign off.
func register(ctx context.Context, s *store.Store, id, version string, timeout time.Duration) (*lease, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout/beatShare)
	defer cancel()
	sent := time.Now()
	epoch, err := s.Register(ctx, id, version)
	if err != nil {
		return nil, err
	}
	l := &lease{epoch: epoch, timeout: timeout}
	l.renew(sent)
	return l, nil
}

// keep sends heartbeats until ctx ends, and returns why the lease is over
// before that: [store.ErrGivenUp], or that no heartbeat got through.
func (l *lease) keep(ctx context.Context, s *store.Store, interval time.Duration, skew func(time.Duration), log *slog.Logger) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		off, err := l.beat(ctx, s)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrGivenUp):
			return err
		case err == nil:
			skew(off)
		case !time.Now().Before(l.Until()):
			return errLeaseOver
		default:
			log.Warn("heartbeat failed", "error", err)
		}
		over := time.NewTimer(time.Until(l.Until()))
		select {
		case <-ticker.C:
		case <-over.C:
			return errLeaseOver
		case <-ctx.Done():
			over.Stop()
			return nil
		}
		over.Stop()
	}
}

func (l *lease) beat(ctx context.Context, s *store.Store) (skew time.Duration, err error) {
	sent := time.Now()
	end := sent.Add(l.timeout / beatShare)
	if until := l.Until(); until.Before(end) {
		end = until
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	if skew, err = s.Heartbeat(ctx, l.epoch); err == nil {
		l.renew(sent)
	}
	return skew, err
}

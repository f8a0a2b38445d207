package rotation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

const (
	// maxBatch bounds one statement; larger ones win nothing more.
	maxBatch = 512
	// recordTimeout is for one flush, retries included. It is long because a
	// step that cannot be recorded costs its whole attempt.
	recordTimeout = 20 * time.Second
	// recordRetry is the pause before a flush that met trouble is repeated.
	recordRetry = 100 * time.Millisecond
)

// recorder commits one kind of step for many rotations together, by natural
// batching: while one batch is being committed, the next one gathers. No timer
// delays a lone step, and batches grow with the load by themselves.
type recorder[T any] struct {
	flush func(ctx context.Context, owner int64, steps []T) (map[int64]bool, error)
	key   func(T) int64
	retry time.Duration

	mu      sync.Mutex
	queue   []entry[T]
	running bool
}

// errUnclear is the answer to a step that was refused when its flush was
// repeated: either the first flush recorded it and its answer was lost, or the
// database would have refused it from the start.
var errUnclear = errors.New("the step was recorded or refused, and it is not known which")

type entry[T any] struct {
	step T
	done chan error
}

func newRecorder[T any](flush func(context.Context, int64, []T) (map[int64]bool, error), key func(T) int64) *recorder[T] {
	return &recorder[T]{flush: flush, key: key, retry: recordRetry}
}

// record returns nil when the step is durable. [store.ErrNotRecorded]: the
// database refused this step. Any other error, [errUnclear] among them: it is
// not known here whether the step was recorded; the record knows.
func (r *recorder[T]) record(ctx context.Context, owner int64, step T) error {
	e := entry[T]{step, make(chan error, 1)}
	r.mu.Lock()
	r.queue = append(r.queue, e)
	if !r.running {
		r.running = true
		go r.run(context.WithoutCancel(ctx), owner)
	}
	r.mu.Unlock()
	// Not given up when ctx ends: a step that is under way becomes durable or
	// not within recordTimeout, and its caller must know which.
	return <-e.done
}

func (r *recorder[T]) run(ctx context.Context, owner int64) {
	for {
		r.mu.Lock()
		batch := r.queue
		if len(batch) > maxBatch {
			batch = batch[:maxBatch]
		}
		r.queue = r.queue[len(batch):]
		if len(batch) == 0 {
			r.queue, r.running = nil, false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.commit(ctx, owner, batch)
	}
}

// commit flushes a batch and answers each of its entries. A batch that met
// trouble is repeated step by step, so that one bad row harms no other;
// repeating is safe because every statement guards its rows by state.
func (r *recorder[T]) commit(ctx context.Context, owner int64, batch []entry[T]) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := r.try(ctx, owner, batch, store.ErrNotRecorded); err == nil {
		return
	}
	for _, e := range batch {
		one := []entry[T]{e}
		err := r.try(ctx, owner, one, errUnclear)
		for err != nil && store.IsRetryable(err) && pause(ctx, r.retry) {
			err = r.try(ctx, owner, one, errUnclear)
		}
		if err != nil {
			e.done <- err
		}
	}
}

// try flushes once; on success every entry has its answer, which is refused
// for those that the database did not take.
func (r *recorder[T]) try(ctx context.Context, owner int64, batch []entry[T], refused error) error {
	steps := make([]T, len(batch))
	for i, e := range batch {
		steps[i] = e.step
	}
	taken, err := r.flush(ctx, owner, steps)
	if err != nil {
		return err
	}
	for _, e := range batch {
		if taken[r.key(e.step)] {
			e.done <- nil
		} else {
			e.done <- refused
		}
	}
	return nil
}

// pause waits, or returns false at once when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

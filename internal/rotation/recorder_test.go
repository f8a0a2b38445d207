package rotation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

// together records steps at the same time: the first flush is held up until
// all others have queued, so that they go in one batch.
func together[T any](t *testing.T, rec *recorder[T], owner int64, steps []T) []error {
	t.Helper()
	held := make(chan struct{})
	flush := rec.flush
	var calls atomic.Int32
	rec.flush = func(ctx context.Context, owner int64, steps []T) (map[int64]bool, error) {
		if calls.Add(1) == 1 {
			<-held
		}
		return flush(ctx, owner, steps)
	}
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	record := func(i int) { wg.Go(func() { errs[i] = rec.record(t.Context(), owner, steps[i]) }) }
	until := func(what string, holds func() bool) {
		for deadline := time.Now().Add(patience); !holds(); pause(t.Context(), time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("timed out waiting until %s", what)
				return
			}
		}
	}
	record(0)
	until("the first flush is held up", func() bool { return calls.Load() == 1 })
	for i := 1; i < len(steps); i++ {
		record(i)
	}
	until("the others have queued", func() bool {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return len(rec.queue) == len(steps)-1
	})
	close(held)
	wg.Wait()
	return errs
}

// openings are the first steps of many rotations, ready to be recorded.
func openings(t *testing.T, wallets int) (*rig, *replica, []store.OpeningStep) {
	t.Helper()
	r := newRig(t, sandbox.Options{Wallets: wallets})
	x := r.replica()
	r.exec(`UPDATE wallet_state SET active_share_set = 'old', public_key = 'key'`)
	var steps []store.OpeningStep
	for _, c := range x.claimed() {
		steps = append(steps, store.OpeningStep{WalletID: c.Wallet.ID, AttemptID: uuid.New(), OldShareSet: "old", At: r.store.Now()})
	}
	return r, x, steps
}

func (r *rig) inState(s store.State) int {
	r.t.Helper()
	return value[int](r, `SELECT count(*) FROM rotations WHERE state = $1`, s)
}

func TestRecorderBatches(t *testing.T) {
	r, x, steps := openings(t, 20)
	var sizes []int
	flush := x.opening.flush
	x.opening.flush = func(ctx context.Context, owner int64, steps []store.OpeningStep) (map[int64]bool, error) {
		sizes = append(sizes, len(steps))
		return flush(ctx, owner, steps)
	}
	for _, err := range together(t, x.opening, x.lease.epoch, steps) {
		if err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprint(sizes) != "[1 19]" {
		t.Errorf("flushed in batches of %v", sizes)
	}
	if n := r.inState(store.Opening); n != 20 {
		t.Errorf("%d are in opening", n)
	}
}

func TestRecorderBoundsABatch(t *testing.T) {
	var largest int
	rec := newRecorder(func(_ context.Context, _ int64, steps []int64) (map[int64]bool, error) {
		largest = max(largest, len(steps))
		taken := map[int64]bool{}
		for _, s := range steps {
			taken[s] = true
		}
		return taken, nil
	}, func(s int64) int64 { return s })
	steps := make([]int64, 3*maxBatch)
	for i := range steps {
		steps[i] = int64(i)
	}
	for _, err := range together(t, rec, 1, steps) {
		if err != nil {
			t.Error(err)
		}
	}
	if largest != maxBatch {
		t.Errorf("the largest batch was %d", largest)
	}
}

func TestOneBadRowHarmsNoOther(t *testing.T) {
	r, x, steps := openings(t, 10)
	for _, err := range together(t, x.opening, x.lease.epoch, steps) {
		r.must(err)
	}
	var retreats []store.RetreatStep
	for _, s := range steps {
		retreats = append(retreats, store.RetreatStep{WalletID: s.WalletID, AttemptID: s.AttemptID, Class: provider.Retryable, Error: "x"})
	}
	retreats[4].Class = "nonsense"          // refused by a constraint: the whole statement fails
	retreats[7].AttemptID = uuid.New()      // not where it is expected
	retreats[8].Error = "a \x00 \xff in it" // not text that PostgreSQL takes
	for i, err := range together(t, x.retreat, x.lease.epoch, retreats) {
		switch {
		case i == 4 && (err == nil || errors.Is(err, store.ErrNotRecorded) || errors.Is(err, errUnclear)):
			t.Errorf("the bad row: %v", err)
		case i == 7 && !errors.Is(err, store.ErrNotRecorded) && !errors.Is(err, errUnclear):
			t.Errorf("the row that is elsewhere: %v", err)
		case i != 4 && i != 7 && err != nil:
			t.Errorf("row %d: %v", i, err)
		}
	}
	if n := r.inState(store.Waiting); n != 8 {
		t.Errorf("%d are in waiting", n)
	}
}

// terminate ends the backend that runs a statement on rotations.
func (r *rig) terminate() (ended int) {
	r.t.Helper()
	return value[int](r, `
		SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		 WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE rotations%'`)
}

func TestBackendThatIsTerminatedDuringAFlush(t *testing.T) {
	r, x, steps := openings(t, 5)
	tx, err := r.db.Begin(t.Context())
	r.must(err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), `SELECT FROM rotations FOR UPDATE`) // so that the flush waits
	r.must(err)
	errs := make(chan []error, 1)
	go func() { errs <- together(t, x.opening, x.lease.epoch, steps) }()
	deadline := time.Now().Add(patience)
	for ended := 0; ended < 2; ended += r.terminate() {
		if time.Now().After(deadline) {
			t.Fatal("no flush waits")
		}
		pause(t.Context(), 5*time.Millisecond)
	}
	r.must(tx.Rollback(t.Context()))
	for i, err := range <-errs {
		if err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
	if n := r.inState(store.Opening); n != 5 {
		t.Errorf("%d are in opening", n)
	}
}

// lossy loses the answers to the first n flushes, which have had their effect.
func lossy[T any](rec *recorder[T], n int32) {
	flush := rec.flush
	var lost atomic.Int32
	rec.flush = func(ctx context.Context, owner int64, steps []T) (map[int64]bool, error) {
		taken, err := flush(ctx, owner, steps)
		if err == nil && lost.Add(1) <= n {
			return nil, fmt.Errorf("reading the answer: %w", io.ErrUnexpectedEOF)
		}
		return taken, err
	}
}

func TestLostAnswersOfEveryStep(t *testing.T) {
	// Each kind of step loses its first answer, all in one rotation that fails
	// once on the way. It must end well, and each act must have happened once.
	r := newRig(t, sandbox.Options{})
	x := r.replica()
	lossy(x.opening, 1)
	lossy(x.retreat, 1)
	lossy(x.checkpoint, 1)
	lossy(x.prepared, 1)
	lossy(x.promoted, 1)
	lossy(x.committed, 1)
	lossy(x.abandon, 1)
	lossy(x.baseline, 1)
	lossy(x.park, 1)
	refuse := []error{provider.Errorf(provider.Retryable, provider.ReasonProviderError, "busy"),
		provider.Errorf(provider.InDoubt, provider.ReasonTimeout, "slow")}
	r.spy.on(onOpen, func(context.Context, provider.Attempt) error {
		if len(refuse) == 0 {
			return nil
		}
		err := refuse[0]
		refuse = refuse[1:]
		return err
	})
	x.claim()
	x.settled()
	r.histories("baseline", "abandoned", "activated")
	r.healthy()
	if r.opened() != 1 {
		t.Errorf("%d rooms were opened", r.opened())
	}
}

// TestRecorderTellsTheTruth: whatever becomes of flushes, each caller gets one
// answer, and the answer is true.
func TestRecorderTellsTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "steps")
		refused := rapid.MapOf(rapid.Int64Range(0, int64(n-1)), rapid.Just(true)).Draw(t, "refused")
		bad := rapid.MapOf(rapid.Int64Range(0, int64(n-1)), rapid.Just(true)).Draw(t, "bad")
		// What befalls each flush: nothing, its answer is lost, or it is.
		fates := rapid.SliceOfN(rapid.SampledFrom([]string{"fine", "fine", "answer lost", "lost"}), 0, 8).Draw(t, "fates")
		idempotent := rapid.Bool().Draw(t, "idempotent")

		durable := map[int64]bool{}
		rec := newRecorder(func(_ context.Context, _ int64, steps []int64) (map[int64]bool, error) {
			fate := "fine"
			if len(fates) > 0 {
				fate, fates = fates[0], fates[1:]
			}
			if fate == "lost" {
				return nil, io.ErrUnexpectedEOF
			}
			for _, s := range steps {
				if bad[s] {
					return nil, errors.New("violates a constraint")
				}
			}
			taken := map[int64]bool{}
			for _, s := range steps {
				if !refused[s] && (idempotent || !durable[s]) {
					durable[s], taken[s] = true, true
				}
			}
			if fate == "answer lost" {
				return nil, io.ErrUnexpectedEOF
			}
			return taken, nil
		}, func(s int64) int64 { return s })
		rec.retry = 0

		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = rec.record(context.Background(), 1, int64(i)) })
		}
		wg.Wait()
		for i, err := range errs {
			s := int64(i)
			switch {
			case err == nil && !durable[s]:
				t.Fatalf("step %d was said to be durable and is not", i)
			case errors.Is(err, store.ErrNotRecorded) && durable[s]:
				t.Fatalf("step %d was said to be refused and is durable", i)
			case bad[s] && err == nil:
				t.Fatalf("bad step %d was taken", i)
			case !bad[s] && !refused[s] && !durable[s]:
				t.Fatalf("step %d was harmed by another one: %v", i, err)
			}
		}
	})
}

// TestRecorderUnderStress is for the race detector: many rotations through all
// recorders while connections die.
func TestRecorderUnderStress(t *testing.T) {
	r := newRig(t, sandbox.Options{Wallets: 30})
	x := r.replica()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var killed atomic.Int32
	claimed := x.claimed()
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
			}
			var n int32
			if err := r.db.QueryRow(context.Background(), `
				SELECT count(pg_terminate_backend(pid)) FROM (
				    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rotatord' ORDER BY random() LIMIT 1) x`).
				Scan(&n); err == nil {
				killed.Add(n)
			}
		}
	})
	x.submitAll(claimed, nil)
	deadline := time.Now().Add(patience)
	for open := true; open && time.Now().Before(deadline); {
		open = value[int](r, `SELECT count(*) FROM rotations`) > 0
		if open {
			x.retake(r)
			pause(t.Context(), 20*time.Millisecond)
		}
	}
	close(stop)
	wg.Wait()
	r.reopen() // some of its connections are dead and do not know it
	x.settled()
	r.healthy()
	if killed.Load() == 0 {
		t.Error("no connection died")
	}
}

// retake is resume while the store's own connections die.
func (x *replica) retake(r *rig) {
	ctx := r.t.Context()
	if owned, err := r.store.Owned(ctx, x.lease.epoch); err == nil {
		var orphans []int64
		for _, id := range owned {
			if !x.Has(id) {
				orphans = append(orphans, id)
			}
		}
		x.submitAll(r.store.Load(ctx, x.lease.epoch, orphans))
	}
	x.submitAll(r.store.TakeUnderWay(ctx, x.lease.epoch, 100))
	x.submitAll(r.store.TakeWaiting(ctx, x.lease.epoch, r.policyID, 0, 100))
}

func (x *replica) submitAll(rotations []*store.Rotation, err error) {
	if err != nil {
		return // its connection died; there is a next time
	}
	for _, c := range rotations {
		x.Submit(c)
	}
}

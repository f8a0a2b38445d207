package history

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/store"
)

const (
	// restFactor: after each page a walk in the background rests this many times
	// as long as the page took. So it takes a fifth of one connection's time at
	// most, and less of everything when the database is busy and answers slowly.
	restFactor = 4
	// longestRest keeps a slow walk's hold renewed, see staleAfter.
	longestRest = 15 * time.Second
	// pageTimeout is when a page, or the record of it, is given up; it takes
	// milliseconds.
	pageTimeout = 30 * time.Second
	// staleAfter is when another replica goes on with a walk that nobody renews:
	// longer than a page, its record and a rest.
	staleAfter = 2*pageTimeout + longestRest + 15*time.Second
	// lookInterval is how often a replica looks whether a walk is due or stale.
	// Tests have walks more often.
	lookInterval = time.Minute
	// loggedBreaks is for how many wallets one walk logs what is wrong.
	loggedBreaks = 1000
)

// Watch verifies all histories in the background, in one replica at a time, at a
// gentle pace.
type Watch struct {
	Store *store.Store
	// Every is from the beginning of one verification to that of the next. The
	// next one waits until the one before is over.
	Every time.Duration
	Log   *slog.Logger

	owner uuid.UUID
}

// Run verifies until ctx ends. A database that is down is waited out: the walk
// goes on where it was, here or in another replica.
func (w *Watch) Run(ctx context.Context) {
	w.owner = uuid.New()
	for {
		v, err := w.take(ctx)
		if err == nil && v != nil {
			err = w.verify(ctx, *v)
		}
		if err != nil && ctx.Err() == nil {
			w.Log.Warn("verifying the history was interrupted and goes on", "error", err)
		}
		if !sleep(ctx, min(lookInterval, w.Every)) {
			return
		}
	}
}

func (w *Watch) take(ctx context.Context) (*store.Verification, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return w.Store.TakeVerification(ctx, w.owner, w.Every, staleAfter, store.Verification{NextWallet: math.MinInt64, Digest: make([]byte, len(Digest{}))})
}

// verify walks from where v stands to the end.
func (w *Watch) verify(ctx context.Context, v store.Verification) error {
	walk := NewWalk(w.Store, Scope{From: v.NextWallet})
	walk.Head = Head{Wallets: v.Wallets, Rows: v.Rows, Digest: Digest(v.Digest)}
	walk.BrokenWallets = v.Broken
	var found []store.BrokenWallet
	logged := 0
	walk.Broken = func(b Break) {
		if n := len(found); n > 0 && found[n-1].WalletID == b.WalletID {
			found[n-1].Breaks++
			return
		}
		found = append(found, store.BrokenWallet{WalletID: b.WalletID, Seq: b.Seq, What: b.What, Breaks: 1})
		if logged++; logged <= loggedBreaks {
			w.Log.Error("the history of a wallet is broken", "wallet_id", b.WalletID, "seq", b.Seq, "what", b.What)
		}
	}
	for {
		began := time.Now()
		more, err := w.step(ctx, walk)
		if err != nil {
			return err
		}
		// What is wrong with the wallet under way is recorded when it is done.
		done := 0
		for done < len(found) && (!more || found[done].WalletID < walk.NextWallet()) {
			done++
		}
		v.NextWallet, v.Wallets, v.Rows, v.Broken, v.Digest = walk.NextWallet(), walk.Head.Wallets, walk.Head.Rows, walk.BrokenWallets, walk.Head.Digest[:]
		err = w.record(ctx, v, found[:done], !more)
		if errors.Is(err, store.ErrNotRecorded) {
			w.Log.Info("another replica goes on verifying the history", "next_wallet", v.NextWallet)
			return nil
		}
		if err != nil {
			return err
		}
		found = slices.Delete(found, 0, done)
		if !more {
			w.conclude(ctx, v, walk.Head)
			return nil
		}
		if !sleep(ctx, rest(time.Since(began))) {
			return nil
		}
	}
}

func (w *Watch) step(ctx context.Context, walk *Walk) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return walk.Step(ctx)
}

func (w *Watch) record(ctx context.Context, v store.Verification, found []store.BrokenWallet, end bool) error {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	return w.Store.AdvanceVerification(ctx, w.owner, v, found, end)
}

// conclude logs the head: the log is kept elsewhere than the database, so it is
// the second place that says what the history was.
func (w *Watch) conclude(ctx context.Context, v store.Verification, head Head) {
	level, text := slog.LevelInfo, "history verified"
	if v.Broken > 0 {
		level, text = slog.LevelError, "history verified: it is broken"
	}
	w.Log.Log(ctx, level, text, append(head.attrs(), "broken", v.Broken, "verification", v.ID, "since", v.StartedAt)...)
}

// attrs are the head in the words of the log.
func (h Head) attrs() []any {
	return []any{"wallets", h.Wallets, "rows", h.Rows, "digest", h.Digest.String()}
}

// rest is the pause after a page that took some time.
func rest(took time.Duration) time.Duration { return min(restFactor*took, longestRest) }

// sleep returns false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

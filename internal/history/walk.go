package history

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/rotatord/rotatord/internal/store"
)

// Source is a database to walk over: a [store.Store] or a [store.Reader].
type Source interface {
	HistoryPage(context.Context, store.HistorySpan) (*store.HistoryPage, error)
}

// Scope says which histories.
type Scope struct {
	// Wallets, each once and in ascending order; empty: all.
	Wallets []int64
	// From is the first wallet; those below it are left out.
	From int64
}

// All is the scope of a whole walk.
func All() Scope { return Scope{From: math.MinInt64} }

func (s Scope) has(walletID int64) bool {
	if walletID < s.From {
		return false
	}
	_, found := slices.BinarySearch(s.Wallets, walletID)
	return found || len(s.Wallets) == 0
}

// Walk goes over histories in the order of wallets and judges every row. It is
// made by NewWalk and not safe for concurrent use.
type Walk struct {
	// Broken is told of each break, as it is found.
	Broken func(Break)
	// Row, if not nil, gets each row before it is judged, with the hash that is
	// stored with the row before it (nil before the first).
	Row func(r store.StoredRow, previous []byte) error
	// Head is what the walk has come to.
	Head Head
	// BrokenWallets is for how many wallets something was broken, and Wallets
	// how many were looked at, those without any row included.
	BrokenWallets, Wallets int64

	source Source
	spans  []store.HistorySpan // still to be walked over
	chain  *chain              // under way; nil between two wallets
	breaks int                 // of the wallet under way
}

// NewWalk is a walk over a scope that has not begun.
func NewWalk(source Source, scope Scope) *Walk {
	w := &Walk{source: source, Broken: func(Break) {}}
	span := store.WholeHistory()
	span.Wallet = scope.From
	if len(scope.Wallets) == 0 {
		w.spans = append(w.spans, span)
	}
	for _, id := range scope.Wallets {
		if scope.has(id) {
			span.Wallet, span.To = id, id
			w.spans = append(w.spans, span)
		}
	}
	return w
}

// NextWallet is where another walk can go on: all wallets below it are done. It
// means nothing when the walk has come to its end.
func (w *Walk) NextWallet() int64 {
	if len(w.spans) == 0 {
		return math.MaxInt64
	}
	return w.spans[0].Wallet
}

// Run goes on to the end of the walk, or until ctx ends. After each page it
// calls progress, if that is not nil.
func (w *Walk) Run(ctx context.Context, progress func()) error {
	for {
		more, err := w.Step(ctx)
		if err != nil {
			return err
		}
		if progress != nil {
			progress()
		}
		if !more {
			return nil
		}
	}
}

// Step takes one page. After an error, which is a failure to look and no
// verdict, the same step may be tried again, unless Row was the one to fail.
func (w *Walk) Step(ctx context.Context) (more bool, err error) {
	if len(w.spans) == 0 {
		return false, nil
	}
	span := &w.spans[0]
	page, err := w.source.HistoryPage(ctx, *span)
	if err != nil {
		return false, err
	}
	heads := page.Heads
	for _, r := range page.Rows {
		if w.chain == nil || w.chain.walletID != r.WalletID {
			heads = w.end(heads)
			n := below(heads, r.WalletID)
			w.idle(heads[:n])
			heads = heads[n:]
			w.chain = &chain{walletID: r.WalletID}
		}
		if w.Row != nil {
			if err := w.Row(r, w.chain.hash); err != nil {
				return false, err
			}
		}
		w.chain.add(r, w.broken)
	}
	if page.Cut {
		span.Wallet, span.Seq = w.chain.walletID, int64(w.chain.seq)
		return true, nil
	}
	w.idle(w.end(heads))
	if page.To < span.To {
		span.Wallet, span.Seq = page.To+1, store.BeforeFirst
	} else {
		w.spans = w.spans[1:]
	}
	return len(w.spans) > 0, nil
}

// end closes the wallet under way, if there is one, and returns the heads of
// later ones. A page starts with the head of the wallet that it goes on with.
func (w *Walk) end(heads []store.ChainHead) []store.ChainHead {
	if w.chain == nil {
		return heads
	}
	mine := heads[below(heads, w.chain.walletID):]
	n := ofFirst(mine, w.chain.walletID)
	w.close(mine[:n])
	return mine[n:]
}

// idle judges wallets that have no row.
func (w *Walk) idle(heads []store.ChainHead) {
	for len(heads) > 0 {
		n := ofFirst(heads, heads[0].WalletID)
		w.chain = &chain{walletID: heads[0].WalletID}
		w.close(heads[:n])
		heads = heads[n:]
	}
}

func (w *Walk) close(heads []store.ChainHead) {
	c := w.chain
	c.end(heads, w.broken)
	if c.rows > 0 {
		w.Head.add(c.walletID, c.seq, c.hash, c.rows)
	}
	w.Wallets++
	if w.breaks > 0 {
		w.BrokenWallets++
	}
	w.chain, w.breaks = nil, 0
}

func (w *Walk) broken(b Break) {
	w.breaks++
	w.Broken(b)
}

// below is how many heads are those of wallets below id.
func below(heads []store.ChainHead, id int64) int {
	n, _ := slices.BinarySearchFunc(heads, id, func(h store.ChainHead, id int64) int { return cmp.Compare(h.WalletID, id) })
	return n
}

// ofFirst is how many heads at the beginning are those of wallet id.
func ofFirst(heads []store.ChainHead, id int64) int {
	n := slices.IndexFunc(heads, func(h store.ChainHead) bool { return h.WalletID != id })
	if n < 0 {
		return len(heads)
	}
	return n
}

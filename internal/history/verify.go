package history

import (
	"context"
	"fmt"
	"io"
)

// Verification of histories. Source is required, everything else may be left
// out.
type Verification struct {
	Source Source
	Scope  Scope
	// Copy is the outside copy to compare with; it is read twice, from its
	// beginning. Nil: none.
	Copy io.ReadSeeker
	// Broken is told of each break, as it is found.
	Broken func(Break)
	// Progress is called after each page, with what has been done.
	Progress func(*Report)
}

// Report is what a verification has come to.
type Report struct {
	Head
	// Looked is how many wallets were looked at, with a history or without.
	Looked int64 `json:"looked_at"`
	// Broken is for how many wallets the history does not verify; Differing how
	// many have another one than the copy.
	Broken    int64 `json:"broken"`
	Differing int64 `json:"differing"`
	// From is the first wallet; nil: the walk began at the beginning.
	From *int64 `json:"from_wallet,omitempty"`
	// Complete: the walk came to its end. If not, it can go on at Next.
	Complete bool  `json:"complete"`
	Next     int64 `json:"next_wallet,omitempty"`
}

// Whole says that nothing was found to be wrong.
func (r *Report) Whole() bool { return r.Broken == 0 && r.Differing == 0 }

// Run verifies until the end or until ctx ends. The report is true also when
// there is an error: of as much as was looked at. [ErrCopy]: the copy cannot be
// relied on, and nothing was looked at.
func (v Verification) Run(ctx context.Context) (*Report, error) {
	if v.Broken == nil {
		v.Broken = func(Break) {}
	}
	w := NewWalk(v.Source, v.Scope)
	w.Broken = v.Broken
	var c *comparison
	if v.Copy != nil {
		var err error
		if c, err = v.compare(); err != nil {
			return v.report(w, nil), err
		}
		w.Row = c.row
	}
	err := w.Run(ctx, func() {
		if v.Progress != nil {
			v.Progress(v.report(w, c))
		}
	})
	if err == nil && c != nil {
		err = c.end()
	}
	r := v.report(w, c)
	r.Complete = err == nil
	if r.Complete {
		r.Next = 0
	}
	return r, err
}

// compare checks the copy itself before anything is compared with it.
func (v Verification) compare() (*comparison, error) {
	breaks := 0
	t, err := CheckCopy(v.Copy, func(Break) { breaks++ })
	if err != nil {
		return nil, err
	}
	if breaks > 0 && t.Broken == 0 {
		return nil, fmt.Errorf("%w: its rows are not chained as they were when it was exported: verify it by itself", ErrCopy)
	}
	if _, err := v.Copy.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the copy again: %w", err)
	}
	return compare(NewCopyReader(v.Copy), v.Scope, v.Broken)
}

func (v Verification) report(w *Walk, c *comparison) *Report {
	r := &Report{Head: w.Head, Looked: w.Wallets, Broken: w.BrokenWallets, Next: w.NextWallet()}
	if v.Scope.From != All().From {
		r.From = &v.Scope.From
	}
	if c != nil {
		r.Differing = c.differing
	}
	return r
}

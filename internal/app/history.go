package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/history"
	"github.com/rotatord/rotatord/internal/store"
)

// HistoryOptions say which histories are read, and under which login. A member
// of rotatord_readonly will do.
type HistoryOptions struct {
	DatabaseURL string
	// Wallets by id, or one by what its vendor calls it; neither: all.
	Wallets              []int64
	Provider, ExternalID string
	// From is the first wallet to read; nil: from the beginning.
	From *int64
	// Broken is told of each break as it is found. Progress may be nil.
	Broken   func(history.Break)
	Progress func(done *history.Report, first, last int64)
}

// VerifyHistory verifies histories, against an outside copy if there is one. The
// report is never nil; see [history.Verification.Run]. [store.ErrNoWallet] when
// one that was asked for is not known.
func VerifyHistory(ctx context.Context, o HistoryOptions, outside io.ReadSeeker) (*history.Report, error) {
	r, scope, err := o.open(ctx)
	if err != nil {
		return &history.Report{}, err
	}
	defer r.Close(ctx)
	progress, err := o.progress(ctx, r)
	if err != nil {
		return &history.Report{}, err
	}
	report, err := history.Verification{Source: r, Scope: scope, Copy: outside, Broken: o.Broken, Progress: progress}.Run(ctx)
	if err == nil && len(scope.Wallets) > 0 && report.Looked == 0 && report.Whole() {
		err = fmt.Errorf("%w: id %d", store.ErrNoWallet, scope.Wallets[0])
	}
	return report, err
}

// ExportHistory writes a copy of histories to out. The report is never nil; see
// [history.Export.Run].
func ExportHistory(ctx context.Context, o HistoryOptions, format history.Format, since time.Time, out io.Writer) (*history.Report, error) {
	r, scope, err := o.open(ctx)
	if err != nil {
		return &history.Report{}, err
	}
	defer r.Close(ctx)
	progress, err := o.progress(ctx, r)
	if err != nil {
		return &history.Report{}, err
	}
	e := history.Export{Source: r, Scope: scope, Since: since, Format: format, Broken: o.Broken, Progress: progress}
	if e.Schema, e.Now, err = r.Schema(ctx); err != nil {
		return &history.Report{}, err
	}
	return e.Run(ctx, out)
}

func (o HistoryOptions) open(ctx context.Context) (*store.Reader, history.Scope, error) {
	scope := history.All()
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	r, err := store.ConnectReader(connecting, o.DatabaseURL)
	if err != nil {
		return nil, scope, OneLine(err)
	}
	scope.Wallets = slices.Compact(slices.Sorted(slices.Values(o.Wallets)))
	if o.Provider != "" {
		if scope.Wallets, err = r.WalletIDs(ctx, o.Provider, o.ExternalID); err != nil {
			r.Close(ctx)
			return nil, scope, err
		}
	}
	if o.From != nil {
		scope.From = *o.From
	}
	return r, scope, nil
}

func (o HistoryOptions) progress(ctx context.Context, r *store.Reader) (func(*history.Report), error) {
	if o.Progress == nil {
		return nil, nil
	}
	first, last, err := r.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	return func(done *history.Report) { o.Progress(done, first, last) }, nil
}

package history

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestWalkThatIsStopped goes on where it says, and comes to the same.
func TestWalkThatIsStopped(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3, 4, 5)
	for id := range int64(5) {
		f.grow(id+1, 3)
	}
	f.meddle()
	f.exec(`UPDATE share_set_history SET actor = 'x' WHERE wallet_id = 4 AND seq = 2`)
	whole, wantBreaks := f.verify(f, nil)
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		pages, rows, wallets, broken := 0, int64(0), int64(0), int64(0)
		var breaks []Break
		reader := f.reader() // an interrupted query costs the connection
		v := Verification{Source: small{reader, 2, 2}, Scope: All(), Broken: func(b Break) { breaks = append(breaks, b) }, Progress: func(*Report) {
			if pages++; pages == stop {
				cancel()
			}
		}}
		first, err := v.Run(ctx)
		if err == nil {
			cancel()
			if stop < 8 {
				t.Errorf("only %d pages", stop)
			}
			break
		}
		if !errors.Is(err, context.Canceled) || first.Complete {
			t.Fatalf("%v, %+v", err, first)
		}
		breaks = slices.DeleteFunc(breaks, func(b Break) bool { return b.WalletID >= first.Next }) // will be told again
		v.Scope.From, v.Progress, v.Source = first.Next, nil, f
		second, err := v.Run(t.Context())
		if err != nil || second.From == nil || *second.From != first.Next || !second.Complete {
			t.Fatalf("%v, %+v", err, second)
		}
		for _, r := range []*Report{first, second} {
			rows, wallets, broken = rows+r.Rows, wallets+r.Wallets, broken+r.Broken
		}
		if rows != whole.Rows || wallets != whole.Wallets || broken != whole.Broken || !slices.Equal(breaks, wantBreaks) {
			t.Errorf("stopped after %d pages: %+v and %+v, %v; want %+v and %v", stop, first, second, breaks, whole, wantBreaks)
		}
	}
}

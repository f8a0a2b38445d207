package history

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// Format of an export.
type Format string

// JSONL can be read back and compared with; CSV is for other programs.
const (
	JSONL Format = "jsonl"
	CSV   Format = "csv"
)

// Export writes a copy of histories. All fields but Since, Broken and Progress
// are required.
type Export struct {
	Source Source
	Scope  Scope
	// Since leaves out what stands in a wallet's history before its first row
	// that was decided at this time or later; zero: nothing.
	Since  time.Time
	Format Format
	// Schema and Now are what the trailer says about the database.
	Schema int
	Now    time.Time
	// Broken is told of each break: an export judges what it writes, and goes
	// on.
	Broken func(Break)
	// Progress is called after each page.
	Progress func(*Report)
}

// Run writes to out, the trailer last: an export without it never came to its
// end. The history is written as it stands, broken or not; the report and the
// trailer say which.
func (e Export) Run(ctx context.Context, out io.Writer) (*Report, error) {
	f := &copyWriter{out: bufio.NewWriterSize(out, 1<<16), sum: sha256.New(), since: e.Since, format: e.Format}
	w := NewWalk(e.Source, e.Scope)
	if e.Broken != nil {
		w.Broken = e.Broken
	}
	w.Row = f.row
	report := func() *Report {
		return &Report{Head: f.tally.head, Looked: w.Wallets, Broken: w.BrokenWallets, Next: w.NextWallet()}
	}
	err := f.begin()
	if err == nil {
		err = w.Run(ctx, func() {
			if e.Progress != nil {
				e.Progress(report())
			}
		})
	}
	if err == nil {
		err = f.end(Trailer{Format: copyFormat, Schema: e.Schema, ExportedAt: micros(e.Now), OnlyWallets: e.Scope.Wallets,
			Since: nullTime(e.Since), Broken: w.BrokenWallets})
	}
	r := report()
	if r.Complete = err == nil; r.Complete {
		r.Next = 0
	}
	return r, err
}

// copyWriter writes the lines of a copy.
type copyWriter struct {
	out    *bufio.Writer
	sum    hash.Hash
	since  time.Time
	format Format
	tally  tally
	wallet int64
	begun  bool // wallet is being written
	buf    []byte
}

func (f *copyWriter) row(r store.StoredRow, previous []byte) error {
	if r.WalletID != f.wallet {
		f.wallet, f.begun = r.WalletID, false
	}
	if !f.begun && r.DecidedAt.Before(f.since) {
		return nil
	}
	f.begun = true
	f.tally.add(Row{r, previous})
	return f.write(lineOf(r, previous))
}

func (f *copyWriter) begin() error {
	if f.format != CSV {
		return nil
	}
	return f.record(csvColumns)
}

func (f *copyWriter) write(l line) (err error) {
	if f.format == CSV {
		return f.record(l.fields())
	}
	if f.buf, err = encode(f.buf[:0], l); err != nil {
		return fmt.Errorf("writing row %d of wallet %d: %w", l.Seq, l.WalletID, err)
	}
	return f.bytes()
}

func (f *copyWriter) record(fields []string) error {
	f.buf = f.buf[:0]
	w := csv.NewWriter((*lineBuffer)(&f.buf))
	if err := w.Write(fields); err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	w.Flush() // into memory: it cannot fail
	return f.bytes()
}

func (f *copyWriter) bytes() error {
	f.sum.Write(f.buf)
	if _, err := f.out.Write(f.buf); err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	return nil
}

// end writes the trailer: a line of its own, in CSV as a comment.
func (f *copyWriter) end(t Trailer) (err error) {
	t.Head, t.Last = f.tally.end()
	f.sum.Sum(t.SHA256[:0])
	if f.format == CSV {
		if _, err = f.out.WriteString("# "); err != nil {
			return fmt.Errorf("writing the copy: %w", err)
		}
	}
	if f.buf, err = encode(f.buf[:0], struct {
		Trailer Trailer `json:"trailer"`
	}{t}); err != nil {
		return fmt.Errorf("writing the trailer: %w", err)
	}
	if err = f.bytes(); err == nil {
		err = f.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	return nil
}

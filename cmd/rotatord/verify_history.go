package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/history"
)

func newVerifyHistory(c *cli) *cobra.Command {
	var h histories
	var against, file string
	var from int64
	cmd := &cobra.Command{
		Use:   "verify-history (--config FILE | --database-url URL | --file FILE) [flags]",
		Short: "Find what was changed in the history",
		Long: `verify-history reads the history of all wallets, or of some, and says of each row
that was changed, removed, added or moved, a line each: wallet, row, what is
wrong. It changes nothing and may be run on a standby.

A history that was computed anew, or cut together with its head, by somebody who
owns the database, verifies. It is found by comparing with a copy that was
written before and kept elsewhere: rotatord export, then --against. --file looks
at such a copy alone and needs no database.

Stopped by Ctrl-C, it says where to go on.

A URL on the command line is seen by others on this machine: leave the password
to PGPASSWORD or a password file.

Exit codes: 0 whole, 1 broken, 2 it could not be told: wrong use, or a database
or a copy that cannot be read.`,
	}
	h.addDatabase(cmd)
	h.addWallets(cmd)
	f := cmd.Flags()
	f.Int64Var(&from, "from-wallet", 0, "leave out the wallets below this `ID`")
	f.StringVar(&against, "against", "", "compare with the copy in this `FILE`, which rotatord export has written")
	f.StringVar(&file, "file", "", "verify the copy in this `FILE` by itself")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		if cmd.Flags().Changed("from-wallet") {
			h.o.From = &from
		}
		if file != "" {
			if cmd.Flags().NFlag() > 1 && !(cmd.Flags().NFlag() == 2 && cmd.Flags().Changed("output")) {
				return wrongUse(errors.New("--file verifies a copy by itself: leave out what is about a database"))
			}
			return c.verifyCopy(file, *out)
		}
		if err := h.settle(); err != nil {
			return err
		}
		return c.verifyHistory(ctx, h.o, against, *out)
	})
	return cmd
}

func (c *cli) verifyHistory(ctx context.Context, o app.HistoryOptions, against string, out output) error {
	var outside io.ReadSeeker
	if against != "" {
		f, err := os.Open(against)
		if err != nil {
			return wrongUse(fmt.Errorf("--against: %w", err))
		}
		defer f.Close()
		outside = f
	}
	p := newProgress(c.stderr)
	f := newFindings(c.stdout, out)
	o.Broken = func(b history.Break) { p.clear(); f.add(b) }
	o.Progress = p.show
	r, err := app.VerifyHistory(ctx, o, outside)
	p.clear()
	if errors.Is(err, history.ErrCopy) {
		err = fmt.Errorf("--against %s: %w", against, err)
	}
	if err == nil || r.Looked > 0 || f.n > 0 {
		logHead(c.stderr, "history verified", r)
		if failed := f.end(r, reportSentence(r, against != "")); failed != nil {
			return failed
		}
	}
	return verdict(ctx, r, f.n > 0, err)
}

// verifyCopy verifies a copy by itself. One that was cut or changed is a broken
// history.
func (c *cli) verifyCopy(path string, out output) error {
	file, err := os.Open(path)
	if err != nil {
		return wrongUse(fmt.Errorf("--file: %w", err))
	}
	defer file.Close()
	f := newFindings(c.stdout, out)
	t, err := history.CheckCopy(file, f.add)
	switch {
	case errors.Is(err, history.ErrCopy):
		return &exit{codeBroken, fmt.Errorf("%s: %w", path, err)}
	case err != nil:
		return cannotTell(fmt.Errorf("%s: %w", path, err))
	}
	text := fmt.Sprintf("The copy is whole: %d wallets with %d rows, exported %s.", t.Wallets, t.Rows, t.ExportedAt)
	if f.n > 0 {
		text = fmt.Sprintf("The copy is broken: %d breaks in %d wallets with %d rows, exported %s.", f.n, t.Wallets, t.Rows, t.ExportedAt)
	}
	if err := f.end(t, text+"\ndigest "+t.Digest.String()); err != nil {
		return err
	}
	if f.n > 0 {
		return &exit{code: codeBroken}
	}
	return nil
}

func reportSentence(r *history.Report, compared bool) string {
	text := fmt.Sprintf("Whole: %s verify", counted(r))
	if r.Broken > 0 {
		text = fmt.Sprintf("Broken: the history of %d wallets does not verify; %s were read", r.Broken, counted(r))
	}
	if idle := r.Looked - r.Wallets; idle > 0 {
		text += fmt.Sprintf(", and %d have no row", idle)
	}
	switch {
	case compared && r.Differing > 0:
		text += fmt.Sprintf(".\nThe history of %d wallets is not the one in the copy", r.Differing)
	case compared && r.Complete:
		text += ".\nEvery row of the copy is there, unchanged"
	}
	if !r.Complete {
		text += ".\nThis was not all"
	}
	return text + ".\ndigest " + r.Digest.String()
}

// findings prints breaks as they are found, in constant memory, and a result
// behind them.
type findings struct {
	w   io.Writer
	out output
	n   int64
	err error
}

func newFindings(w io.Writer, out output) *findings {
	return &findings{w: w, out: out}
}

func (f *findings) print(format string, args ...any) {
	if f.err == nil {
		_, f.err = fmt.Fprintf(f.w, format, args...)
	}
}

func (f *findings) add(b history.Break) {
	f.n++
	if f.out == outputTable {
		f.print("%s\n", b)
		return
	}
	f.separate()
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // numbers and a string
	}
	f.print("    %s", text)
}

// separate writes what belongs before a break.
func (f *findings) separate() {
	if f.n == 1 {
		f.print("{\n  \"breaks\": [\n")
	} else {
		f.print(",\n")
	}
}

// end prints the result: as JSON, or in words.
func (f *findings) end(result any, words string) error {
	if f.out == outputTable {
		f.print("%s\n", words)
		return f.err
	}
	text, err := json.MarshalIndent(result, "  ", "  ")
	if err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	if f.n == 0 {
		f.print("{\n  \"breaks\": [")
	} else {
		f.print("\n  ")
	}
	f.print("],\n  \"result\": %s\n}\n", text)
	return f.err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/history"
)

func newExport(c *cli) *cobra.Command {
	var h histories
	var path, since string
	format := formatFlag(history.JSONL)
	cmd := &cobra.Command{
		Use:   "export (--config FILE | --database-url URL) [flags]",
		Short: "Write a copy of the history, to be kept elsewhere",
		Long: `export writes the history of all wallets, or of some, one row in each line, and
at the end a line that pins it: how many wallets and rows, a digest of all heads,
a checksum of the lines. A copy without that line never came to its end.

Keep the copy where those who own the database cannot write, and compare with
rotatord verify-history --against FILE.

The history is verified on the way. What is broken is said on standard error and
written as it stands.

A URL on the command line is seen by others on this machine: leave the password
to PGPASSWORD or a password file.

Exit codes: 0 exported and whole, 1 exported and broken, 2 not exported.`,
	}
	h.addDatabase(cmd)
	f := cmd.Flags()
	f.Var(&format, "format", "jsonl can be verified and compared with; csv is for other programs")
	f.StringVar(&path, "output", "", "`FILE` to write, which must not exist yet; if not given, standard output")
	h.addWallets(cmd)
	f.StringVar(&since, "since", "", "leave out what was decided before this `TIME`, such as 2026-03-01 or 2026-03-01T12:00:00Z")
	cmd.RunE = runs(func(ctx context.Context, _ *cobra.Command) error {
		if err := h.settle(); err != nil {
			return err
		}
		after, err := parseTime("--since", since)
		if err != nil {
			return wrongUse(err)
		}
		return c.export(ctx, h.o, history.Format(format), after, path)
	})
	return cmd
}

// formatFlag is the value of --format.
type formatFlag history.Format

// String, Set and Type implement pflag.Value.
func (f *formatFlag) String() string { return string(*f) }
func (f *formatFlag) Type() string   { return "jsonl|csv" }
func (f *formatFlag) Set(s string) error {
	switch history.Format(s) {
	case history.JSONL, history.CSV:
		*f = formatFlag(s)
		return nil
	}
	return errors.New("write jsonl or csv")
}

// parseTime reads a moment or a day, in UTC, that was given to a flag; empty is
// the zero time.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %.40q is not a time: write a day such as 2026-03-01, or 2026-03-01T12:00:00Z", flag, text)
}

func (c *cli) export(ctx context.Context, o app.HistoryOptions, format history.Format, since time.Time, path string) error {
	out := io.Writer(c.stdout)
	keep := func() error { return nil }
	if path != "" {
		file, err := createCopy(path)
		if err != nil {
			return wrongUse(fmt.Errorf("--output: %w", err))
		}
		c.signals.onHurry(file.remove)
		defer file.remove()
		out, keep = file, file.keep
	}
	p := newProgress(c.stderr)
	o.Broken = func(b history.Break) { p.clear(); fmt.Fprintln(c.stderr, b) }
	o.Progress = p.show
	r, err := app.ExportHistory(ctx, o, format, since, out)
	p.clear()
	if err == nil {
		err = keep()
	}
	if stopped, early := interruption(ctx); err != nil && early {
		return &exit{stopped.exitCode(), err}
	}
	if err != nil {
		return cannotTell(err)
	}
	logHead(c.stderr, "history exported", r)
	if !r.Whole() {
		return &exit{codeBroken, fmt.Errorf("the history of %d wallets does not verify; it was exported as it stands", r.Broken)}
	}
	return nil
}

// copyFile is a file under another name until it is whole, so that nobody takes
// half a copy for one.
type copyFile struct {
	*os.File
	path string
}

func createCopy(path string) (*copyFile, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s exists already: a copy is never written over", path)
		}
		return nil, err
	}
	f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &copyFile{f, path}, nil
}

// keep makes the copy durable under its name.
func (f *copyFile) keep() error {
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing the copy: %w", err)
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return fmt.Errorf("giving the copy its name: %w", err)
	}
	return nil
}

// remove lets go of a copy that was not kept. After keep there is none.
func (f *copyFile) remove() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}

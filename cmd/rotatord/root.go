package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes, next to those of a process that a signal ended.
const (
	codeFailed   = 1 // what was asked for did not work
	codeWrongUse = 2 // what was asked for makes no sense: a bad flag or file
)

// cli is what all commands share.
type cli struct {
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
	signals        *signals // nil in tests
}

// exit is an error of a command that has run, with its exit code.
type exit struct {
	code int
	err  error // nil: everything has been said
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *exit) Unwrap() error { return e.err }

// wrongUse marks an error as one of the caller.
func wrongUse(err error) error { return &exit{codeWrongUse, err} }

// runs makes a command's function out of f. What comes from cobra itself never
// passes here, which is how a wrong flag is told from a failure.
func runs(f func(context.Context, *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		err := f(cmd.Context(), cmd)
		var coded *exit
		if err == nil || errors.As(err, &coded) {
			return err
		}
		return &exit{codeFailed, err}
	}
}

// execute runs the command line and returns the exit code. An error is said in
// one sentence on standard error; a configuration with several mistakes gets
// one for each.
func execute(ctx context.Context, c *cli, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var coded *exit
	if !errors.As(err, &coded) {
		fmt.Fprintf(c.stderr, "rotatord: %s; see %s --help\n", firstLine(err.Error()), cmd.CommandPath())
		return codeWrongUse
	}
	if coded.err != nil {
		for line := range strings.Lines(coded.err.Error()) {
			fmt.Fprintf(c.stderr, "rotatord: %s\n", strings.TrimRight(line, "\n"))
		}
	}
	return coded.code
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "rotatord",
		Short: "Refreshes the MPC key shares of wallets on schedule",
		Long: `rotatord refreshes the MPC key shares of wallets on schedule. Policies and
wallets are rows in PostgreSQL; each rotation is a crash-safe two-phase commit
between the vendor and the holder of the customer's share.

Exit codes: 0 it worked, 1 it failed, 2 wrong use or a bad configuration.`,
		Args:               cobra.NoArgs,
		SilenceErrors:      true, // execute says them
		SilenceUsage:       true, // one sentence is enough
		DisableSuggestions: true,
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(newServe(c), newMigrate(c), newValidate(c), newSandbox(c), newDemo(c), newVersion(c))
	for _, cmd := range root.Commands() {
		cmd.Args = cobra.NoArgs
		cmd.Flags().SortFlags = false
		cmd.DisableFlagsInUseLine = true
	}
	return root
}

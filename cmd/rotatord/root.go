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
	stdin          io.Reader // nil: nobody can be asked
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
	root.SetArgs(append([]string{}, args...)) // nil would mean those of the process
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var coded *exit
	if !errors.As(err, &coded) {
		fmt.Fprintf(c.stderr, "rotatord: %s; see %s --help\n", strings.Join(sentences(err), " "), cmd.CommandPath())
		return codeWrongUse
	}
	for _, sentence := range sentences(coded.err) {
		fmt.Fprintf(c.stderr, "rotatord: %s\n", sentence)
	}
	return coded.code
}

// sentences is one line for each error of a list, and one for any other.
func sentences(err error) []string {
	if err == nil {
		return nil
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		var out, plain []string
		for _, each := range list.Unwrap() {
			out = append(out, sentences(each)...)
			plain = append(plain, each.Error())
		}
		// What says more than the errors it is made of is no mere list.
		if strings.Join(plain, "\n") == err.Error() {
			return out
		}
	}
	return []string{strings.Join(strings.Fields(err.Error()), " ")}
}

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "rotatord",
		Short: "Refreshes the MPC key shares of wallets on schedule",
		Long: `rotatord refreshes the MPC key shares of wallets on schedule. Policies and
wallets are rows in PostgreSQL; each rotation is a crash-safe two-phase commit
between the vendor and the holder of the customer's share.

Exit codes: 0 it worked, 1 it failed, 2 wrong use or a bad configuration.`,
		SilenceErrors:      true, // execute says them
		SilenceUsage:       true, // one sentence is enough
		DisableSuggestions: true,
		CompletionOptions:  cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(newServe(c), newMigrate(c), newValidate(c), newPlan(c), newPolicies(c), newWallets(c), newReconcile(c), newRotate(c), newPause(c), newResume(c), newRetry(c), newAbort(c), newDiscard(c), newVerifyHistory(c), newExport(c), newSandbox(c), newDemo(c), newVersion(c))
	root.AddCommand(newTorture(c)) // hidden
	root.SetHelpCommand(newHelp())
	settle(root.Commands())
	return root
}

// settle gives commands what all of them have in common.
func settle(commands []*cobra.Command) {
	for _, cmd := range commands {
		if cmd.Args == nil {
			cmd.Args = cobra.NoArgs
		}
		cmd.Flags().SortFlags = false
		cmd.DisableFlagsInUseLine = true
		settle(cmd.Commands())
	}
}

// newHelp is cobra's own, but that it refuses what it does not know.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("there is no command %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/store"
)

func newPolicies(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policies COMMAND",
		Short: "Show the edits of a policy, and go back to one",
		Long:  `policies has the commands about what was edited in the table rotation_policies.`,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPoliciesLog(c), newPoliciesRevert(c))
	return cmd
}

// policyFlags are those that both commands have.
type policyFlags struct{ path, url string }

func (p *policyFlags) add(cmd *cobra.Command, login string) {
	cmd.Flags().StringVar(&p.path, "config", "", "the configuration `FILE`, of which only the section database is read")
	cmd.Flags().StringVar(&p.url, "database-url", "", "`URL` of the database, instead of the configuration's; with the login of "+login)
}

func (p *policyFlags) database() (string, error) {
	switch {
	case p.path == "" && p.url == "":
		return "", errors.New("which database? give --config or --database-url")
	case p.url != "":
		return p.url, nil
	}
	return databaseOf(p.path)
}

func newPoliciesLog(c *cli) *cobra.Command {
	var p policyFlags
	var last int
	cmd := &cobra.Command{
		Use:   "log NAME (--config FILE | --database-url URL) [flags]",
		Short: "Show who changed what in a policy, and when",
		Long: `log shows the edits of a policy, the latest one first: the version that it made,
when, under which login and by whom, why if that was said, and each column with its
old and new value. Plain SQL names an actor and a reason by
  SET rotatord.actor = 'alice'; SET rotatord.reason = 'ticket 4711';

Of the version that runs and of the latest one it says what the daemon thinks;
verdicts on those before are not kept. A policy that was deleted has its edits
still. A login that may only read will do.`,
	}
	p.add(cmd, "somebody who may read")
	cmd.Flags().IntVar(&last, "last", 20, "so many `EDITS`; 0 for all")
	out := addOutput(cmd)
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runs(func(ctx context.Context, _ *cobra.Command) error {
			if last < 0 {
				return wrongUse(errors.New("--last is negative: write 0 for all edits"))
			}
			dsn, err := p.database()
			if err != nil {
				return wrongUse(err)
			}
			edits, err := app.PolicyLog(ctx, dsn, args[0], last)
			switch {
			case errors.Is(err, store.ErrNoPolicy):
				return wrongUse(err)
			case err != nil:
				return err
			case *out == outputJSON:
				return printJSON(c.stdout, edits)
			}
			return printEdits(c.stdout, edits)
		})(cmd, args)
	}
	return cmd
}

func printEdits(w io.Writer, edits []app.Edit) error {
	for i, e := range edits {
		if i > 0 {
			fmt.Fprintln(w)
		}
		who := e.Login
		if e.Actor != "" {
			who = e.Actor + " as " + e.Login
		}
		fmt.Fprintf(w, "version %d  %s UTC  %s by %s", e.Version, e.At.Format(utcTime), e.Operation, who)
		if e.Verdict != "" {
			fmt.Fprintf(w, "  (%s)", e.Verdict)
		}
		fmt.Fprintln(w)
		if e.Reason != "" {
			fmt.Fprintf(w, "  reason: %s\n", e.Reason)
		}
		if e.Error != "" {
			fmt.Fprintf(w, "  refused: %s\n", e.Error)
		}
		if err := printChanges(w, e.Changes); err != nil {
			return err
		}
	}
	return nil
}

func printChanges(w io.Writer, changes []app.Change) error {
	if len(changes) == 0 {
		fmt.Fprintln(w, "    no column was changed")
	}
	for _, change := range changes {
		if _, err := fmt.Fprintf(w, "    %s\n", change); err != nil {
			return err
		}
	}
	return nil
}

func newPoliciesRevert(c *cli) *cobra.Command {
	var p policyFlags
	var yes bool
	var o app.RevertOptions
	cmd := &cobra.Command{
		Use:   "revert NAME --to VERSION (--config FILE | --database-url URL) [flags]",
		Short: "Give a policy the values of a version before",
		Long: `revert shows what would change if a policy had the values of a version before, and
after a yes makes that edit. It is an edit as any other: it gets a version of its
own, the daemon judges it, and a changed schedule counts from now.

The name, enabled and paused_reason stay as they are, so that going back never
starts what a person has stopped since. If somebody edits the policy between the
question and the answer, nothing is changed.

It takes a login that is a member of the role rotatord_operator.

Exit codes: 0 it was reverted, 1 nobody agreed to it, or it could not be done,
2 wrong use: also when there is no such version, or nothing to revert.`,
	}
	f := cmd.Flags()
	f.Int64Var(&o.To, "to", 0, "the `VERSION` to go back to, as rotatord policies log shows it")
	p.add(cmd, "an operator")
	f.StringVar(&o.Actor, "actor", "", "`WHO` asks; if not given, the user of this machine as "+defaultActor("USER", "HOST"))
	f.StringVar(&o.Reason, "reason", "", "`WHY`")
	f.BoolVar(&yes, "yes", false, "do not ask at the terminal")
	out := addOutput(cmd)
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // there is such a flag
	}
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runs(func(ctx context.Context, _ *cobra.Command) (err error) {
			o.Policy = args[0]
			if o.DatabaseURL, err = p.database(); err != nil {
				return wrongUse(err)
			}
			if o.Actor == "" {
				o.Actor = thisPerson()
			}
			o.Confirm = func(r *app.Reverted) (bool, error) {
				shown := c.stdout
				if *out == outputJSON {
					shown = c.stderr // where the question is
				}
				fmt.Fprintf(shown, "Policy %s from version %d to the values of version %d:\n", r.Policy, r.From, r.To)
				if err := printChanges(shown, r.Changes); err != nil {
					return false, err
				}
				return true, c.confirmed(ctx, yes, "this edits policy "+r.Policy)
			}
			r, err := app.Revert(ctx, o)
			switch {
			case errors.Is(err, store.ErrNoPolicy), errors.Is(err, store.ErrNoVersion), errors.Is(err, app.ErrNothingToRevert):
				return wrongUse(err)
			case errors.Is(err, store.ErrMayNot) && p.url == "":
				return fmt.Errorf("%w; give --database-url", err)
			case err != nil:
				return err
			case *out == outputJSON:
				return printJSON(c.stdout, r)
			}
			_, err = fmt.Fprintf(c.stdout, "Policy %s is at version %d now. The daemon's verdict will be in policy_status.\n", r.Policy, r.Version)
			return err
		})(cmd, args)
	}
	return cmd
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/store"
)

func newPause(c *cli) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "pause (--wallet ID | --policy NAME | --provider NAME | --all) --reason WHY [flags]",
		Short: "Keep rotations of a wallet, a policy, a provider, or all, from beginning",
		Long: `pause keeps attempts from beginning. An attempt that is open comes to its end: one
past prepared is promoted and committed, one that fails before is given up and
begun again only after the pause. Old share sets are cleaned up meanwhile, and
wallets are compared. The daemon heeds it within a second.

It is the same as an edit by SQL of wallets.paused_reason,
rotation_policies.paused_reason or rotation_control, and takes a login that is a
member of the role rotatord_operator. A target that is paused already stays so,
with the reason it has.

Exit codes: 0 it is paused, 1 nobody agreed to it, 2 wrong use, or it could not
be done.`,
	}
	s := addSteering(cmd, reach{verb: "pause", policy: true, provider: true, all: true}, true)
	cmd.Flags().BoolVar(&yes, "yes", false, "with --all: do not ask at the terminal")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		if err := s.settle(cmd); err != nil {
			return err
		}
		if s.everyone {
			if err := c.confirmed(ctx, yes, "this keeps all rotations of all wallets from beginning"); err != nil {
				return err
			}
		}
		p, err := app.Pause(ctx, s.o)
		if err != nil {
			return couldNot(ctx, err)
		}
		if *out == outputJSON {
			return printJSON(c.stdout, p)
		}
		return printPaused(c.stdout, p, map[bool]string{true: "is paused", false: "was paused already"}[p.Changed])
	})
	return cmd
}

func newResume(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume (--wallet ID | --policy NAME | --provider NAME | --all) [flags]",
		Short: "End a pause",
		Long: `resume ends a pause of exactly this target: a wallet whose policy is paused as
well stays held by that, and resume says so. Policies and wallets with enabled =
false are not paused but disabled, and stay so. Rotations go on in the cycle they
were in, if its window is still open.

It takes a login that is a member of the role rotatord_operator.

Exit codes: 0 it is not paused any more, 2 wrong use, or it could not be done.`,
	}
	s := addSteering(cmd, reach{verb: "resume", policy: true, provider: true, all: true}, false)
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		if err := s.settle(cmd); err != nil {
			return err
		}
		p, err := app.Resume(ctx, s.o)
		if err != nil {
			return couldNot(ctx, err)
		}
		if *out == outputJSON {
			return printJSON(c.stdout, p)
		}
		return printPaused(c.stdout, p, map[bool]string{true: "is resumed", false: "was not paused"}[p.Changed])
	})
	return cmd
}

func printPaused(w io.Writer, p *app.Paused, done string) error {
	fmt.Fprintf(w, "%s %s.\n", upperFirst(p.Target), done)
	for _, why := range p.Holds {
		fmt.Fprintf(w, "Held: %s.\n", why)
	}
	var under []string
	for _, state := range []store.State{store.Opening, store.Ceremony, store.Prepared, store.Promoted} {
		if n := p.UnderWay[state]; n > 0 {
			under = append(under, fmt.Sprintf("%d in %s", n, state))
		}
	}
	if len(under) > 0 && len(p.Holds) > 0 {
		fmt.Fprintf(w, "Attempts that are open come to their end: %s.\n", strings.Join(under, ", "))
	}
	return nil
}

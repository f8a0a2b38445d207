package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/store"
)

// howAsked ends the help of every command that leaves a request.
const howAsked = `

The request stands in rotation_requests, as one by SQL does, until a daemon
answers it; --wait waits for the answer. It takes a login that is a member of the
role rotatord_operator.

Exit codes: 0 it was requested and, with --wait, done; 1 the daemon refused, or
did not answer in time; 2 wrong use, or it could not be requested.`

func newRotate(c *cli) *cobra.Command {
	return newAsking(c, reach{verb: "rotate", policy: true}, &cobra.Command{
		Use:   "rotate (--wallet ID | --policy NAME) [flags]",
		Short: "Rotate a wallet, or all wallets of a policy, now",
		Long: `rotate requests a rotation of one wallet now, or a cycle of a policy by hand, with
its canary and its limits. Who is paused is not rotated.`,
	}, false)
}

func newRetry(c *cli) *cobra.Command {
	return newAsking(c, reach{verb: "retry", policy: true}, &cobra.Command{
		Use:   "retry (--wallet ID | --policy NAME) [flags]",
		Short: "Let a rotation that failed or waits go on now",
		Long: `retry has a rotation that has failed, waits between attempts or needs a person go
on now, with its attempts counted anew; or a clean-up that needs a person. With
--policy it does so for every wallet of the policy that waits like this.`,
	}, false)
}

func newAbort(c *cli) *cobra.Command {
	return newAsking(c, reach{verb: "abort"}, &cobra.Command{
		Use:   "abort --wallet ID --reason WHY [flags]",
		Short: "End a rotation that is not prepared yet",
		Long: `abort ends the open rotation of a wallet. An attempt that is open is given up on
record first, and the old share set stays. From prepared on the daemon refuses:
the rotation only goes forward. The next tick rotates the wallet again.`,
	}, true)
}

func newDiscard(c *cli) *cobra.Command {
	return newAsking(c, reach{verb: "discard"}, &cobra.Command{
		Use:   "discard --wallet ID --reason WHY [flags]",
		Short: "Start a prepared rotation over, once the vendor was checked",
		Long: `discard gives up the share set that a wallet's rotation has prepared, and starts
over. Who asks states that the vendor was looked at, and that the old share set is
the active one there: if the new one is, its share may be the only one that signs.
The co-signer keeps it in any case.`,
	}, true)
}

// newAsking makes a command that leaves requests.
func newAsking(c *cli, r reach, cmd *cobra.Command, needsReason bool) *cobra.Command {
	cmd.Long += howAsked
	var yes bool
	s := addSteering(cmd, r, needsReason)
	cmd.Flags().DurationVar(&s.o.Wait, "wait", 0, "wait so `LONG` for the daemon's answer, such as 1m")
	if r.verb == "discard" {
		cmd.Flags().BoolVar(&yes, "yes", false, "the vendor was checked: do not ask at the terminal")
	}
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		if err := s.settle(cmd); err != nil {
			return err
		}
		if r.verb == "discard" {
			if err := c.confirmed(ctx, yes, fmt.Sprintf("discarding states that the vendor was checked and still uses the old share set of %s", s.o.Target)); err != nil {
				return err
			}
		}
		asked, err := app.Ask(ctx, r.verb, s.o)
		if asked != nil {
			if err := printAsked(c.stdout, *out, asked, s.o.Wait > 0 && err == nil, s.o.Wait); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			return couldNot(ctx, err)
		case asked.Count(store.RequestRefused) > 0, s.o.Wait > 0 && asked.Count(store.RequestOpen) > 0:
			return &exit{codeRefused, nil}
		}
		return nil
	})
	return cmd
}

// printAsked says what was requested and answered. waited: for so long, and to
// the end of it.
func printAsked(w io.Writer, as output, r *app.Requested, waited bool, long time.Duration) error {
	if as == outputJSON {
		return printJSON(w, r)
	}
	if len(r.Requests) == 0 {
		_, err := fmt.Fprintf(w, "Nothing was requested: no rotation of %s waits after a failure or for a person.\n", r.Target)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "REQUEST\tTARGET\tANSWER\tDETAIL\n")
	for _, q := range r.Requests {
		target := app.Target{WalletID: q.WalletID, Policy: q.Policy}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", q.RequestID, target, q.State, dash(q.Detail))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if open := r.Count(store.RequestOpen); open > 0 && waited {
		fmt.Fprintf(w, "\nOf %d requests %d are still open after %s: is a daemon running?\n", len(r.Requests), open, long)
	}
	for _, why := range r.Holds {
		fmt.Fprintf(w, "\nHeld: %s.\n", why)
	}
	return nil
}

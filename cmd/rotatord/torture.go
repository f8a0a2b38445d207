package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/torture"
)

// newTorture is for those who work on rotatord, and so is not listed.
func newTorture(c *cli) *cobra.Command {
	o := torture.Options{}
	var lossy, keep bool
	cmd := &cobra.Command{
		Use:    "torture [flags]",
		Short:  "Break everything around real daemons, and see that no key is lost",
		Hidden: true,
		Long: `torture starts a PostgreSQL with a standby, the sandbox and a few daemons as
processes of their own, and breaks all of it at random for a while: kill -9,
processes that stop and wake, crashes and failovers of the database, restarts of
vendors and co-signer, and every fault of the sandbox. Then it mends everything,
waits until every wallet is settled, and judges each by the sandbox's truth.
docs/reliability.md says how to read what it prints.

Exit codes: 0 no violation, 1 a violation or it could not be run, 2 wrong use.`,
	}
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", 10*time.Minute, "how long to break things")
	f.IntVar(&o.Replicas, "replicas", 3, "number of daemons")
	f.IntVar(&o.Wallets, "wallets", 500, "number of wallets at Dynamic")
	f.IntVar(&o.Vaults, "vaults", 50, "number of vaults at Cobo")
	f.Int64Var(&o.Seed, "seed", 0, "`SEED` of the plan; if not given, a random one")
	f.BoolVar(&lossy, "no-sync-standby", false, "let commits not wait for the standby, so that failovers lose some")
	f.BoolVar(&keep, "keep", false, "leave the daemons' logs and say where they are")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		switch {
		case o.For < time.Second:
			return wrongUse(errors.New("--for: write a second or more"))
		case o.Replicas < 1:
			return wrongUse(errors.New("--replicas: write 1 or more"))
		case o.Wallets < 0:
			return wrongUse(errors.New("--wallets: write 0 or more"))
		case o.Vaults < 0:
			return wrongUse(errors.New("--vaults: write 0 or more"))
		case o.Wallets+o.Vaults == 0:
			return wrongUse(errors.New("--wallets, --vaults: there is nothing to rotate; write 1 or more for one of them"))
		}
		o.Lossy = lossy
		if !cmd.Flags().Changed("seed") {
			o.Seed = rand.Int64N(1 << 31)
		}
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("looking for this program: %w", err)
		}
		o.Daemon = func(config string) *exec.Cmd { return exec.Command(self, "serve", "--config", config) }
		// What is read by programs must hold the result alone.
		o.Screen = c.stdout
		if *out == outputJSON {
			o.Screen = c.stderr
		}
		return c.runTorture(ctx, o, keep, *out)
	})
	return cmd
}

func (c *cli) runTorture(ctx context.Context, o torture.Options, keep bool, out output) (err error) {
	if o.Dir, err = os.MkdirTemp("", "rotatord-torture-*"); err != nil {
		return fmt.Errorf("making a folder for the logs: %w", err)
	}
	if keep {
		fmt.Fprintf(o.Screen, "logs are in %s\n", o.Dir)
	} else {
		remove := func() { _ = os.RemoveAll(o.Dir) } // nothing in it matters to anybody
		defer remove()
		c.signals.onHurry(remove)
	}
	summary, err := torture.Run(ctx, o)
	if err != nil {
		return err
	}
	printed := func(w io.Writer) error { return summary.Print(w) }
	if out == outputJSON {
		printed = func(w io.Writer) error { return printJSON(w, summary) }
	}
	if err := printed(c.stdout); err != nil {
		return err
	}
	if !summary.OK {
		return &exit{code: codeFailed}
	}
	return nil
}

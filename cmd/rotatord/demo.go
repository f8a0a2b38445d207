package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/demo"
)

// demoListen is where the demo's daemon listens, if nobody has the port.
const demoListen = "127.0.0.1:8080"

func newDemo(c *cli) *cobra.Command {
	o := demo.Options{Version: versionText()}
	var listen string
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "See it work: throwaway database, simulated vendors, real daemon",
		Long: `demo starts a PostgreSQL of its own, the sandbox, a few policies and the daemon,
shows what goes on, and ends with a table. Whether wallets still sign and old
shares do not is proven by the sandbox's signatures, not told by the daemon.

The PostgreSQL is the one at --database-url, or else at DATABASE_URL; what the
demo makes there is a database of its own, which it drops in the end (roles
stay). Without either it is started from the binaries on this machine, or from
a download.

Exit codes: 0 every check holds, 1 one does not or it could not be run, 2 wrong
use, 130 or 143 stopped by SIGINT or SIGTERM, with the table as far as it got.
Nothing stays behind in any of these cases.`,
	}
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", 30*time.Second, "how long to run; from 30s on, every wallet must rotate at least twice")
	f.IntVar(&o.Wallets, "wallets", 100, "number of wallets at Dynamic")
	f.IntVar(&o.Vaults, "vaults", 5, "number of vaults at Cobo")
	f.StringVar(&listen, "listen", demoListen, "`ADDRESS` of the daemon; if not given and taken, any free port")
	f.StringVar(&o.DatabaseURL, "database-url", "", "`URL` of a PostgreSQL that runs already, where a database can be created")
	f.Int64Var(&o.Seed, "seed", 1, "makes the sandbox's wallets reproducible")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, cmd *cobra.Command) error {
		switch {
		case o.For < time.Second:
			return wrongUse(errors.New("--for: write a second or more"))
		case o.Wallets < 0:
			return wrongUse(errors.New("--wallets: write 0 or more"))
		case o.Vaults < 0:
			return wrongUse(errors.New("--vaults: write 0 or more"))
		case o.Wallets+o.Vaults == 0:
			return wrongUse(errors.New("--wallets, --vaults: there is nothing to rotate; write 1 or more for one of them"))
		}
		if !cmd.Flags().Changed("database-url") {
			o.DatabaseURL, _ = c.lookupEnv("DATABASE_URL")
		}
		var err error
		if o.Listener, err = listenDemo(listen, cmd.Flags().Changed("listen")); err != nil {
			return err
		}
		dir, remove, err := c.shareFolder()
		if err != nil {
			return errors.Join(err, o.Listener.Close())
		}
		defer remove()
		o.ShareDir = dir
		// What is read by programs must hold the result alone.
		show := c.stdout
		if *out == outputJSON {
			show = c.stderr
		}
		o.Screen = demo.NewScreen(show, isTerminal(show))
		return c.finishDemo(ctx, o, *out)
	})
	return cmd
}

// finishDemo runs the demo and prints what came of it.
func (c *cli) finishDemo(ctx context.Context, o demo.Options, out output) error {
	summary, err := demo.Run(ctx, o)
	if summary != nil {
		printed := summary.Print
		if out == outputJSON {
			printed = func(w io.Writer) error { return printJSON(w, summary) }
		}
		err = errors.Join(err, printed(c.stdout))
	}
	return demoVerdict(ctx, summary, err)
}

// demoVerdict is the exit code of a demo. A failed check outweighs a signal:
// what is wrong must not pass for an interruption.
func demoVerdict(ctx context.Context, summary *demo.Summary, err error) error {
	stopped, early := interruption(ctx)
	switch {
	case early && err == context.Canceled: // and nothing else went wrong
		return &exit{code: stopped.exitCode()}
	case err != nil:
		return err
	case !summary.OK:
		return &exit{code: codeFailed}
	case early:
		return &exit{code: stopped.exitCode()}
	}
	return nil
}

// listenDemo takes any free port when nobody insists on one.
func listenDemo(address string, insisted bool) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil && !insisted {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return l, nil
}

// isTerminal says whether a person watches. Where that cannot be known for
// sure, as with /dev/null, nobody minds either.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

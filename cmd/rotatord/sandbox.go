package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

func newSandbox(c *cli) *cobra.Command {
	var (
		listen, dir     string
		wallets, vaults int
		seed            int64
		choices         []string
	)
	cmd := &cobra.Command{
		Use:   "sandbox [flags]",
		Short: "Run simulated vendors and a co-signer, to try things out",
		Long: `sandbox simulates Dynamic with a reference co-signer beside it, and Cobo with its
TSS nodes, with real share arithmetic: after each rotation it can prove that the
wallet still signs and that old shares do not. It prints as JSON where
everything is and the credentials for it, and runs until SIGINT or SIGTERM.

GET /_sandbox/state tells the truth about every wallet, PUT /_sandbox/faults
breaks things on purpose. Nothing under /_sandbox asks for credentials: keep it
on loopback.

What the vendors do not document can be switched with --assume:

` + assume.Describe(),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8070", "`ADDRESS` to listen on")
	f.IntVar(&wallets, "wallets", 10, "number of wallets at Dynamic")
	f.IntVar(&vaults, "vaults", 5, "number of vaults at Cobo")
	f.Int64Var(&seed, "seed", 1, "makes ids, credentials and keys reproducible")
	f.StringArrayVar(&choices, "assume", nil, "`KEY=VALUE` of the list above; may be repeated")
	f.StringVar(&dir, "cosigner-dir", "", "`DIR` where the co-signer keeps its shares; if not given, a temporary one")
	cmd.RunE = runs(func(ctx context.Context, _ *cobra.Command) error {
		assumed, err := assumptions(choices)
		switch {
		case err != nil:
			return wrongUse(err)
		case wallets < 0:
			return wrongUse(errors.New("--wallets: write 0 or more"))
		case vaults < 0:
			return wrongUse(errors.New("--vaults: write 0 or more"))
		}
		if dir == "" {
			made, remove, err := c.shareFolder()
			if err != nil {
				return err
			}
			defer remove()
			dir = made
		}
		return runSandbox(ctx, c, listen, sandbox.Options{Wallets: wallets, Vaults: vaults, Seed: seed, Assume: assumed, CosignerDir: dir})
	})
	return cmd
}

func runSandbox(ctx context.Context, c *cli, listen string, o sandbox.Options) error {
	o.Log = slog.New(slog.NewJSONHandler(c.stderr, nil))
	s, err := sandbox.New(o)
	if err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	url, err := s.Listen(listen)
	if err != nil {
		return errors.Join(fmt.Errorf("starting the sandbox: %w", err), s.Close())
	}
	if err := printJSON(c.stdout, s.Info(url)); err != nil {
		return errors.Join(err, s.Close())
	}
	<-ctx.Done()
	return s.Close()
}

// shareFolder is a temporary folder for a co-signer. It is gone after remove,
// and also when the process ends in a hurry.
func (c *cli) shareFolder() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "rotatord-cosigner-*")
	if err != nil {
		return "", nil, fmt.Errorf("making the co-signer's folder: %w", err)
	}
	remove = func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintf(c.stderr, "rotatord: the co-signer's folder stays behind: %v\n", err)
		}
	}
	c.signals.onHurry(remove)
	return dir, remove, nil
}

// assumptions reads the values of --assume and refuses unknown ones.
func assumptions(choices []string) (map[string]string, error) {
	chosen := map[string]string{}
	all := assume.All()
	for _, choice := range choices {
		key, value, ok := strings.Cut(choice, "=")
		if !ok {
			return nil, fmt.Errorf("--assume %q: write KEY=VALUE", choice)
		}
		if !slices.ContainsFunc(all, func(a assume.Assumption) bool { return a.Key == key }) {
			return nil, fmt.Errorf("--assume %q: there is no such assumption; rotatord sandbox --help lists them", choice)
		}
		if before, twice := chosen[key]; twice && before != value {
			return nil, fmt.Errorf("--assume %s is given as %q and as %q: choose one", key, before, value)
		}
		chosen[key] = value
	}
	if _, err := assume.Parse(chosen); err != nil {
		return nil, fmt.Errorf("--assume: %w", err)
	}
	return chosen, nil
}

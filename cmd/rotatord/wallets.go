package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/store"
)

func newWallets(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wallets COMMAND",
		Short: "Find wallets at a vendor",
		Long:  `wallets has the commands about the table wallets that plain SQL cannot do.`,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newWalletsSync(c))
	return cmd
}

func newWalletsSync(c *cli) *cobra.Command {
	var path string
	var o app.SyncOptions
	cmd := &cobra.Command{
		Use:   "sync --config FILE --provider NAME [flags]",
		Short: "Compare a vendor's wallets with the table, and insert what is missing",
		Long: `sync asks a vendor for its wallets and lists those that are not in the table, and
those that are in the table and not at the vendor. With --apply it inserts the
first kind. It never deletes or changes a row.

Not every wallet at a vendor can be rotated; what cannot is refused before its
first rotation, with the reason. Inserting takes a login that is a member of the
role rotatord_operator.

A URL on the command line is seen by others on this machine: leave the password
to PGPASSWORD or a password file.`,
	}
	addConfig(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&o.Provider, "provider", "", "`NAME` of the provider in the configuration")
	f.StringVar(&o.Policy, "policy", "", "`NAME` of the policy of new wallets; if not given, they are not rotated yet")
	f.BoolVar(&o.Apply, "apply", false, "insert what is missing; without it nothing is changed")
	f.StringVar(&o.DatabaseURL, "database-url", "", "`URL` of the database; if not given, that of the configuration")
	out := addOutput(cmd)
	if err := cmd.MarkFlagRequired("provider"); err != nil {
		panic(err) // there is such a flag
	}
	cmd.RunE = runs(func(ctx context.Context, _ *cobra.Command) error {
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		if o.DatabaseURL == "" && !cfg.Database.URL.IsSet() {
			return wrongUse(fmt.Errorf("%s names no database: set database.url, or give --database-url", path))
		}
		s, err := app.SyncWallets(ctx, cfg, o)
		switch {
		case errors.Is(err, app.ErrNoProvider) || errors.Is(err, store.ErrNoPolicy):
			return wrongUse(err)
		case errors.Is(err, store.ErrMayNot):
			return fmt.Errorf("%w; give --database-url", err)
		case err != nil:
			return err
		case *out == outputJSON:
			return printJSON(c.stdout, s)
		}
		return printSync(c.stdout, s)
	})
	return cmd
}

func printSync(w io.Writer, s *app.Sync) error {
	fmt.Fprintf(w, "%s: %d wallets at the vendor, %d in the table\n", s.Provider, s.AtVendor, s.InTable)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Missing) > 0 {
		fmt.Fprint(t, "\nNOT IN THE TABLE\tADDRESS\tCHAIN\n")
		for _, x := range s.Missing {
			fmt.Fprintf(t, "%s\t%s\t%s\n", x.ExternalID, dash(x.Address), dash(x.Chain))
		}
	}
	if len(s.NotAtVendor) > 0 {
		fmt.Fprint(t, "\nNOT AT THE VENDOR\tWALLET\tPOLICY\n")
		for _, x := range s.NotAtVendor {
			fmt.Fprintf(t, "%s\t%d\t%s\n", x.ExternalID, x.WalletID, dash(x.Policy))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", syncSentence(s))
	return err
}

// syncSentence says what was done, or what would be.
func syncSentence(s *app.Sync) string {
	under := "without a policy: they are not rotated until they get one"
	if s.Policy != "" {
		under = "under policy " + s.Policy
	}
	switch {
	case len(s.Missing) == 0:
		return "Nothing is missing."
	case s.Applied:
		return fmt.Sprintf("Inserted %d, %s.", s.Inserted, under)
	}
	return fmt.Sprintf("Nothing was changed. With --apply %d are inserted, %s.", len(s.Missing), under)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

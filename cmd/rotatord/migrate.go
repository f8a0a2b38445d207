package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/migrations"
)

func newMigrate(c *cli) *cobra.Command {
	var path, url string
	cmd := &cobra.Command{
		Use:   "migrate (--config FILE | --database-url URL) [flags]",
		Short: "Bring the database's schema up to this version",
		Long: `migrate brings the schema of the database up to this version of rotatord, each
step in a transaction of its own. It does nothing when there is nothing to do,
and several may run at once. With --config it logs in as database.migrate_url.

A URL on the command line is seen by others on this machine: leave the password
to PGPASSWORD or a password file.`,
	}
	cmd.Flags().StringVar(&path, "config", "", "the configuration `FILE`")
	cmd.Flags().StringVar(&url, "database-url", "", "`URL` of the database, instead of a configuration; or key=value pairs")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, _ *cobra.Command) error {
		dsn, err := migrateURL(path, url)
		if err != nil {
			return err
		}
		before, err := app.Migrate(ctx, dsn)
		if err != nil {
			return err
		}
		after := max(before, migrations.Latest)
		if *out == outputJSON {
			return printJSON(c.stdout, map[string]int{"before": before, "after": after})
		}
		switch {
		case before > migrations.Latest:
			fmt.Fprintf(c.stdout, "the schema is at migration %d, made by a newer version; this one needs %d and can work with it\n", before, migrations.Latest)
		case before == after:
			fmt.Fprintf(c.stdout, "the schema is at migration %d already\n", after)
		default:
			fmt.Fprintf(c.stdout, "the schema went from migration %d to %d\n", before, after)
		}
		return nil
	})
	return cmd
}

// migrateURL is the login that changes the schema.
func migrateURL(path, url string) (string, error) {
	switch {
	case path == "" && url == "":
		return "", wrongUse(errors.New("which database? give --config or --database-url"))
	case path != "" && url != "":
		return "", wrongUse(errors.New("--config and --database-url both name a database: give one"))
	case url != "":
		return url, nil
	}
	cfg, err := loadConfig(path)
	if err != nil {
		return "", err
	}
	if !cfg.Database.MigrateURL.IsSet() {
		return "", wrongUse(fmt.Errorf("%s names no database: set database.migrate_url or database.url", path))
	}
	return cfg.Database.MigrateURL.Current()
}

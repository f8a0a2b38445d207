package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
)

func newValidate(c *cli) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Check a configuration without using it",
		Long: `validate reads the configuration and every file that it names, and says OK or
everything that is wrong with it. It connects to nobody.`,
		RunE: runs(func(_ context.Context, _ *cobra.Command) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := app.Check(cfg); err != nil {
				return wrongUse(err)
			}
			fmt.Fprintf(c.stdout, "OK: %s has %d providers and %d co-signers\n", path, len(cfg.Providers), len(cfg.CoSigners))
			return nil
		}),
	}
	addConfig(cmd, &path)
	return cmd
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
)

func newServe(c *cli) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the daemon",
		Long: `serve runs the daemon until SIGINT or SIGTERM. It then lets rotations in hand
reach a state that another replica can go on from, for at most
scheduler.shutdown_grace. A second signal ends it at once; nothing is lost
then either, but others take over only after scheduler.heartbeat_timeout.`,
		RunE: runs(func(ctx context.Context, _ *cobra.Command) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if err := cfg.ReadyToServe(); err != nil {
				return wrongUse(err)
			}
			log := app.NewLog(c.stderr, cfg.Log)
			daemon, err := app.New(ctx, cfg, app.Options{Version: versionText(), Log: log})
			if err != nil {
				return err
			}
			log.Info("started", "version", versionText(), "listen", daemon.Addr().String())
			err = daemon.Run(ctx)
			log.Info("stopped")
			return err
		}),
	}
	addConfig(cmd, &path)
	return cmd
}

// addConfig gives a command the flag --config, which it cannot do without.
func addConfig(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "", "the configuration `FILE`")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // there is no such flag: a mistake in the line above
	}
}

// loadConfig takes every mistake in the file for a wrong use.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, wrongUse(err)
	}
	return cfg, nil
}

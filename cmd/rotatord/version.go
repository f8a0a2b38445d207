package main

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/prometheus/common/version"
	"github.com/spf13/cobra"
)

func newVersion(c *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "version [flags]", Short: "Print the version", Long: "version prints what this program was built from."}
	out := addOutput(cmd)
	cmd.RunE = runs(func(_ context.Context, _ *cobra.Command) error {
		if *out == outputJSON {
			return printJSON(c.stdout, map[string]string{
				"version": versionText(), "revision": version.GetRevision(), "branch": version.Branch,
				"build_date": version.BuildDate, "go": version.GoVersion, "platform": version.GoOS + "/" + version.GoArch,
			})
		}
		fmt.Fprintf(c.stdout, "rotatord %s (revision %s, %s, %s/%s)\n", versionText(), version.GetRevision(), version.GoVersion, version.GoOS, version.GoArch)
		return nil
	})
	return cmd
}

// versionText is what the release build set, or what go install knows.
func versionText() string {
	if version.Version != "" {
		return version.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

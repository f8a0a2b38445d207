package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/history"
)

// The commands about the history tell three things apart: that it is whole,
// that it is broken, and that nobody can tell. An alarm on the second must not
// go off when the database is down.
const (
	codeBroken     = codeFailed
	codeCannotTell = codeWrongUse
)

func cannotTell(err error) error { return &exit{codeCannotTell, err} }

// histories are the flags that say which histories of which database.
type histories struct {
	path, url string
	o         app.HistoryOptions
}

func (h *histories) addDatabase(cmd *cobra.Command) {
	cmd.Flags().StringVar(&h.path, "config", "", "the configuration `FILE`")
	cmd.Flags().StringVar(&h.url, "database-url", "", "`URL` of the database, instead of the configuration's; reading will do")
}

func (h *histories) addWallets(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int64SliceVar(&h.o.Wallets, "wallet", nil, "only the wallet of this `ID`; may be given several times")
	f.Lookup("wallet").DefValue = "" // not []
	f.StringVar(&h.o.Provider, "provider", "", "with --external-id: only this wallet; `NAME` of its provider")
	f.StringVar(&h.o.ExternalID, "external-id", "", "with --provider: the `ID` that the vendor has for the wallet")
}

// settle checks what the flags say between each other and finds the database.
func (h *histories) settle() error {
	switch {
	case (h.o.Provider == "") != (h.o.ExternalID == ""):
		return wrongUse(errors.New("--provider and --external-id name a wallet together: give both"))
	case h.o.Provider != "" && len(h.o.Wallets) > 0:
		return wrongUse(errors.New("--wallet and --provider both say which wallet: give one"))
	case h.path == "" && h.url == "":
		return wrongUse(errors.New("which database? give --config or --database-url"))
	}
	h.o.DatabaseURL = h.url
	if h.path == "" {
		return nil
	}
	cfg, err := loadConfig(h.path)
	if err != nil || h.url != "" {
		return err
	}
	if !cfg.Database.URL.IsSet() {
		return wrongUse(fmt.Errorf("%s names no database: set database.url, or give --database-url", h.path))
	}
	h.o.DatabaseURL, err = cfg.Database.URL.Current()
	return err
}

// verdict is the exit code of a walk. What was found to be broken outweighs why
// it ended early.
func verdict(ctx context.Context, r *history.Report, broken bool, err error) error {
	if err != nil && r.Looked > 0 && !r.Complete {
		err = fmt.Errorf("%w; stopped before wallet %d: go on with --from-wallet %d", err, r.Next, r.Next)
	}
	stopped, early := interruption(ctx)
	switch {
	case broken:
		return &exit{codeBroken, err}
	case err != nil && early:
		return &exit{stopped.exitCode(), err}
	case err != nil:
		return cannotTell(err)
	}
	return nil
}

// logHead leaves the head where the logs of unattended runs are kept; a person
// who watches has it on the screen.
func logHead(out io.Writer, what string, r *history.Report) {
	if isTerminal(out) {
		return
	}
	log := slog.New(slog.NewTextHandler(out, nil))
	log.Info(what, "complete", r.Complete, "wallets", r.Wallets, "rows", r.Rows, "digest", r.Digest.String(),
		"broken", r.Broken, "differing", r.Differing)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/rotation"
)

// As with the history: that something differs is another thing than that nobody
// can tell.
const codeDiffers = codeFailed

func newReconcile(c *cli) *cobra.Command {
	var path string
	var o app.ReconcileOptions
	cmd := &cobra.Command{
		Use:   "reconcile --config FILE [flags]",
		Short: "Compare vendors, co-signers and the database, and reconcile them",
		Long: `reconcile asks vendors and co-signers which share set, key and address each
wallet has, compares that with the database, and lists what differs with the next
step. It rotates nothing and changes nothing. Run it after every restore or
failover of the database, before the daemons start.

With --apply it requests the daemon to reconcile what differs: the daemon looks
again, follows the vendor where the co-signer holds the vendor's share set (where
there is none: where the public key is the one on record), tells the co-signer to
make up for a commit, and calls a person about everything else. Requests wait in
rotation_requests until a daemon runs; --wait waits for the answers and compares
again. A difference is looked at twice before it is listed, and a wallet whose
rotation is under way is left to that.

Exit codes: 0 nothing differs, 1 something differs or somebody could not be asked,
2 wrong use, or it did not come to its end.`,
	}
	addConfig(cmd, &path)
	f := cmd.Flags()
	f.StringVar(&o.Provider, "provider", "", "only the wallets of the provider of this `NAME`")
	f.StringVar(&o.Policy, "policy", "", "only the wallets of the policy of this `NAME`")
	f.Int64Var(&o.WalletID, "wallet", 0, "only the wallet of this `ID`")
	f.Int64Var(&o.From, "from-wallet", 0, "begin with the wallet of this `ID`, to go on with a comparison that was stopped")
	f.BoolVar(&o.Apply, "apply", false, "request the daemon to reconcile what differs")
	f.StringVar(&o.Actor, "actor", "", "with --apply: `WHO` asks; if not given, the user of this machine as "+defaultActor("USER", "HOST"))
	f.StringVar(&o.Reason, "reason", "", "with --apply: `WHY`")
	f.DurationVar(&o.Wait, "wait", 0, "with --apply: wait so `LONG` for the daemon's answers, such as 5m")
	out := addOutput(cmd)
	cmd.RunE = runs(func(ctx context.Context, _ *cobra.Command) error {
		if err := settleReconcile(&o); err != nil {
			return wrongUse(err)
		}
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		if !cfg.Database.URL.IsSet() {
			return wrongUse(fmt.Errorf("%s names no database: set database.url", path))
		}
		p := &comparisons{out: c.stdout, progress: c.stderr, json: *out == outputJSON, shown: time.Now()}
		o.Found = p.found
		sum, err := app.Reconcile(ctx, cfg, o)
		if sum != nil {
			err = errors.Join(err, p.end(sum, o, err))
		}
		return reconcileVerdict(ctx, sum, err)
	})
	return cmd
}

// settleReconcile checks what the flags say between each other, and fills in
// who asks.
func settleReconcile(o *app.ReconcileOptions) error {
	switch {
	case !o.Apply && (o.Wait != 0 || o.Actor != "" || o.Reason != ""):
		return errors.New("--wait, --actor and --reason are about requests: add --apply")
	case o.Wait < 0:
		return errors.New("--wait is negative: write how long, such as 5m")
	case o.WalletID < 0 || o.From < 0:
		return errors.New("the id of a wallet is a positive number")
	case o.WalletID != 0 && o.From != 0:
		return errors.New("--wallet and --from-wallet both say which wallets: give one")
	}
	if o.Apply && o.Actor == "" {
		o.Actor = thisPerson()
	}
	return nil
}

// reconcileVerdict is the exit code.
func reconcileVerdict(ctx context.Context, sum *app.Reconciliation, err error) error {
	if err != nil && sum != nil && sum.Next > 1 {
		err = fmt.Errorf("%w; stopped before wallet %d: go on with --from-wallet %d", err, sum.Next, sum.Next)
	}
	stopped, early := interruption(ctx)
	switch {
	case err != nil && early:
		return &exit{stopped.exitCode(), err}
	case err != nil:
		return wrongUse(err)
	case sum.Differ > 0:
		return &exit{codeDiffers, nil}
	}
	return nil
}

// sayProgress is how often standard error hears how far it is.
const sayProgress = 10 * time.Second

// comparisons prints what is found page by page: there may be millions.
type comparisons struct {
	out, progress io.Writer
	json          bool
	shown         time.Time
	wallets       int64
	opened        bool // the JSON
	lines         int  // wallets printed
	again         bool // those that were asked for
}

func (p *comparisons) found(again bool, page []rotation.Comparison) error {
	if again != p.again {
		p.again, p.lines = again, 0
		if p.json {
			p.open()
			fmt.Fprint(p.out, "\n  ],\n  \"again\": [")
		}
	}
	if !again {
		p.wallets += int64(len(page))
	}
	if now := time.Now(); len(page) > 0 && now.Sub(p.shown) >= sayProgress {
		p.shown = now
		fmt.Fprintf(p.progress, "compared %d wallets, up to wallet %d\n", p.wallets, page[len(page)-1].WalletID)
	}
	page = slices.DeleteFunc(slices.Clone(page), func(c rotation.Comparison) bool { return c.Fine() && !again })
	if p.json {
		return p.encode(page)
	}
	return p.table(page)
}

func (p *comparisons) table(page []rotation.Comparison) error {
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, c := range page {
		if p.lines++; p.lines == 1 {
			if p.again {
				fmt.Fprint(t, "\nAfter the requests:\n")
			}
			fmt.Fprint(t, "WALLET\tPROVIDER\tEXTERNAL ID\tPOLICY\tRESULT\tDETAIL\tNEXT STEP\n")
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.WalletID, c.Provider, c.ExternalID, dash(c.Policy), words(c.Result), dash(c.Detail), dash(c.NextStep))
	}
	return t.Flush()
}

// encode writes the entries of a list; end closes it.
func (p *comparisons) encode(page []rotation.Comparison) error {
	p.open()
	for _, c := range page {
		text, err := indented(c, "    ")
		if err != nil {
			return err
		}
		if p.lines++; p.lines > 1 {
			fmt.Fprint(p.out, ",")
		}
		fmt.Fprintf(p.out, "\n    %s", text)
	}
	return nil
}

// open begins the one object that all output is.
func (p *comparisons) open() {
	if !p.opened {
		p.opened = true
		fmt.Fprint(p.out, "{\n  \"differ\": [")
	}
}

// end prints the summary. early says why there are wallets that were not
// compared; nil: all were.
func (p *comparisons) end(sum *app.Reconciliation, o app.ReconcileOptions, early error) error {
	if p.json {
		p.open()
		text, err := indented(sum, "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.out, "\n  ],\n  \"summary\": %s\n}\n", text)
		return err
	}
	if sum.Wallets == 0 && early != nil {
		return nil
	}
	t := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	if p.lines > 0 {
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "PROVIDER")
	for _, r := range rotation.Results {
		fmt.Fprintf(t, "\t%s", strings.ToUpper(words(r)))
	}
	fmt.Fprintln(t)
	for _, provider := range slices.Sorted(maps.Keys(sum.Results)) {
		fmt.Fprint(t, provider)
		for _, r := range rotation.Results {
			fmt.Fprintf(t, "\t%d", sum.Results[provider][string(r)])
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(sum.Refused)) {
		fmt.Fprintf(p.out, "The request for wallet %d was refused: %s\n", id, sum.Refused[id])
	}
	_, err := fmt.Fprintf(p.out, "\n%s\n", reconcileSentence(sum, o))
	return err
}

// reconcileSentence says what it came to and what was done.
func reconcileSentence(sum *app.Reconciliation, o app.ReconcileOptions) string {
	text := fmt.Sprintf("%d of %d wallets differ.", sum.Differ, sum.Wallets)
	if sum.Differ == 0 {
		text = fmt.Sprintf("Nothing differs among %d wallets.", sum.Wallets)
	}
	switch {
	case !o.Apply && sum.Differ > 0:
		text += " Nothing was changed. With --apply the daemon is requested to reconcile what it can."
	case o.Apply && sum.Requests == 0 && sum.Differ > 0:
		text += " Nothing was requested: none of them can be reconciled by the daemon."
	case sum.Requests > 0 && o.Wait == 0:
		text += fmt.Sprintf(" The daemon was requested to reconcile %d of them.", sum.Requests)
	case sum.Requests > 0 && sum.Open > 0:
		text += fmt.Sprintf(" Of %d requests %d are still open after %s: is a daemon running?", sum.Requests, sum.Open, o.Wait)
	case sum.Requests > 0:
		text += fmt.Sprintf(" The daemon was requested to reconcile %d wallets.", sum.Requests)
	}
	return text
}

// indented is JSON to be put behind so much of an indentation.
func indented(v any, prefix string) (string, error) {
	text, err := json.MarshalIndent(v, prefix, "  ")
	if err != nil {
		return "", fmt.Errorf("encoding the result: %w", err)
	}
	return string(text), nil
}

// words is a result as people write it.
func words(r rotation.Result) string { return strings.ReplaceAll(string(r), "_", " ") }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/store"
)

// maxRuns that a plan shows of a policy: as many as people read, and few enough
// to be computed at once.
const maxRuns = 1000

// planning are the flags of plan.
type planning struct {
	path, url, from  string
	schedule, zone   string
	window, age      nullableTime
	spread, smallest nullableTime
	o                app.PlanOptions
}

func newPlan(c *cli) *cobra.Command {
	p := planning{smallest: nullableTime{never: true}, spread: nullableTime{never: true}}
	cmd := &cobra.Command{
		Use:   "plan [NAME] (--config FILE | --database-url URL | --schedule EXPR) [flags]",
		Short: "Show the next runs of policies, or of one that is only proposed",
		Long: `plan shows when each policy, or the one of that NAME, runs next: in its own zone
and in UTC, until when rotations of that run may start, how many wallets it takes,
and what changes of the clocks do to it. It computes that by the code that the
daemon ticks by, of the version that the daemon runs, and changes nothing. A login
that may only read will do.

The number of wallets is that of a cycle which starts then: all that the policy
rotates now, because none has satisfied a tick that lies ahead. Disabled and paused
wallets are not counted, nor who joins or leaves until then. Of the cycle that is
running, those that have satisfied its tick are left out.

The flags --schedule, --timezone, --run-window, --spread and --max-share-age
propose an edit: of the policy of that NAME, or of a new one with the defaults of
the table, for which no database is needed. What is proposed is judged as the
daemon would, with the same errors and warnings, and is written nowhere. The runs
of a proposed @every count from --from; those of an edit count from the edit.

Exit codes: 0 there is a plan, 1 what is proposed would be refused, or the plan
failed, 2 wrong use.`,
	}
	f := cmd.Flags()
	f.StringVar(&p.path, "config", "", "the configuration `FILE`, of which only database and scheduler are read")
	f.StringVar(&p.url, "database-url", "", "`URL` of the database, instead of the configuration's; reading will do")
	f.IntVar(&p.o.Count, "count", 10, "so many `RUNS` of each policy, at most "+fmt.Sprint(maxRuns))
	f.StringVar(&p.from, "from", "", "runs at or after this `TIME`, such as 2026-03-01 or 2026-03-01T12:00:00Z; if not given, after now")
	f.StringVar(&p.schedule, "schedule", "", "propose this `EXPR`: five fields, @daily and the like, or @every 720h; empty for a policy by hand")
	f.StringVar(&p.zone, "timezone", "", "propose this `ZONE`, such as Europe/Zurich")
	f.Var(&p.window, "run-window", "propose this time, such as 4h; null for until the next tick")
	f.Var(&p.spread, "spread", "propose this time, such as 2h")
	f.Var(&p.age, "max-share-age", "propose this time, such as 30d; null for no promise")
	f.Var(&p.smallest, "min-interval", "scheduler.min_interval of the daemon, for what no daemon has judged yet; if not given, that of --config, or its default")
	out := addOutput(cmd)
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runs(func(ctx context.Context, cmd *cobra.Command) error {
			if err := p.settle(cmd, args); err != nil {
				return wrongUse(err)
			}
			plan, err := app.MakePlan(ctx, p.o)
			switch {
			case errors.Is(err, store.ErrNoPolicy):
				return wrongUse(err)
			case err != nil:
				return err
			}
			if *out == outputJSON {
				err = printJSON(c.stdout, plan)
			} else {
				err = printPlan(c.stdout, plan)
			}
			if err == nil && p.o.Propose != nil && !plan.Policies[0].Valid {
				err = &exit{codeFailed, nil}
			}
			return err
		})(cmd, args)
	}
	return cmd
}

// settle checks what the flags say between each other, and finds the database.
func (p *planning) settle(cmd *cobra.Command, args []string) (err error) {
	given := cmd.Flags().Changed
	proposed := given("schedule") || given("timezone") || given("run-window") || given("spread") || given("max-share-age")
	if len(args) > 0 {
		if p.o.Policy = args[0]; p.o.Policy == "" {
			return errors.New("the NAME of the policy is empty")
		}
	}
	switch {
	case p.o.Count < 1 || p.o.Count > maxRuns:
		return fmt.Errorf("--count: write 1 to %d", maxRuns)
	case proposed && p.o.Policy == "" && !given("schedule"):
		return errors.New("a proposal of what? give the NAME of a policy, or --schedule for a new one")
	case proposed && p.o.Policy == "" && p.url != "":
		return errors.New("--schedule alone proposes a new policy, without a database: leave --database-url out, or give the NAME of a policy")
	case (!proposed || p.o.Policy != "") && p.path == "" && p.url == "":
		return errors.New("which database? give --config or --database-url")
	}
	if proposed {
		p.o.Propose = func(row *store.Policy) { p.propose(row, given) }
	}
	if p.o.From, err = parseTime("--from", p.from); err != nil {
		return err
	}
	p.o.MinInterval = config.Default().Scheduler.MinInterval
	if p.path != "" {
		if p.o.MinInterval, err = config.LoadMinInterval(p.path); err != nil {
			return err
		}
	}
	if p.smallest.d != nil {
		p.o.MinInterval = *p.smallest.d
	}
	if proposed && p.o.Policy == "" {
		return nil
	}
	if p.o.DatabaseURL = p.url; p.url != "" {
		return nil
	}
	p.o.DatabaseURL, err = databaseOf(p.path)
	return err
}

// databaseOf is database.url of a configuration of which nothing else is read.
func databaseOf(path string) (string, error) {
	url, err := config.LoadDatabase(path)
	if err != nil {
		return "", err
	}
	if !url.IsSet() {
		return "", fmt.Errorf("%s names no database: set database.url, or give --database-url", path)
	}
	return url.Reveal(), nil
}

// propose edits a row as the flags say.
func (p *planning) propose(row *store.Policy, given func(flag string) bool) {
	if given("schedule") {
		row.Schedule = nil
		if p.schedule != "" {
			row.Schedule = &p.schedule
		}
	}
	if given("timezone") {
		row.Timezone = p.zone
	}
	if given("run-window") {
		row.RunWindow = p.window.d
	}
	if given("spread") {
		row.Spread = *p.spread.d
	}
	if given("max-share-age") {
		row.MaxShareAge = p.age.d
	}
}

// nullableTime is a time as the configuration writes it, or null.
type nullableTime struct {
	d     *time.Duration // nil: null, or not given
	never bool           // null
}

// String, Set and Type implement pflag.Value.
func (n *nullableTime) String() string {
	if n.d == nil {
		return ""
	}
	return n.d.String()
}
func (n *nullableTime) Type() string { return "TIME" }
func (n *nullableTime) Set(text string) error {
	if n.d = nil; text == "null" && !n.never {
		return nil
	}
	d, err := config.ParseDuration(text)
	if err != nil {
		return err
	}
	n.d = &d
	return nil
}

func printPlan(w io.Writer, p *app.Plan) error {
	for _, hold := range p.Holds {
		fmt.Fprintf(w, "%s\n\n", upperFirst(hold))
	}
	if len(p.Policies) == 0 {
		fmt.Fprintln(w, "There are no policies.")
	}
	for i, policy := range p.Policies {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printPolicyPlan(w, policy); err != nil {
			return err
		}
	}
	return nil
}

func printPolicyPlan(w io.Writer, p app.PolicyPlan) error {
	fmt.Fprintln(w, planHeading(p))
	if p.Error != "" {
		fmt.Fprintf(w, "  %s: %s\n", refusedText(p), p.Error)
	}
	if !p.Judged && !p.Proposed && p.Valid {
		fmt.Fprintf(w, "  no daemon has judged version %d yet: it will run as shown\n", p.Version)
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", warning)
	}
	if p.Hold != "" {
		fmt.Fprintf(w, "  nothing starts: %s\n", p.Hold)
	}
	if p.WaitingForAPerson > 0 {
		fmt.Fprintf(w, "  %d of its wallets wait for a person, and no run starts them: see the view attention\n", p.WaitingForAPerson)
	}
	if c := p.Cycle; c != nil {
		until := "the next tick"
		if c.Ends != nil {
			until = c.Ends.Format(utcTime) + " UTC"
		}
		fmt.Fprintf(w, "  running now: the cycle of %s, until %s; %d wallets have not satisfied it\n", c.Local, until, c.Left)
	}
	if len(p.Runs) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  RUN\tUTC\tUNTIL\tWALLETS\tNOTE")
	for _, r := range p.Runs {
		wallets := "-"
		if r.Wallets != nil {
			wallets = fmt.Sprint(*r.Wallets)
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", r.Local, r.At.Format(utcTime), dash(r.EndsLocal), wallets, dash(strings.Join(r.Notes, "; ")))
	}
	return t.Flush()
}

// utcTime is how times in UTC are written beside those of a zone.
const utcTime = "2006-01-02 15:04:05.999999"

// planHeading is what the runs below it are those of.
func planHeading(p app.PolicyPlan) string {
	name, what := p.Policy, fmt.Sprintf("version %d", p.RunningVersion)
	if name == "" {
		name = "a new policy"
	}
	switch {
	case p.Proposed && p.Valid:
		what = "as proposed"
	case p.Proposed:
		return name + ", as proposed: does not run"
	case p.Timezone == "":
		return name + ": does not run"
	}
	switch {
	case p.Schedule == "":
		what += ", only by hand"
	default:
		what += fmt.Sprintf(", %s in %s", p.Schedule, p.Timezone)
	}
	if p.Wallets != nil {
		what += fmt.Sprintf(", %d wallets", *p.Wallets)
	}
	return name + ": " + what
}

// refusedText says who refuses the row.
func refusedText(p app.PolicyPlan) string {
	switch {
	case p.Proposed:
		return "would be refused"
	case p.Judged:
		return fmt.Sprintf("version %d is refused", p.Version)
	}
	return fmt.Sprintf("version %d, which no daemon has judged yet, will be refused", p.Version)
}

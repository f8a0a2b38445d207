package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Summary is what came of a demo.
type Summary struct {
	Seconds     float64         `json:"seconds"`
	Interrupted bool            `json:"interrupted"`
	OK          bool            `json:"ok"`
	Policies    []PolicySummary `json:"policies"`
	Checks      []Check         `json:"checks"`
}

// PolicySummary is one line of the closing table. Rotations and failures are
// what the record says, the rest but the age comes from the sandbox's truth.
type PolicySummary struct {
	Policy        string  `json:"policy"`
	Schedule      string  `json:"schedule"`
	Wallets       int     `json:"wallets"`
	Rotations     int     `json:"rotations"`
	Failures      int     `json:"failed_attempts"`
	OldestSeconds float64 `json:"oldest_share_age_seconds"`
	CanSign       int     `json:"wallets_that_sign"`
	OldShares     int     `json:"old_shares"`
	OldSharesDead int     `json:"old_shares_dead"`
}

// Check is one thing that must hold for every wallet.
type Check struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Skipped  bool     `json:"skipped,omitempty"` // the demo was too short to ask
	Failed   int      `json:"failed,omitempty"`  // wallets
	Examples []string `json:"examples,omitempty"`
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	// Numbers to the right, names to the left: tabwriter has one for all.
	var names, schedules int
	for _, p := range s.Policies {
		names, schedules = max(names, len(p.Policy)), max(schedules, len(p.Schedule))
	}
	fmt.Fprintf(t, "%-*s\t%-*s\tWALLETS\tROTATIONS\tFAILED ATTEMPTS\tOLDEST SHARE\tSTILL SIGN\tOLD SHARES DEAD\t\n", names, "POLICY", schedules, "SCHEDULE")
	var sum PolicySummary
	for _, p := range s.Policies {
		p.print(t, names, schedules)
		sum.Wallets += p.Wallets
		sum.Rotations += p.Rotations
		sum.Failures += p.Failures
		sum.CanSign += p.CanSign
		sum.OldShares += p.OldShares
		sum.OldSharesDead += p.OldSharesDead
		sum.OldestSeconds = max(sum.OldestSeconds, p.OldestSeconds)
	}
	sum.Policy = "all"
	sum.print(t, names, schedules)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, c := range s.Checks {
		fmt.Fprintf(w, "%-7s %s\n", c.verdict(), c.Name)
		for _, example := range c.Examples {
			fmt.Fprintf(w, "        %s\n", example)
		}
		if more := c.Failed - len(c.Examples); more > 0 {
			fmt.Fprintf(w, "        and %d more\n", more)
		}
	}
	_, err := fmt.Fprintf(w, "\n%s\n", s.sentence())
	return err
}

func (p PolicySummary) print(w io.Writer, names, schedules int) {
	fmt.Fprintf(w, "%-*s\t%-*s\t%d\t%d\t%d\t%.1fs\t%d\t%d of %d\t\n",
		names, p.Policy, schedules, p.Schedule, p.Wallets, p.Rotations, p.Failures, p.OldestSeconds, p.CanSign, p.OldSharesDead, p.OldShares)
}

func (c Check) verdict() string {
	switch {
	case c.Skipped:
		return "skipped"
	case c.OK:
		return "ok"
	}
	return "FAILED"
}

func (s *Summary) sentence() string {
	switch {
	case !s.OK:
		return "Something is wrong, see above."
	case s.Interrupted:
		return fmt.Sprintf("Stopped after %.0f seconds; what ran is in order.", s.Seconds)
	}
	return "Everything held. The sandbox made the signatures that prove it, not the daemon."
}

package torture

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// Violation is one thing that must not be.
type Violation struct {
	Wallet string `json:"wallet,omitempty"` // the vendor's id; empty: it is about no wallet
	What   string `json:"what"`
}

func (v Violation) String() string {
	if v.Wallet == "" {
		return v.What
	}
	return "wallet " + v.Wallet + ": " + v.What
}

// Count is one line of the table.
type Count struct {
	What string `json:"what"`
	N    int    `json:"n"`
}

// Summary is what a run came to.
type Summary struct {
	OK       bool    `json:"ok"`
	Seed     int64   `json:"seed"`
	Seconds  float64 `json:"seconds"`
	Storm    float64 `json:"storm_seconds"`
	Replicas int     `json:"replicas"`
	Wallets  int     `json:"wallets"`
	Vaults   int     `json:"vaults"`
	Lossy    bool    `json:"lossy"`
	Counts   []Count `json:"counts"`
	Faults   []Count `json:"faults"` // by kind
	// Touched is how many faults, of an operation and a kind each, have struck;
	// Untouched are the others.
	Touched    int         `json:"touched_faults"`
	Untouched  []string    `json:"untouched_faults"`
	Violations []Violation `json:"violations"`
}

// Of is how often something in the table happened.
func (s *Summary) of(what string) int {
	for _, c := range append(s.Counts, s.Faults...) {
		if c.What == what {
			return c.N
		}
	}
	return 0
}

func (r *run) summary() *Summary {
	s := &Summary{Seed: r.Seed, Seconds: time.Since(r.begun).Seconds(), Storm: r.For.Seconds(), Replicas: r.Replicas,
		Wallets: r.Wallets, Vaults: r.Vaults, Lossy: r.Lossy, Violations: r.violations, OK: len(r.violations) == 0}
	for _, what := range order {
		s.Counts = append(s.Counts, Count{what, r.tally.of(what)})
	}
	struck := r.box.Struck()
	kinds := map[faults.Kind]int{}
	for _, byKind := range struck {
		for kind, n := range byKind {
			kinds[kind] += n
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		s.Faults = append(s.Faults, Count{string(kind), kinds[kind]})
	}
	for _, i := range ills(r.box.Operations()) {
		if struck[i.operation][i.kind] == 0 {
			s.Untouched = append(s.Untouched, i.operation+"/"+string(i.kind))
		} else {
			s.Touched++
		}
	}
	return s
}

// Print writes the summary for people.
func (s *Summary) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range s.Counts {
		fmt.Fprintf(t, "%d\t %s\n", c.N, c.What)
	}
	for _, c := range s.Faults {
		fmt.Fprintf(t, "%d\t calls struck by the fault %s\n", c.N, c.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d kinds of fault of an operation struck at least once, %d did not", s.Touched, len(s.Untouched))
	if n := len(s.Untouched); n > 0 && n <= 30 { // a short run leaves out most
		fmt.Fprintf(w, ": %s", strings.Join(s.Untouched, " "))
	}
	fmt.Fprintln(w)
	if len(s.Violations) > 0 {
		fmt.Fprintln(w)
	}
	for _, v := range s.Violations {
		fmt.Fprintf(w, "VIOLATION %s\n", v)
	}
	standby := "commits wait for the standby"
	if s.Lossy {
		standby = "failovers lose commits"
	}
	verdict := "no violation"
	if !s.OK {
		verdict = fmt.Sprintf("%d VIOLATIONS", len(s.Violations))
	}
	_, err := fmt.Fprintf(w, "\nseed %d, %d replicas, %d wallets, %d vaults, %s: %.0f s of torture, %.0f s in all, %s\n",
		s.Seed, s.Replicas, s.Wallets, s.Vaults, standby, s.Storm, s.Seconds, verdict)
	return err
}

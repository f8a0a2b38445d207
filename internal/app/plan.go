package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/scheduler"
	"github.com/rotatord/rotatord/internal/store"
)

// PlanOptions of MakePlan.
type PlanOptions struct {
	// DatabaseURL of a login that may read. Empty: no database; then Propose is
	// all there is, and Policy is empty.
	DatabaseURL string
	Policy      string    // empty: all
	Count       int       // of runs
	From        time.Time // runs at or after it; zero: after now
	// MinInterval is scheduler.min_interval of the daemon that will judge what no
	// daemon has judged yet.
	MinInterval time.Duration
	// Propose edits the row of Policy, or the default one; nil: nothing is
	// proposed.
	Propose func(*store.Policy)
}

// Plan is what policies will do if nothing is edited any more.
type Plan struct {
	Now time.Time `json:"now"` // the database's clock, if there is one
	// Holds say what does not start, whatever the policies say.
	Holds    []string     `json:"holds"`
	Policies []PolicyPlan `json:"policies"`
}

// PolicyPlan is what one policy will do.
type PolicyPlan struct {
	Policy   string `json:"policy,omitempty"`
	Version  int64  `json:"version,omitempty"` // of the row
	Proposed bool   `json:"proposed"`          // the row is, or an edit of it
	// Judged says that a daemon has judged the row, and Valid, Error and Warnings
	// are its verdict; if not, they are what it will be.
	Judged   bool     `json:"judged"`
	Valid    bool     `json:"valid"`
	Error    string   `json:"error,omitempty"`
	Warnings []string `json:"warnings"`
	// RunningVersion is the one that the runs are of; 0: none, or one that only
	// a daemon can make it.
	RunningVersion int64 `json:"running_version,omitempty"`
	// Schedule of the runs; empty: by hand.
	Schedule string `json:"schedule,omitempty"`
	Timezone string `json:"timezone,omitempty"`
	// Hold says why the policy starts nothing although it ticks.
	Hold string `json:"hold,omitempty"`
	// Wallets that the policy rotates, WaitingForAPerson of them failed, and no
	// run starts them over; nil: there is no database to count in.
	Wallets           *int64        `json:"wallets"`
	WaitingForAPerson int64         `json:"waiting_for_a_person"`
	Cycle             *PlannedCycle `json:"cycle,omitempty"`
	Runs              []PlannedRun  `json:"runs"`
}

// PlannedCycle is the cycle that is running.
type PlannedCycle struct {
	Tick  time.Time  `json:"tick"`
	Local string     `json:"local"`
	Ends  *time.Time `json:"ends"`  // nil: with the next tick
	Total int64      `json:"total"` // wallets that were due when it started
	Left  int64      `json:"left"`  // of those that it takes now, not rotated yet
}

// PlannedRun is a tick and what it takes.
type PlannedRun struct {
	At    time.Time `json:"at"` // UTC
	Local string    `json:"local"`
	// Ends is when rotations of this run may start no more; nil: never.
	Ends      *time.Time `json:"ends"`
	EndsLocal string     `json:"ends_local,omitempty"`
	// Wallets that have not satisfied the tick: all that the policy rotates now.
	// nil: no database to count in, or a tick that lies in the past.
	Wallets *int64   `json:"wallets"`
	Notes   []string `json:"notes"`
}

// localTime is how times of a policy's zone are written.
const localTime = "Mon 2006-01-02 15:04:05.999999 -07:00"

// MakePlan tells what policies will do, by the code that daemons tick by. It
// changes nothing and asks no vendor. [store.ErrNoPolicy]
func MakePlan(ctx context.Context, o PlanOptions) (*Plan, error) {
	p := &Plan{Now: time.Now().UTC().Truncate(time.Microsecond), Holds: []string{}, Policies: []PolicyPlan{}}
	if o.DatabaseURL == "" {
		row := store.PlannedPolicy{Policy: defaultPolicy()}
		row.ScheduleSince = o.from(p.Now)
		p.Policies = append(p.Policies, o.plan(row, p.Now))
		p.Policies[0].Wallets = nil
		return p, nil
	}
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	r, err := store.ConnectReader(connecting, o.DatabaseURL)
	if err != nil {
		return nil, OneLine(err)
	}
	defer r.Close(ctx)
	rows, control, err := r.PlannedPolicies(ctx, o.Policy)
	if err != nil {
		return nil, err
	}
	if _, p.Now, err = r.Schema(ctx); err != nil {
		return nil, err
	}
	p.Now = p.Now.UTC()
	if control.Paused {
		p.Holds = append(p.Holds, "nothing starts: everything is paused: "+control.Reason)
	} else if len(control.PausedProviders) > 0 {
		p.Holds = append(p.Holds, fmt.Sprintf("no wallet of %s starts: they are paused: %s", strings.Join(control.PausedProviders, ", "), control.Reason))
	}
	for _, row := range rows {
		p.Policies = append(p.Policies, o.plan(row, p.Now))
	}
	return p, nil
}

// defaultPolicy is a row with the defaults of the table.
func defaultPolicy() store.Policy {
	return store.Policy{Timezone: "UTC", MaxConcurrent: 10, MaxAttempts: 5, FailureBudget: 10, Enabled: true}
}

func (o PlanOptions) from(now time.Time) time.Time {
	if o.From.IsZero() {
		return now
	}
	return o.From
}

func (o PlanOptions) plan(row store.PlannedPolicy, now time.Time) PolicyPlan {
	out := PolicyPlan{Policy: row.Name, Version: row.Version, Proposed: o.Propose != nil, Wallets: &row.Wallets,
		WaitingForAPerson: row.WaitingForAPerson, Warnings: []string{}, Runs: []PlannedRun{}}
	edited := now // by when a daemon has seen the row
	if o.Propose != nil {
		o.Propose(&row.Policy)
		row.Version++ // which no daemon has judged
		edited = o.from(now)
	}
	outlook := scheduler.Foresee(row.Policy, row.Wallets, scheduler.Rules{MinInterval: o.MinInterval}, edited)
	if out.Judged = outlook.Judged; out.Judged {
		out.Error, out.Warnings = row.Error, append(out.Warnings, row.Warnings...)
	} else {
		out.Warnings = append(out.Warnings, outlook.Verdict.Warnings...)
		if outlook.Verdict.Err != nil {
			out.Error = outlook.Verdict.Err.Error()
		}
	}
	out.Valid = out.Error == ""
	switch {
	case !row.Enabled:
		out.Hold = "the policy is disabled"
	case row.PausedReason != nil:
		out.Hold = "the policy is paused: " + *row.PausedReason
	}
	if outlook.Spec == nil || o.Propose != nil && !out.Valid {
		return out // what a refused proposal leaves running is not what was asked
	}
	out.RunningVersion = outlook.Spec.Version
	if o.Propose != nil {
		out.RunningVersion = 0
	}
	out.Timezone = outlook.Spec.Timezone
	zone := time.UTC
	if !outlook.Spec.ByHand() {
		out.Schedule, zone = outlook.Spec.Schedule.String(), outlook.Spec.Schedule.Location()
	}
	if row.Cycle != nil && o.Propose == nil {
		out.Cycle = &PlannedCycle{Tick: row.Cycle.Tick.UTC(), Local: row.Cycle.Tick.In(zone).Format(localTime), Total: row.Cycle.Total, Left: row.Left}
		if end := row.Cycle.Ends.UTC(); !row.Cycle.Ends.IsZero() {
			out.Cycle.Ends = &end
		}
	}
	after := now
	if !o.From.IsZero() {
		after = o.From.Add(-time.Microsecond) // one at that moment is shown
	}
	for _, run := range outlook.Spec.Runs(after, outlook.Since, o.Count) {
		out.Runs = append(out.Runs, plannedRun(run, zone, now, row.Wallets))
	}
	return out
}

// plannedRun counts as the cycle will: wallets that have not satisfied the tick.
// No wallet can have satisfied one that lies ahead, so it takes all of them.
func plannedRun(run scheduler.Run, zone *time.Location, now time.Time, wallets int64) PlannedRun {
	out := PlannedRun{At: run.At, Local: run.At.In(zone).Format(localTime), Notes: append([]string{}, run.Notes...)}
	if !run.Ends.IsZero() {
		out.Ends, out.EndsLocal = &run.Ends, run.Ends.In(zone).Format(localTime)
	}
	if run.At.After(now) {
		out.Wallets = &wallets
	}
	return out
}

package scheduler

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Verdict is the judgement on one version of a policy.
type Verdict struct {
	Spec Spec // empty when Err is set
	// Err says in one line everything that must be changed; nil: the row is
	// good.
	Err error
	// Warnings are what will work, but probably not as meant.
	Warnings []string
}

// Judge decides whether a row may run. wallets is how many wallets the policy
// has, to judge whether its limits let them finish; it can only warn, because
// that number changes without an edit. Every sentence carries the numbers it
// was decided by.
func Judge(row Row, wallets int64, rules Rules) Verdict {
	j := judge{rules: rules, spec: Spec{
		Version: row.Version, Timezone: row.Timezone,
		Canary: row.Canary, MaxConcurrent: row.MaxConcurrent, MaxPerMinute: row.MaxPerMinute,
		MaxAttempts: row.MaxAttempts, FailureBudget: row.FailureBudget,
	}}
	j.schedule(row)
	j.durations(row)
	j.counts()
	if len(j.errs) == 0 { // what follows compares values that are good on their own
		if j.spec.ByHand() {
			j.byHand()
		} else {
			j.times()
			j.limits(wallets)
		}
	}
	if len(j.errs) > 0 {
		return Verdict{Err: errors.New(strings.Join(j.errs, "; ")), Warnings: j.warnings}
	}
	return Verdict{Spec: j.spec, Warnings: j.warnings}
}

type judge struct {
	rules    Rules
	spec     Spec
	errs     []string
	warnings []string
}

func (j *judge) refuse(format string, args ...any) {
	j.errs = append(j.errs, fmt.Sprintf(format, args...))
}

func (j *judge) warn(format string, args ...any) {
	j.warnings = append(j.warnings, fmt.Sprintf(format, args...))
}

func (j *judge) schedule(row Row) {
	if row.Schedule == nil {
		if _, err := parseZone(row.Timezone); err != nil {
			j.refuse("%s", err)
		}
		return
	}
	schedule, err := ParseSchedule(*row.Schedule, row.Timezone, j.rules)
	if err != nil {
		j.refuse("%s", err)
		return
	}
	j.spec.Schedule = schedule
	j.warnings = append(j.warnings, schedule.warnings...)
}

func (j *judge) durations(row Row) {
	if d := row.RunWindow; d != nil {
		if *d <= 0 {
			j.refuse("run_window is %s: write a time above zero, or null for until the next tick", short(*d))
		}
		j.spec.RunWindow = *d
	}
	if d := row.Spread; d != nil {
		if *d < 0 {
			j.refuse("spread is %s: write 0 for none, or a time above it", short(*d))
		}
		j.spec.Spread = *d
	}
	if d := row.MaxShareAge; d != nil {
		if *d <= 0 {
			j.refuse("max_share_age is %s: write a time above zero, or null for no promise", short(*d))
		}
		j.spec.MaxShareAge = *d
	}
}

func (j *judge) counts() {
	for _, c := range []struct {
		name         string
		value, least int32
	}{
		{"canary", j.spec.Canary, 0},
		{"max_concurrent", j.spec.MaxConcurrent, 1},
		{"max_per_minute", j.spec.MaxPerMinute, 0},
		{"max_attempts", j.spec.MaxAttempts, 1},
		{"failure_budget", j.spec.FailureBudget, 0},
	} {
		if c.value < c.least {
			j.refuse("%s is %d: write %d or more", c.name, c.value, c.least)
		}
	}
}

// byHand judges a policy without a schedule.
func (j *judge) byHand() {
	if j.spec.RunWindow > 0 {
		j.warn("run_window has no effect without a schedule")
	}
	if j.spec.Spread > 0 {
		j.warn("spread has no effect without a schedule")
	}
	if j.spec.MaxShareAge > 0 {
		j.warn("max_share_age only raises alerts, because a policy without a schedule never starts a rotation by itself")
	}
}

// times judges the times of a policy against its schedule.
func (j *judge) times() {
	s := j.spec
	least, most := s.Schedule.Interval(), s.Schedule.MaxInterval()
	if s.RunWindow > least {
		j.refuse("run_window %s is longer than the %s from one tick of %q to the next: write at most %s, or null for until the next tick",
			short(s.RunWindow), short(least), s.Schedule, short(least))
	}
	window, longest := s.RunWindow, s.RunWindow
	name := "run_window " + short(window)
	if window == 0 {
		window, longest = least, most
		name = "time until the next tick, " + short(window)
	}
	if s.Spread > window {
		j.refuse("spread %s is longer than the %s: wallets in its last part would never start; write at most %s",
			short(s.Spread), name, short(window))
	}
	if s.MaxShareAge == 0 {
		return
	}
	needed, calm := most+longest, 2*most+longest
	switch {
	case s.MaxShareAge < needed:
		j.refuse("max_share_age %s is shorter than the longest gap between ticks, %s, plus the window, %s: the promise would break although everything works; write at least %s",
			short(s.MaxShareAge), short(most), short(longest), short(needed))
	case s.MaxShareAge < calm:
		j.warn("max_share_age %s leaves no room for one missed tick: that takes two gaps of %s plus the window, %s, together %s",
			short(s.MaxShareAge), short(most), short(longest), short(calm))
	}
}

// limits judges whether all wallets can start within the window.
func (j *judge) limits(wallets int64) {
	s := j.spec
	window := s.RunWindow
	if window == 0 {
		window = s.Schedule.Interval()
	}
	if s.MaxPerMinute > 0 {
		if can := float64(s.MaxPerMinute) * window.Minutes(); can < float64(wallets) {
			j.warn("max_per_minute %d lets %.0f of %d wallets start within %s: it takes at least %.0f per minute",
				s.MaxPerMinute, math.Floor(can), wallets, short(window), math.Ceil(float64(wallets)/window.Minutes()))
		}
	}
	if t := j.rules.RotationTime; t > 0 {
		rounds := float64(window) / float64(t)
		if can := float64(s.MaxConcurrent) * rounds; can < float64(wallets) {
			j.warn("max_concurrent %d lets about %.0f of %d wallets finish within %s if each takes %s: it takes at least %.0f at a time",
				s.MaxConcurrent, math.Floor(can), wallets, short(window), t.Round(time.Millisecond), math.Ceil(float64(wallets)/rounds))
		}
	}
	if wallets > 0 && int64(s.Canary) >= wallets {
		j.warn("canary %d covers all %d wallets: none is held back", s.Canary, wallets)
	}
}

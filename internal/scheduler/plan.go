package scheduler

import (
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// Run is a tick, as a plan shows it.
type Run struct {
	At time.Time // UTC
	// Ends is when rotations of this run may start no more: the end of the run
	// window, or the next tick. Zero: it never comes.
	Ends time.Time
	// Notes say what the clocks of the policy's zone do to this run, and to
	// those that are left out between the one before and this.
	Notes []string
}

// Upcoming are the first n ticks after both times, fewer where the schedule
// ends. It is what the daemon announces in policy_status.
func (s *Schedule) Upcoming(after, since time.Time, n int) []time.Time {
	var ticks []time.Time
	for range n {
		if after = s.Next(after, since); after.IsZero() {
			break
		}
		ticks = append(ticks, after.UTC())
	}
	return ticks
}

// Runs are the first n runs after both times; none for a policy that runs by
// hand.
func (s *Spec) Runs(after, since time.Time, n int) []Run {
	if s.ByHand() || n <= 0 {
		return nil
	}
	ticks := s.Schedule.Upcoming(after, since, n+1)
	runs := make([]Run, 0, n)
	for i, at := range ticks[:min(n, len(ticks))] {
		run := Run{At: at, Notes: s.Schedule.clockNotes(latest(after, since), at)}
		if end, ok := s.WindowEnd(at); ok {
			run.Ends = end
		} else if i+1 < len(ticks) {
			run.Ends = ticks[i+1]
		}
		runs = append(runs, run)
		after = at
	}
	return runs
}

// Outlook is what will be run of a policy as its row stands.
type Outlook struct {
	// Spec is what runs, or will as soon as a daemon looks; nil: no version was
	// ever good.
	Spec *Spec
	// Since is what ticks count from.
	Since time.Time
	// Judged says that a daemon has judged the row. If not, Verdict is the
	// judgement that it will come to.
	Judged  bool
	Verdict Verdict
}

// Foresee tells what a daemon makes of a row, by the same steps that it takes.
// wallets are those of the policy.
func Foresee(row store.Policy, wallets int64, rules Rules, now time.Time) Outlook {
	running, err := load(row)
	o := Outlook{Since: row.ScheduleSince}
	if running.runs {
		o.Spec = &running.spec
	}
	if row.JudgedVersion >= row.Version && err == nil {
		o.Judged = true
		return o
	}
	o.Verdict = Judge(rowOf(row), wallets, rules)
	if o.Verdict.Err == nil {
		o.Spec = &o.Verdict.Spec
		if restarts(row, o.Spec) {
			o.Since = now
		}
	}
	return o
}

// rowOf is a row as Judge takes it.
func rowOf(row store.Policy) Row {
	return Row{ID: row.ID, Name: row.Name, Schedule: row.Schedule, Timezone: row.Timezone,
		RunWindow: row.RunWindow, Spread: &row.Spread, MaxShareAge: row.MaxShareAge, Canary: row.Canary,
		MaxConcurrent: row.MaxConcurrent, MaxPerMinute: row.MaxPerMinute, MaxAttempts: row.MaxAttempts,
		FailureBudget: row.FailureBudget, Enabled: row.Enabled, PausedReason: row.PausedReason, Version: row.Version}
}

// wallClock is how notes name a time of the zone's clock, and clockDay by how
// much no clock is ever moved more.
const (
	wallClock = "Mon 2006-01-02 15:04"
	clockDay  = 25 * time.Hour
)

// clockNotes says what changes of the zone's clock in (after, tick] leave out,
// and whether the clock shows the tick's time twice.
func (s *Schedule) clockNotes(after, tick time.Time) (notes []string) {
	if s.every > 0 {
		return nil // no clock on the wall moves it
	}
	for _, c := range s.changes(after, tick) {
		if note := s.skipped(c); note != "" {
			notes = append(notes, note)
		}
	}
	for _, c := range s.changes(tick.Add(-clockDay), tick.Add(clockDay)) {
		if note := s.repeated(c, tick); note != "" {
			notes = append(notes, note)
		}
	}
	return notes
}

// change of a zone's clock: at that moment it is moved by so much.
type change struct {
	at     time.Time
	before time.Duration // offset
	by     time.Duration // below zero: back
}

// changes of the zone's clock in (after, until].
func (s *Schedule) changes(after, until time.Time) (all []change) {
	for period := after.In(s.zone); ; {
		end, ok := periodEnd(period)
		if !ok || end.After(until) {
			return all
		}
		_, before := period.Zone()
		period = end.In(s.zone)
		if _, now := period.Zone(); now != before {
			all = append(all, change{end, time.Duration(before) * time.Second, time.Duration(now-before) * time.Second})
		}
	}
}

// skipped names the ticks that the clock leaves out when it is moved forward.
func (s *Schedule) skipped(c change) string {
	from := c.at.Add(c.before).UTC()
	var first, last time.Time
	n := 0
	for t := s.spec.Next(from.Add(-time.Nanosecond)); !t.IsZero() && t.Before(from.Add(c.by)); t = s.spec.Next(t) {
		if n++; n == 1 {
			first = t
		}
		last = t
	}
	switch n {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("the clocks skip %s: no run then", first.Format(wallClock))
	}
	return fmt.Sprintf("the clocks skip %s to %s: %d runs less", first.Format(wallClock), last.Format("15:04"), n)
}

// repeated says that the clock shows a tick's time twice, because it is moved
// back, and whether the other time is a run as well.
func (s *Schedule) repeated(c change, tick time.Time) string {
	var twin time.Time
	which := "first"
	switch {
	case !tick.Before(c.at.Add(c.by)) && tick.Before(c.at): // by is below zero
		twin = tick.Add(-c.by)
	case !tick.Before(c.at) && tick.Before(c.at.Add(-c.by)):
		twin, which = tick.Add(c.by), "second"
	default:
		return ""
	}
	shows := fmt.Sprintf("the clocks show %s twice", tick.In(s.zone).Format(wallClock))
	if !s.nextCron(twin.Add(-time.Nanosecond)).Equal(twin) {
		return fmt.Sprintf("%s: a run at the %s only", shows, which)
	}
	return fmt.Sprintf("%s: a run at both, this is the %s", shows, which)
}

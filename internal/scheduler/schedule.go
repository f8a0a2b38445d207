package scheduler

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a policy must not be valid on one replica and unknown on a slimmer one

	"github.com/robfig/cron/v3"
)

// searchYears is how far Next looks. The rarest day there is, 29 February
// around the year 2100, is eight years away; the rest is for zones that skip
// the wanted hour again and again.
const searchYears = 40

// Rules are the parts of the configuration that decide what a policy may
// ask for.
type Rules struct {
	// MinInterval is the smallest gap between two ticks; zero allows any.
	MinInterval time.Duration
	// RotationTime is what one rotation is known or expected to take; it is
	// used to judge max_concurrent. Zero: unknown, not judged.
	RotationTime time.Duration
}

// Schedule is when a policy ticks. It has no clock and no state: the same
// arguments give the same ticks on every replica, today and after a restart.
type Schedule struct {
	expr     string
	zone     *time.Location
	every    time.Duration      // @every; zero for a cron schedule
	spec     *cron.SpecSchedule // in UTC, see nextCron
	min, max time.Duration
	warnings []string
}

// ParseSchedule reads a 5-field cron expression, a macro such as @daily, or
// "@every 720h", in an IANA zone. An error is one sentence that says what to
// write instead. What robfig/cron accepts without meaning it is refused, see
// normalise; Sunday may be written 7, as crontab allows.
func ParseSchedule(expr, tz string, opts Rules) (*Schedule, error) {
	zone, err := parseZone(tz)
	if err != nil {
		return nil, err
	}
	s := &Schedule{expr: strings.TrimSpace(expr), zone: zone}
	if err := s.parse(); err != nil {
		return nil, fmt.Errorf("schedule %.*q: %w", maxExpression, s.expr, err)
	}
	if s.min < opts.MinInterval {
		return nil, fmt.Errorf("schedule %q: it fires every %s, more often than every %s, which scheduler.min_interval in the configuration allows: write a longer gap",
			s.expr, short(s.min), short(opts.MinInterval))
	}
	return s, nil
}

func (s *Schedule) parse() error {
	every, ok, err := parseEvery(s.expr)
	if err != nil {
		return err
	}
	if ok {
		s.every, s.min, s.max = every, every, every
		return nil
	}
	expr, warnings, err := normalise(s.expr)
	if err != nil {
		return err
	}
	parsed, err := cron.ParseStandard(expr)
	if err != nil {
		return fmt.Errorf("reading %q: %w", expr, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return fmt.Errorf("reading %q: not a calendar schedule", expr)
	}
	spec.Location = time.UTC
	s.spec, s.warnings = spec, warnings
	if s.min, s.max = calendarGaps(spec); s.max == 0 {
		return errors.New("it never fires: none of its months has such a day")
	}
	return nil
}

func parseZone(tz string) (*time.Location, error) {
	switch tz {
	case "":
		return nil, errors.New(`timezone is empty: write UTC, or an IANA name such as Europe/Berlin`)
	case "Local", "local", "localtime":
		return nil, fmt.Errorf("timezone %q would mean something else on every machine: write an IANA name such as Europe/Berlin", tz)
	}
	zone, err := time.LoadLocation(tz)
	if err != nil {
		return nil, fmt.Errorf("timezone %.64q is not known: write UTC, or an IANA name such as Europe/Berlin", tz)
	}
	return zone, nil
}

// String is the expression as the operator wrote it.
func (s *Schedule) String() string { return s.expr }

// Location is the zone that the expression is read in.
func (s *Schedule) Location() *time.Location { return s.zone }

// Interval is the smallest gap between two ticks as the calendar has it.
// Changes of the clocks are left out: a daily schedule has 24 hours, although
// one day a year has 23.
func (s *Schedule) Interval() time.Duration { return s.min }

// MaxInterval is the largest gap between two ticks, counted like Interval.
func (s *Schedule) MaxInterval() time.Duration { return s.max }

// Next is the first tick after both times, in UTC. since is the policy's
// schedule_since: nothing ticks before it, and "@every" counts from it, on
// PostgreSQL's grid of microseconds. It is zero when nothing comes in the
// next 40 years.
func (s *Schedule) Next(after, since time.Time) time.Time {
	if after.Before(since) {
		after = since
	}
	if s.every > 0 {
		return s.everyTick(since, s.everyCount(after, since)+1)
	}
	return s.nextCron(after)
}

// Latest is the last tick in (after, now], and no tick at or before since. Its
// cost does not grow with the number of ticks in between, so that an outage of
// years is caught up in milliseconds.
func (s *Schedule) Latest(after, now, since time.Time) (tick time.Time, ok bool) {
	if after.Before(since) {
		after = since
	}
	if s.every > 0 {
		tick = s.everyTick(since, s.everyCount(now, since))
		return tick, tick.After(after) && !tick.After(now)
	}
	come := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	tick = s.nextCron(after)
	if !come(tick) {
		return time.Time{}, false
	}
	// Bisect: "a tick comes after x and before now" turns from true to false
	// once, at the tick that is looked for.
	for end := now; ; {
		next := s.nextCron(tick)
		if !come(next) {
			return tick, true
		}
		tick = next
		middle := tick.Add(end.Sub(tick) / 2)
		if next = s.nextCron(middle); come(next) {
			tick = next
		} else {
			end = middle
		}
	}
}

// everyCount is how many whole periods lie between since and t.
func (s *Schedule) everyCount(t, since time.Time) int64 {
	return max(0, (t.UnixMicro()-since.UnixMicro())/s.every.Microseconds())
}

func (s *Schedule) everyTick(since time.Time, k int64) time.Time {
	return time.UnixMicro(since.UnixMicro() + k*s.every.Microseconds()).UTC()
}

// nextCron finds the first instant after t whose wall clock in the zone fits
// the expression: an hour that is skipped does not tick, one that comes twice
// ticks twice.
//
// robfig/cron is only asked in UTC, and its answers are carried over zone
// period by zone period. Asked in the zone itself it loses its way around
// clock changes at midnight and those of half an hour: for "30 2 25 * *" in
// Africa/Cairo it fires on 2024-04-26, and "0 0 * * *" in Australia/Lord_Howe
// leaves out 2024-04-08.
func (s *Schedule) nextCron(t time.Time) time.Time {
	limit := t.AddDate(searchYears, 0, 0)
	after, period := t, t.In(s.zone)
	for {
		_, offset := period.Zone()
		shift := time.Duration(offset) * time.Second
		wall := after.Add(shift).UTC()
		next := s.spec.Next(wall)
		if next.IsZero() { // robfig gives up after five years; 2096 to 2104 has no leap day
			next = s.spec.Next(wall.AddDate(5, 0, 0))
		}
		if next.IsZero() {
			return time.Time{}
		}
		next = next.Add(-shift)
		end, ok := periodEnd(period)
		if !ok || next.Before(end) {
			return next
		}
		if end.After(limit) {
			return time.Time{}
		}
		after, period = end.Add(-time.Nanosecond), end.In(s.zone)
	}
}

// periodEnd is the next time that the clock of t's zone may change; ok is
// false when it never does.
func periodEnd(t time.Time) (end time.Time, ok bool) {
	_, end = t.ZoneBounds()
	if end.IsZero() {
		return end, false
	}
	if !end.After(t) {
		// Go, at least until 1.26, counts 365 days for the last year of a zone
		// period: asked on 31 December of a leap year, it says that the period
		// has already ended. One day on, it is right again.
		end = t.Add(24 * time.Hour)
	}
	return end, true
}

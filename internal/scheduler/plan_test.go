package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/store"
)

// crontabFits is crontab's meaning of an expression, read from its text minute
// by minute, and shares no line with what it is compared with.
func crontabFits(expr string, wall time.Time) bool {
	field := strings.Fields(expr)
	in := func(i, value, lowest int) bool {
		return slices.ContainsFunc(strings.Split(field[i], ","), func(item string) bool {
			if step, ok := strings.CutPrefix(item, "*/"); ok {
				n, err := strconv.Atoi(step)
				return err == nil && (value-lowest)%n == 0
			}
			return item == "*" || item == strconv.Itoa(value)
		})
	}
	day := in(2, wall.Day(), 1)
	week := in(4, int(wall.Weekday()), 0) || wall.Weekday() == time.Sunday && in(4, 7, 0)
	either := field[2] != "*" && field[4] != "*"
	return wall.Second() == 0 && in(0, wall.Minute(), 0) && in(1, wall.Hour(), 0) && in(3, int(wall.Month()), 1) &&
		(either && (day || week) || !either && day && week)
}

// drawPolicy draws a policy that is good in itself, at a time that is likely
// close to a change of its zone's clock, and the slow way to ask whether it
// ticks at a moment; nil where what was drawn never ticks.
func drawPolicy(rt *rapid.T, zones []string) (spec Spec, from, since time.Time, fits func(time.Time) bool) {
	name := rapid.SampledFrom(zones).Draw(rt, "zone")
	zone, err := time.LoadLocation(name)
	if err != nil {
		rt.Fatal(err)
	}
	at := time.Unix(rapid.Int64Range(946684800, 2240611200).Draw(rt, "time"), 0)
	if changes := clockChanges(zone); len(changes) > 0 && rapid.Bool().Draw(rt, "at a clock change") {
		at = rapid.SampledFrom(changes).Draw(rt, "clock change")
	}
	from = at.Add(-time.Duration(rapid.IntRange(0, 30*60).Draw(rt, "minutes before")) * time.Minute).UTC()
	since = from.Add(-time.Duration(rapid.IntRange(-3600, 86400).Draw(rt, "seconds since")) * time.Second)
	expr := drawExpression(rt, at.In(zone))
	fits = func(t time.Time) bool { return crontabFits(expr, t.In(zone)) }
	if rapid.Bool().Draw(rt, "every") {
		period := int64(rapid.IntRange(1, 600).Draw(rt, "minutes")) * 60
		expr = fmt.Sprintf("@every %ds", period)
		fits = func(t time.Time) bool { return t.After(since) && (t.Unix()-since.Unix())%period == 0 }
	}
	row := Row{Schedule: &expr, Timezone: name, MaxConcurrent: 10, MaxAttempts: 5, Version: 1}
	s, err := ParseSchedule(expr, name, Rules{})
	if err != nil {
		return spec, from, since, nil // such as 30 February
	}
	if least := int(s.Interval() / time.Minute); rapid.Bool().Draw(rt, "windowed") {
		window := time.Duration(rapid.IntRange(1, least).Draw(rt, "window")) * time.Minute
		row.RunWindow = &window
		spread := time.Duration(rapid.IntRange(0, int(window/time.Second)).Draw(rt, "spread")) * time.Second
		row.Spread = &spread
	}
	verdict := Judge(row, 3, Rules{})
	if verdict.Err != nil {
		rt.Fatal(verdict.Err)
	}
	return verdict.Spec, from, since, fits
}

// TestPlannedRunsAreThoseThatHappen: whatever zone, clock change and schedule,
// what is announced is what the clock on the wall says minute by minute, it is
// what a daemon fires that looks at any moments, and each wallet starts at most
// once in each run, never before its slot and never once the run has ended.
func TestPlannedRunsAreThoseThatHappen(t *testing.T) {
	zones := ianaZones(t)
	rapid.Check(t, func(rt *rapid.T) {
		spec, from, since, fits := drawPolicy(rt, zones)
		if fits == nil {
			return
		}
		to := from.Add(32 * time.Hour)
		start := from.Truncate(time.Minute)
		if spec.Schedule.every > 0 {
			start = since
		}
		var slow []time.Time
		for at := start; !at.After(to); at = at.Add(time.Minute) {
			if at.After(from) && at.After(since) && fits(at) {
				slow = append(slow, at)
			}
		}
		planned := spec.Runs(from, since, len(slow)+1)
		for i, at := range slow {
			if i >= len(planned) || !planned[i].At.Equal(at) {
				rt.Fatalf("%q in %s after %s since %s: run %d should be at %s: %v", spec.Schedule, spec.Timezone, from, since, i, at, planned[min(i, len(planned)):min(i+1, len(planned))])
			}
		}
		if len(planned) > len(slow) && !planned[len(slow)].At.After(to) {
			rt.Fatalf("%q in %s after %s since %s: %s is planned, and is no tick", spec.Schedule, spec.Timezone, from, since, planned[len(slow)].At)
		}
		planned = planned[:len(slow)]

		// A daemon that looks often enough to see every tick, and wallets that
		// limits hold back for a while after each.
		wallets := []Wallet{{ID: 1}, {ID: 1 << 20}, {ID: 1 << 40}}
		held := make([]time.Duration, len(wallets))
		for i := range wallets {
			wallets[i].CycleAt, wallets[i].EligibleAfter = from, from
			held[i] = rapid.SampledFrom([]time.Duration{0, time.Minute, spec.RunWindow - 1, spec.RunWindow, spec.RunWindow + time.Second, time.Hour}).Draw(rt, "held back")
		}
		look := time.Duration(rapid.IntRange(11, 29).Draw(rt, "look")) * time.Second
		watermark, fired := from, 0
		for now := from; !now.After(to); now = now.Add(look) {
			if at, ok := spec.Schedule.Latest(watermark, now, since); ok {
				if fired == len(planned) || !planned[fired].At.Equal(at) {
					rt.Fatalf("%q in %s after %s since %s: %s fires, and is not run %d", spec.Schedule, spec.Timezone, from, since, at, fired)
				}
				watermark = at
				fired++
			}
			if fired == 0 {
				continue
			}
			run := planned[fired-1]
			for i, w := range wallets {
				d := Due(w, &spec, Moment{Now: now, Tick: watermark})
				if !d.Due || d.NotBefore.After(now) || now.Sub(watermark) < held[i] {
					continue
				}
				if now.Before(run.At.Add(spec.Slot(w.ID))) || !run.Ends.IsZero() && !now.Before(run.Ends) {
					rt.Fatalf("%q: wallet %d starts at %s, outside %s to %s", spec.Schedule, w.ID, now, run.At, run.Ends)
				}
				wallets[i].CycleAt = watermark
			}
			for i, w := range wallets {
				if open := max(spec.Slot(w.ID), held[i]) + look; w.CycleAt.Before(run.At) && now.Sub(run.At) >= open && (run.Ends.IsZero() || run.Ends.Sub(run.At) > open) {
					rt.Fatalf("%q: wallet %d has not started by %s in the run %s to %s", spec.Schedule, w.ID, now, run.At, run.Ends)
				}
			}
		}
		if fired < len(planned) && to.Sub(planned[fired].At) > look {
			rt.Fatalf("%q in %s after %s since %s: run %d never fired", spec.Schedule, spec.Timezone, from, since, fired)
		}
	})
}

// TestRunNotes is what people are told of clocks that change.
func TestRunNotes(t *testing.T) {
	for _, c := range []struct {
		name, expr, tz, from string
		runs                 int
		want                 []string
	}{
		{"an ordinary week", "0 3 * * *", "Europe/Zurich", "2026-02-01T00:00:00Z", 5, nil},
		{"a run is skipped", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2,
			[]string{"2026-03-09T06:30:00Z the clocks skip Sun 2026-03-08 02:30: no run then"}},
		{"the moment of the change itself is skipped", "0 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 1,
			[]string{"2026-03-09T06:00:00Z the clocks skip Sun 2026-03-08 02:00: no run then"}},
		{"the hour behind it is not", "0 3 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2, nil},
		{"several runs are skipped", "*/20 1-3 * * *", "America/New_York", "2026-03-08T06:00:00Z", 4,
			[]string{"2026-03-08T07:00:00Z the clocks skip Sun 2026-03-08 02:00 to 02:40: 3 runs less"}},
		{"a run comes twice", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 3, []string{
			"2026-11-01T05:30:00Z the clocks show Sun 2026-11-01 01:30 twice: a run at both, this is the first",
			"2026-11-01T06:30:00Z the clocks show Sun 2026-11-01 01:30 twice: a run at both, this is the second"}},
		{"the moment of the change back shows it anew", "0 1,2 * * *", "America/New_York", "2026-10-31T12:00:00Z", 3, []string{
			"2026-11-01T05:00:00Z the clocks show Sun 2026-11-01 01:00 twice: a run at both, this is the first",
			"2026-11-01T06:00:00Z the clocks show Sun 2026-11-01 01:00 twice: a run at both, this is the second"}},
		{"half an hour at Lord Howe", "45 1 * * *", "Australia/Lord_Howe", "2024-04-06T00:00:00Z", 2, []string{
			"2024-04-06T14:45:00Z the clocks show Sun 2024-04-07 01:45 twice: a run at both, this is the first",
			"2024-04-06T15:15:00Z the clocks show Sun 2024-04-07 01:45 twice: a run at both, this is the second"}},
		{"a day is skipped in Samoa", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 2,
			[]string{"2011-12-30T22:00:00Z the clocks skip Fri 2011-12-30 12:00: no run then"}},
		{"periods heed no clock", "@every 12h", "America/New_York", "2026-03-07T12:00:00Z", 4, nil},
		{"the last day of a leap year is no change", "0 12 * * *", "America/New_York", "2028-12-30T12:00:00Z", 4, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := mustTime(t, c.from)
			spec := Spec{Schedule: mustSchedule(t, c.expr, c.tz), Timezone: c.tz}
			var got []string
			for _, run := range spec.Runs(from, from, c.runs) {
				for _, note := range run.Notes {
					got = append(got, run.At.Format(time.RFC3339)+" "+note)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q in %s (-want +got):\n%s", c.expr, c.tz, diff)
			}
		})
	}
}

// TestRunsEnd: with the window, or with the next run; and there are not more
// than were asked for.
func TestRunsEnd(t *testing.T) {
	from := mustTime(t, "2026-01-01T00:00:00Z")
	spec := Spec{Schedule: mustSchedule(t, "0 3 * * *", "UTC"), Timezone: "UTC"}
	runs := spec.Runs(from, from, 2)
	if len(runs) != 2 || !runs[0].Ends.Equal(runs[1].At) || !runs[1].Ends.Equal(runs[1].At.Add(24*time.Hour)) {
		t.Errorf("without a window: %v", runs)
	}
	spec.RunWindow = 4 * time.Hour
	if runs = spec.Runs(from, from, 1); len(runs) != 1 || !runs[0].Ends.Equal(runs[0].At.Add(4*time.Hour)) {
		t.Errorf("with a window: %v", runs)
	}
	if runs = (&Spec{Timezone: "UTC"}).Runs(from, from, 3); runs != nil {
		t.Errorf("by hand: %v", runs)
	}
}

// TestForesee: of a row that no daemon has judged it tells what one will do,
// and of a judged one what it does.
func TestForesee(t *testing.T) {
	daily, bad := "@daily", "TZ="
	now := mustTime(t, "2026-03-01T00:00:00Z")
	since := now.Add(-time.Hour)
	row := func(schedule *string, version, judged int64, running string) store.Policy {
		p := store.Policy{Schedule: schedule, Timezone: "UTC", MaxConcurrent: 1, MaxAttempts: 1, Version: version, JudgedVersion: judged, ScheduleSince: since}
		if running != "" {
			p.RunningSpec, p.RunningVersion = fmt.Appendf(nil, `{"version": 1, "schedule": %q, "timezone": "UTC"}`, running), 1
		}
		return p
	}
	for _, c := range []struct {
		name    string
		row     store.Policy
		judged  bool
		refused bool
		since   time.Time
		runs    string // schedule; empty: nothing
	}{
		{"inserted, not judged", row(&daily, 1, 0, ""), false, false, since, "@daily"},
		{"inserted and bad", row(&bad, 1, 0, ""), false, true, since, ""},
		{"mended before it ever ran", row(&daily, 2, 1, ""), false, false, now, "@daily"},
		{"judged", row(&daily, 1, 1, "@daily"), true, false, since, "@daily"},
		{"judged and refused: the last good version", row(&bad, 2, 2, "@weekly"), true, false, since, "@weekly"},
		{"edited: counts from now", row(&daily, 2, 1, "@weekly"), false, false, now, "@daily"},
		{"edited, and ticks as before", row(&daily, 2, 1, "@daily"), false, false, since, "@daily"},
		{"edited badly, not judged: the last good version", row(&bad, 2, 1, "@weekly"), false, true, since, "@weekly"},
		{"stored by a build that wrote otherwise", row(&daily, 1, 1, "whenever"), false, false, now, "@daily"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Foresee(c.row, 1, Rules{}, now)
			runs := ""
			if o.Spec != nil {
				runs = o.Spec.Schedule.String()
			}
			if o.Judged != c.judged || (o.Verdict.Err != nil) != c.refused || !o.Since.Equal(c.since) || runs != c.runs {
				t.Errorf("got judged %t, %v, since %s, runs %q; want %t, refused %t, %s, %q", o.Judged, o.Verdict.Err, o.Since, runs, c.judged, c.refused, c.since, c.runs)
			}
		})
	}
}

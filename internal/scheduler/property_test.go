package scheduler

import (
	"archive/zip"
	"fmt"
	"go/build"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// ianaZones is every zone name that Go's own copy of the database knows.
func ianaZones(t *testing.T) []string {
	t.Helper()
	archive, err := zip.OpenReader(filepath.Join(build.Default.GOROOT, "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var zones []string
	for _, file := range archive.File {
		if !strings.HasSuffix(file.Name, "/") {
			zones = append(zones, file.Name)
		}
	}
	slices.Sort(zones)
	if len(zones) < 400 {
		t.Fatalf("only %d zones", len(zones))
	}
	return zones
}

// clockChanges are the instants between 2000 and 2040 at which the zone's
// clock changes, and the ends of leap years, see periodEnd.
func clockChanges(zone *time.Location) []time.Time {
	var changes []time.Time
	for at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).In(zone); ; {
		end, ok := periodEnd(at)
		if !ok || end.Year() > 2040 {
			return changes
		}
		changes = append(changes, end)
		at = end
	}
}

// drawExpression draws expressions of which many tick within a few days of at.
func drawExpression(rt *rapid.T, at time.Time) string {
	number := func(name string, lo, hi int) string {
		return fmt.Sprint(rapid.IntRange(lo, hi).Draw(rt, name))
	}
	one := func(name string, options ...string) string { return rapid.SampledFrom(options).Draw(rt, name) }
	near := at.AddDate(0, 0, rapid.IntRange(-1, 1).Draw(rt, "day offset"))
	return strings.Join([]string{
		one("minute", "0", "30", "*/15", number("m", 0, 59)),
		one("hour", "*", "0", "1,2", "*/6", "23", number("h", 0, 23)),
		one("day of month", "*", "*", fmt.Sprint(near.Day()), "*/2"),
		one("month", "*", "*", fmt.Sprint(int(near.Month()))),
		one("day of week", "*", "*", fmt.Sprint(int(near.Weekday())), "7"),
	}, " ")
}

// fits is the definition of a tick: the wall clock of the zone shows a minute
// that the expression names. It is the slow and obvious way to ask.
func fits(s *Schedule, at time.Time) bool {
	wall := at.In(s.zone)
	return wall.Second() == 0 && s.spec.Minute&(1<<wall.Minute()) != 0 && s.spec.Hour&(1<<wall.Hour()) != 0 &&
		onDay(s.spec, wall.Month(), wall.Day(), wall.Weekday())
}

// TestTicksAreTheMinutesThatFit: in any zone, around any change of its clock,
// Next walks through exactly the minutes that fit, and Latest agrees with it.
func TestTicksAreTheMinutesThatFit(t *testing.T) {
	zones := ianaZones(t)
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(rt, "zone")
		zone, err := time.LoadLocation(name)
		if err != nil {
			rt.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(946684800, 2240611200).Draw(rt, "time"), 0)
		if changes := clockChanges(zone); len(changes) > 0 {
			at = rapid.SampledFrom(changes).Draw(rt, "clock change")
		}
		expr := drawExpression(rt, at.In(zone))
		s, err := ParseSchedule(expr, name, Rules{})
		if err != nil {
			return // such as 30 February
		}
		from := at.Add(-30 * time.Hour).Truncate(time.Minute)
		to := at.Add(30 * time.Hour)
		var want, got []time.Time
		for m := from.Add(time.Minute); !m.After(to); m = m.Add(time.Minute) {
			if fits(s, m) {
				want = append(want, m.UTC())
			}
		}
		for tick := s.Next(from, from); !tick.IsZero() && !tick.After(to); tick = s.Next(tick, from) {
			if got = append(got, tick); len(got) > len(want) {
				break
			}
		}
		if !slices.EqualFunc(want, got, time.Time.Equal) {
			rt.Fatalf("%q in %s around %s:\n got %s\nwant %s", expr, name, at.In(zone), got, want)
		}
		tick, ok := s.Latest(from, to, from)
		switch {
		case ok != (len(want) > 0):
			rt.Fatalf("%q in %s: latest says %v with %d ticks", expr, name, ok, len(want))
		case ok && !tick.Equal(want[len(want)-1]):
			rt.Fatalf("%q in %s: latest is %s, want %s", expr, name, tick, want[len(want)-1])
		}
	})
}

// TestEveryTicks: ticks lie on since + k·d, whatever moment they are asked at.
func TestEveryTicks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, int64(maxEvery/time.Second)).Draw(rt, "seconds")) * time.Second
		s, err := ParseSchedule("@every "+d.String(), "UTC", Rules{})
		if err != nil {
			rt.Fatal(err)
		}
		since := time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(rt, "since"))
		after := since.Add(time.Duration(rapid.Int64Range(-1e15, 1e18).Draw(rt, "after")))
		next := s.Next(after, since)
		if !next.After(after) || !next.After(since) {
			rt.Fatalf("next after %s is %s", after, next)
		}
		if rest := next.Sub(since) % d; rest != 0 {
			rt.Fatalf("%s is %s off the grid of %s from %s", next, rest, d, since)
		}
		if before := next.Add(-d); before.After(after) && before.After(since) {
			rt.Fatalf("%s was left out", before)
		}
		if tick, ok := s.Latest(after, next.Add(d-1), since); !ok || !tick.Equal(next) {
			rt.Fatalf("latest is %s, %v; want %s", tick, ok, next)
		}
	})
}

// TestIntervalBoundsTheCalendar: in a zone whose clock never changes, no two
// ticks are closer than Interval or further apart than MaxInterval.
func TestIntervalBoundsTheCalendar(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from := time.Unix(rapid.Int64Range(946684800, 4070908800).Draw(rt, "from"), 0)
		s, err := ParseSchedule(drawExpression(rt, from), "Asia/Tokyo", Rules{})
		if err != nil {
			return
		}
		last := s.Next(from, from)
		for range 50 {
			next := s.Next(last, from)
			if gap := next.Sub(last); gap < s.Interval() || gap > s.MaxInterval() {
				rt.Fatalf("%q: %s to %s is outside %s to %s", s, last, next, s.Interval(), s.MaxInterval())
			}
			last = next
		}
	})
}

package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func mustSchedule(t testing.TB, expr, tz string) *Schedule {
	t.Helper()
	s, err := ParseSchedule(expr, tz, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustTime(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// listTicks lists the ticks of s in (from, to], in its own zone.
func listTicks(s *Schedule, from, to time.Time) []string {
	var out []string
	for at := s.Next(from, from); !at.IsZero() && !at.After(to); at = s.Next(at, from) {
		out = append(out, at.In(s.Location()).Format("Mon 2006-01-02 15:04 -07:00"))
	}
	return out
}

// TestTicks is what the expressions mean, on ordinary days and when the
// clocks change.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name, expr, tz, from, to string
		want                     []string
	}{
		{
			"every Sunday", "0 3 * * 0", "UTC", "2026-01-01T00:00:00Z", "2026-01-15T00:00:00Z",
			[]string{"Sun 2026-01-04 03:00 +00:00", "Sun 2026-01-11 03:00 +00:00"},
		},
		{
			"Sunday as 7", "0 3 * * 7", "UTC", "2026-01-01T00:00:00Z", "2026-01-15T00:00:00Z",
			[]string{"Sun 2026-01-04 03:00 +00:00", "Sun 2026-01-11 03:00 +00:00"},
		},
		{
			"the policy's zone, not the machine's", "0 3 * * *", "Asia/Tokyo", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z",
			[]string{"Fri 2026-01-02 03:00 +09:00"},
		},
		{
			"either of two day fields", "0 3 13 * 5", "UTC", "2026-02-01T00:00:00Z", "2026-02-21T00:00:00Z",
			[]string{"Fri 2026-02-06 03:00 +00:00", "Fri 2026-02-13 03:00 +00:00", "Fri 2026-02-20 03:00 +00:00"},
		},
		{
			"leap days, across the century that has none", "0 0 29 2 *", "UTC", "2092-01-01T00:00:00Z", "2105-01-01T00:00:00Z",
			[]string{"Fri 2092-02-29 00:00 +00:00", "Wed 2096-02-29 00:00 +00:00", "Fri 2104-02-29 00:00 +00:00"},
		},
		{
			"New York skips 02:30 on 2026-03-08", "30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z",
			[]string{"Sat 2026-03-07 02:30 -05:00", "Mon 2026-03-09 02:30 -04:00"},
		},
		{
			"New York has 01:30 twice on 2026-11-01", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "2026-11-02T12:00:00Z",
			[]string{"Sun 2026-11-01 01:30 -04:00", "Sun 2026-11-01 01:30 -05:00", "Mon 2026-11-02 01:30 -05:00"},
		},
		// robfig/cron alone gets the following wrong.
		{
			"Cairo has no midnight on 2024-04-26, but a 02:30", "30 2 26 * *", "Africa/Cairo", "2024-04-20T00:00:00Z", "2024-06-01T00:00:00Z",
			[]string{"Fri 2024-04-26 02:30 +03:00", "Sun 2024-05-26 02:30 +03:00"},
		},
		{
			"the day before Cairo's change does not spill over", "30 2 25 * *", "Africa/Cairo", "2024-04-25T06:00:00Z", "2024-06-01T00:00:00Z",
			[]string{"Sat 2024-05-25 02:30 +03:00"},
		},
		{
			"Cairo's missing midnight is skipped", "0 0 * * *", "Africa/Cairo", "2024-04-24T12:00:00Z", "2024-04-27T12:00:00Z",
			[]string{"Thu 2024-04-25 00:00 +02:00", "Sat 2024-04-27 00:00 +03:00"},
		},
		{
			"Lord Howe goes back by half an hour", "0 0 * * *", "Australia/Lord_Howe", "2024-04-06T00:00:00Z", "2024-04-08T00:00:00Z",
			[]string{"Sun 2024-04-07 00:00 +11:00", "Mon 2024-04-08 00:00 +10:30"},
		},
		{
			"Troll goes forward by two hours", "30 * * * *", "Antarctica/Troll", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z",
			[]string{"Sun 2026-03-29 00:30 +00:00", "Sun 2026-03-29 03:30 +02:00"},
		},
		{
			"Samoa had no 30 December 2011", "0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z",
			[]string{"Thu 2011-12-29 12:00 -10:00", "Sat 2011-12-31 12:00 +14:00"},
		},
		{
			"the last day of a leap year, where Go's zone period ends in the past", "0 0 1 * *", "America/New_York", "2028-12-31T12:00:00Z", "2029-02-02T00:00:00Z",
			[]string{"Mon 2029-01-01 00:00 -05:00", "Thu 2029-02-01 00:00 -05:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := listTicks(mustSchedule(t, c.expr, c.tz), mustTime(t, c.from), mustTime(t, c.to))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%q in %s (-want +got):\n%s", c.expr, c.tz, diff)
			}
		})
	}
}

func TestNextStartsAfterScheduleSince(t *testing.T) {
	s := mustSchedule(t, "0 3 * * *", "UTC")
	since := mustTime(t, "2026-05-10T03:00:00Z")
	if got, want := s.Next(mustTime(t, "2026-05-01T00:00:00Z"), since), mustTime(t, "2026-05-11T03:00:00Z"); !got.Equal(want) {
		t.Errorf("next = %s, want %s: an edit never causes a tick in the past", got, want)
	}
	if tick, ok := s.Latest(time.Time{}, since.Add(time.Hour), since); ok {
		t.Errorf("latest = %s: the tick at schedule_since belongs to the schedule before the edit", tick)
	}
}

// TestEveryCountsFromScheduleSince: not from the start of a process, so that
// replicas agree and a restart postpones nothing.
func TestEveryCountsFromScheduleSince(t *testing.T) {
	s := mustSchedule(t, "@every 720h", "UTC")
	since := time.Date(2026, 1, 1, 10, 20, 30, 123456000, time.UTC)
	first := since.Add(720 * time.Hour)
	for _, c := range []struct {
		name             string
		after, now, next time.Time
		latest           time.Time // zero: none
	}{
		{"before the edit", since.Add(-time.Hour), since, first, time.Time{}},
		{"at the edit", since, since, first, time.Time{}},
		{"just before the first", since, first.Add(-time.Microsecond), first, time.Time{}},
		{"at the first", since, first, first, first},
		{"after the first", first, first, first.Add(720 * time.Hour), time.Time{}},
		{"a year later, one tick is caught up", first, since.Add(8760 * time.Hour), first.Add(720 * time.Hour), since.Add(12 * 720 * time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := s.Next(c.after, since); !got.Equal(c.next) {
				t.Errorf("next = %s, want %s", got, c.next)
			}
			if got, ok := s.Latest(c.after, c.now, since); ok != !c.latest.IsZero() || ok && !got.Equal(c.latest) {
				t.Errorf("latest = %s, %v; want %s", got, ok, c.latest)
			}
		})
	}
}

func TestLatestAfterYearsOfOutage(t *testing.T) {
	since := mustTime(t, "1971-01-01T00:00:00Z")
	now := mustTime(t, "2026-03-08T12:00:00Z")
	for _, c := range []struct{ expr, tz, want string }{
		{"* * * * *", "America/New_York", "2026-03-08T12:00:00Z"},
		{"30 2 * * *", "America/New_York", "2026-03-07T07:30:00Z"}, // today's was skipped
		{"0 0 1 1 *", "UTC", "2026-01-01T00:00:00Z"},
		{"0 0 29 2 *", "UTC", "2024-02-29T00:00:00Z"},
		{"*/5 0 1 1 *", "UTC", "2026-01-01T00:55:00Z"},
		{"@every 1s", "UTC", "2026-03-08T12:00:00Z"},
	} {
		s := mustSchedule(t, c.expr, c.tz)
		if got, ok := s.Latest(since, now, since); !ok || !got.Equal(mustTime(t, c.want)) {
			t.Errorf("%q: latest = %s, %v; want %s", c.expr, got, ok, c.want)
		}
		if got, ok := s.Latest(now, now, since); ok {
			t.Errorf("%q: latest in an empty span = %s", c.expr, got)
		}
	}
}

func TestIntervals(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, c := range []struct {
		expr, tz          string
		smallest, longest time.Duration
	}{
		{"0 3 * * *", "UTC", day, day},
		{"30 1 * * *", "America/New_York", day, day}, // clock changes are left out
		{"0 3 * * 0", "UTC", 7 * day, 7 * day},
		{"0 3 * * 1-5", "UTC", day, 3 * day},
		{"0 */7 * * *", "UTC", 3 * hour, 7 * hour},
		{"*/45 * * * *", "UTC", 15 * time.Minute, 45 * time.Minute},
		{"0 9,17 * * *", "UTC", 8 * hour, 16 * hour},
		{"0 3 1 * *", "UTC", 28 * day, 31 * day},
		{"0 3 31 * *", "UTC", 31 * day, 61 * day},
		{"0 0 1 1 *", "UTC", 365 * day, 366 * day},
		{"0 0 29 2 *", "UTC", 1461 * day, 1461 * day},
		{"0 0 31 12 *", "UTC", 365 * day, 366 * day}, // across the round of the calendar
		{"@every 100h", "UTC", 100 * hour, 100 * hour},
	} {
		s := mustSchedule(t, c.expr, c.tz)
		if s.Interval() != c.smallest || s.MaxInterval() != c.longest {
			t.Errorf("%q: intervals %s to %s, want %s to %s", c.expr, s.Interval(), s.MaxInterval(), c.smallest, c.longest)
		}
	}
}

func BenchmarkLatestAfterYears(b *testing.B) {
	s := mustSchedule(b, "0 * * * *", "Europe/Berlin")
	since := mustTime(b, "2016-01-01T00:00:00Z")
	now := mustTime(b, "2026-01-01T00:00:30Z")
	for b.Loop() {
		if _, ok := s.Latest(since, now, since); !ok {
			b.Fatal("no tick")
		}
	}
}

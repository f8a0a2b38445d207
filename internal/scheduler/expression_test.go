package scheduler

import (
	"strings"
	"testing"
	"time"
)

// TestParseScheduleRefuses is the list of what an operator can get wrong, and
// of the sentence he then reads. The traps of robfig/cron are among them: it
// panics on the zone prefixes, turns small and negative @every into every
// second, and accepts steps and days that never come.
func TestParseScheduleRefuses(t *testing.T) {
	for _, c := range []struct{ expr, tz, want string }{
		{"", "UTC", `schedule "": it is empty: leave the schedule null for a policy that runs by hand`},
		{"   ", "UTC", `schedule "": it is empty: leave the schedule null for a policy that runs by hand`},
		{strings.Repeat("0", 257), "UTC", `schedule "` + strings.Repeat("0", 256) + `": it is longer than 256 characters: five fields are enough`},

		{"TZ=UTC", "UTC", `schedule "TZ=UTC": the zone does not belong here: put it into the column timezone and leave only the five fields`},
		{"TZ=", "UTC", `schedule "TZ=": the zone does not belong here: put it into the column timezone and leave only the five fields`},
		{"CRON_TZ=UTC", "UTC", `schedule "CRON_TZ=UTC": the zone does not belong here: put it into the column timezone and leave only the five fields`},
		{"CRON_TZ=Asia/Tokyo 0 3 * * *", "UTC", `schedule "CRON_TZ=Asia/Tokyo 0 3 * * *": the zone does not belong here: put it into the column timezone and leave only the five fields`},

		{"@every -5h", "UTC", `schedule "@every -5h": @every needs a duration above zero: write for example @every 720h`},
		{"@every 0s", "UTC", `schedule "@every 0s": @every needs a duration above zero: write for example @every 720h`},
		{"@every 1ms", "UTC", `schedule "@every 1ms": @every counts whole seconds: leave the fraction out`},
		{"@every 1h0.5s", "UTC", `schedule "@every 1h0.5s": @every counts whole seconds: leave the fraction out`},
		{"@every 59m59s", "UTC", `schedule "@every 59m59s": it fires every 59m59s, more often than every 1h, which scheduler.min_interval in the configuration allows: write a longer gap`},
		{"@every 30d", "UTC", `schedule "@every 30d": @every takes no days: write @every 720h`},
		{"@every", "UTC", `schedule "@every": @every has no duration: write for example @every 720h`},
		{"@every month", "UTC", `schedule "@every month": "month" is not a duration: write hours, minutes and seconds, for example @every 720h`},
		{"@every 100000h", "UTC", `schedule "@every 100000h": @every is longer than ten years (87600h): leave the schedule null for a policy that runs by hand`},

		{"@Daily", "UTC", `schedule "@Daily": write @daily in lower case`},
		{"@reboot", "UTC", `schedule "@reboot": it is not known: write @yearly, @monthly, @weekly, @daily, @hourly, @every <duration> or five fields`},

		{"0 3 * *", "UTC", `schedule "0 3 * *": it has 4 of five fields: write minute, hour, day of month, month and day of week`},
		{"0 0 3 * * 0", "UTC", `schedule "0 0 3 * * 0": it has 6 fields: seconds and years are not supported, write minute, hour, day of month, month and day of week`},
		{"0 0 3 * * 0 2027", "UTC", `schedule "0 0 3 * * 0 2027": it has 7 fields: seconds and years are not supported, write minute, hour, day of month, month and day of week`},

		{"0 0 30 2 *", "UTC", `schedule "0 0 30 2 *": it never fires: none of its months has such a day`},
		{"0 0 31 2,4,6,9,11 *", "UTC", `schedule "0 0 31 2,4,6,9,11 *": it never fires: none of its months has such a day`},

		{"*/100 3 * * *", "UTC", `schedule "*/100 3 * * *": minute "*/100": the step 100 reaches past 59, so it would fire at 0 only: write 0, or a smaller step`},
		{"0 */24 * * *", "UTC", `schedule "0 */24 * * *": hour "*/24": the step 24 reaches past 23, so it would fire at 0 only: write 0, or a smaller step`},
		{"0 3 20-25/6 * *", "UTC", `schedule "0 3 20-25/6 * *": day of month "20-25/6": the step 6 reaches past 25, so it would fire at 20 only: write 20, or a smaller step`},
		{"0 */0 * * *", "UTC", `schedule "0 */0 * * *": hour "*/0": what follows the slash must be a number above zero`},
		{"0 */x * * *", "UTC", `schedule "0 */x * * *": hour "*/x": what follows the slash must be a number above zero`},
		{"0 1/2/3 * * *", "UTC", `schedule "0 1/2/3 * * *": hour "1/2/3": what follows the slash must be a number above zero`},

		{"60 3 * * *", "UTC", `schedule "60 3 * * *": minute "60": out of range: write 0 to 59`},
		{"0 24 * * *", "UTC", `schedule "0 24 * * *": hour "24": out of range: write 0 to 23`},
		{"0 3 0 * *", "UTC", `schedule "0 3 0 * *": day of month "0": out of range: write 1 to 31`},
		{"0 3 * * 8", "UTC", `schedule "0 3 * * 8": day of week "8": out of range: write 0 to 7`},
		{"0 +3 * * *", "UTC", `schedule "0 +3 * * *": hour "+3": not understood: write 0 to 23`},
		{"0 3,, * * *", "UTC", `schedule "0 3,, * * *": hour "": a comma has nothing beside it: take it out`},
		{"0 , * * *", "UTC", `schedule "0 , * * *": hour "": a comma has nothing beside it: take it out`},
		{"0 *-5 * * *", "UTC", `schedule "0 *-5 * * *": hour "*-5": not understood: write 0 to 23`},
		{"0 22-4 * * *", "UTC", `schedule "0 22-4 * * *": hour "22-4": the range runs backwards: write 22-23,0-4`},
		{"0 3 * * fri-mon", "UTC", `schedule "0 3 * * fri-mon": day of week "fri-mon": the range runs backwards: write 5-6,0-1`},
		{"0 3 * january *", "UTC", `schedule "0 3 * january *": month "january": names have three letters: write jan`},
		{"0 3 * * Sunday", "UTC", `schedule "0 3 * * Sunday": day of week "Sunday": names have three letters: write sun`},
		{"0 3 * * 1#2", "UTC", `schedule "0 3 * * 1#2": day of week "1#2": not understood: write 0 to 7 or sun to sat`},
		{"0 3 L * *", "UTC", `schedule "0 3 L * *": day of month "L": not understood: write 1 to 31`},
		{"61 25 * * *", "UTC", `schedule "61 25 * * *": minute "61": out of range: write 0 to 59; hour "25": out of range: write 0 to 23`},

		{"* * * * *", "UTC", `schedule "* * * * *": it fires every 1m, more often than every 1h, which scheduler.min_interval in the configuration allows: write a longer gap`},
		{"0,30 3 * * *", "UTC", `schedule "0,30 3 * * *": it fires every 30m, more often than every 1h, which scheduler.min_interval in the configuration allows: write a longer gap`},
		{"50 23 * * 1", "Mars/Olympus", `timezone "Mars/Olympus" is not known: write UTC, or an IANA name such as Europe/Berlin`},
		{"0 3 * * *", "UTC+2", `timezone "UTC+2" is not known: write UTC, or an IANA name such as Europe/Berlin`},
		{"0 3 * * *", "../../etc/passwd", `timezone "../../etc/passwd" is not known: write UTC, or an IANA name such as Europe/Berlin`},
		{"0 3 * * *", "Local", `timezone "Local" would mean something else on every machine: write an IANA name such as Europe/Berlin`},
		{"0 3 * * *", "", `timezone is empty: write UTC, or an IANA name such as Europe/Berlin`},
	} {
		s, err := ParseSchedule(c.expr, c.tz, Rules{MinInterval: time.Hour})
		if err == nil {
			t.Errorf("ParseSchedule(%q, %q) accepted it as %s", c.expr, c.tz, s)
		} else if err.Error() != c.want {
			t.Errorf("ParseSchedule(%q, %q)\n got: %s\nwant: %s", c.expr, c.tz, err, c.want)
		}
	}
}

// TestNormalise shows what robfig/cron gets to see.
func TestNormalise(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"0 3 * * 0", "0 3 * * 0"},
		{"0  3\t* * 7", "0 3 * * 0"}, // crontab's other Sunday
		{"0 3 * * 5-7", "0 3 * * 0,5,6"},
		{"0 3 * * sat-sun", "0 3 * * 0,6"},
		{"0 3 * * SUN", "0 3 * * 0"},
		{"0 3 * * 7-2", "0 3 * * 0,1,2"},
		{"0 3 * * mon-sun", "0 3 * * 0,1,2,3,4,5,6"},
		{"0 3 * jan,Jul *", "0 3 * 1,7 *"},
		{"0 */6 * * *", "0 0,6,12,18 * * *"},
		{"0 2/8 * * *", "0 2,10,18 * * *"},
		{"0 3 ? * ?", "0 3 * * *"},
		{"0 3 */1 * *", "0 3 * * *"},
		{"0 3 1-7 * *", "0 3 1,2,3,4,5,6,7 * *"},
		{"@weekly", "0 0 * * 0"},
		{"@midnight", "0 0 * * *"},
	} {
		got, warnings, err := normalise(c.expr)
		if got != c.want || err != nil || warnings != nil {
			t.Errorf("normalise(%q) = %q, %q, %v; want %q", c.expr, got, warnings, err, c.want)
		}
	}
}

func TestNormaliseWarnsOfTwoDayFields(t *testing.T) {
	for _, expr := range []string{"0 3 1 * 1", "0 3 */2 * 1", "0 3 1-31 * mon"} {
		if _, warnings, err := normalise(expr); err != nil || len(warnings) != 1 {
			t.Errorf("normalise(%q): warnings %q, error %v; want one warning", expr, warnings, err)
		}
	}
}

// FuzzParseSchedule: no text panics, and whatever is accepted has a next tick
// that lies ahead, keeps the minimum interval, and reads the same again.
func FuzzParseSchedule(f *testing.F) {
	for _, expr := range []string{
		"0 3 * * 0", "TZ=", "CRON_TZ=UTC", "@every -5h", "@every 720h", "0 0 30 2 *", "*/100 * * * *",
		"0 0 29 2 *", "0 3 * * 7", "30 2 8 3 *", "@daily", "0 3 1 * 1", "0-59/7 1,2,3 ? feb sat-sun",
	} {
		f.Add(expr, "America/New_York")
		f.Add(expr, "Australia/Lord_Howe")
	}
	now := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expr, tz string) {
		s, err := ParseSchedule(expr, tz, Rules{MinInterval: time.Hour})
		if err != nil {
			return
		}
		if s.Interval() < time.Hour || s.MaxInterval() < s.Interval() {
			t.Errorf("%q: interval %s, longest %s", expr, s.Interval(), s.MaxInterval())
		}
		next := s.Next(now, now)
		if !next.After(now) {
			t.Errorf("%q in %s: next tick after %s is %s", expr, tz, now, next)
		}
		if tick, ok := s.Latest(now, next, now); !ok || !tick.Equal(next) {
			t.Errorf("%q in %s: next is %s, but latest until then is %s, %v", expr, tz, next, tick, ok)
		}
		again, err := ParseSchedule(s.String(), tz, Rules{})
		if err != nil || !again.Next(now, now).Equal(next) {
			t.Errorf("%q reads differently the second time: %v", expr, err)
		}
	})
}

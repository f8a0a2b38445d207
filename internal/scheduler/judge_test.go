package scheduler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func ptr[T any](v T) *T { return &v }

// dailyRow is what INSERT INTO rotation_policies (name, schedule) VALUES
// ('treasury', '0 3 * * *') gives: the defaults of the table.
func dailyRow() Row {
	return Row{
		ID: 1, Name: "treasury", Schedule: ptr("0 3 * * *"), Timezone: "UTC", Spread: ptr(time.Duration(0)),
		MaxConcurrent: 10, MaxAttempts: 5, FailureBudget: 10, Enabled: true, Version: 1,
	}
}

// TestJudge is the table of what a policy may ask for, with the sentence that
// policy_status shows.
func TestJudge(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	for _, c := range []struct {
		name     string
		edit     func(*Row)
		wallets  int64
		err      string
		warnings []string
	}{
		{name: "the defaults are a complete policy", edit: func(*Row) {}, wallets: 10_000},
		{name: "by hand only", edit: func(r *Row) { r.Schedule = nil }},
		{
			name: "a bad row says everything at once",
			edit: func(r *Row) { r.Schedule, r.MaxAttempts, r.Canary = ptr("0 3 * *"), 0, -1 },
			err:  `schedule "0 3 * *": it has 4 of five fields: write minute, hour, day of month, month and day of week; canary is -1: write 0 or more; max_attempts is 0: write 1 or more`,
		},
		{
			name: "a zone is checked without a schedule too",
			edit: func(r *Row) { r.Schedule, r.Timezone = nil, "CEST" },
			err:  `timezone "CEST" is not known: write UTC, or an IANA name such as Europe/Berlin`,
		},
		{name: "run_window of nothing", edit: func(r *Row) { r.RunWindow = ptr(time.Duration(0)) }, err: "run_window is 0s: write a time above zero, or null for until the next tick"},
		{name: "negative spread", edit: func(r *Row) { r.Spread = ptr(-hour) }, err: "spread is -1h: write 0 for none, or a time above it"},
		{name: "negative max_share_age", edit: func(r *Row) { r.MaxShareAge = ptr(-hour) }, err: "max_share_age is -1h: write a time above zero, or null for no promise"},
		{name: "no concurrency at all", edit: func(r *Row) { r.MaxConcurrent = 0 }, err: "max_concurrent is 0: write 1 or more"},
		{name: "run_window as long as the interval", edit: func(r *Row) { r.RunWindow = ptr(day) }},
		{
			name: "run_window longer than the interval",
			edit: func(r *Row) { r.RunWindow = ptr(26 * hour) },
			err:  `run_window 26h is longer than the 24h from one tick of "0 3 * * *" to the next: write at most 24h, or null for until the next tick`,
		},
		{
			name: "the smallest interval counts",
			edit: func(r *Row) { r.Schedule, r.RunWindow = ptr("0 9,17 * * *"), ptr(9*hour) },
			err:  `run_window 9h is longer than the 8h from one tick of "0 9,17 * * *" to the next: write at most 8h, or null for until the next tick`,
		},
		{name: "spread as long as the window", edit: func(r *Row) { r.RunWindow, r.Spread = ptr(4*hour), ptr(4*hour) }},
		{
			name: "spread longer than the window",
			edit: func(r *Row) { r.RunWindow, r.Spread = ptr(4*hour), ptr(5*hour) },
			err:  "spread 5h is longer than the run_window 4h: wallets in its last part would never start; write at most 4h",
		},
		{
			name: "spread longer than the interval, without a window",
			edit: func(r *Row) { r.Spread = ptr(25 * hour) },
			err:  "spread 25h is longer than the time until the next tick, 24h: wallets in its last part would never start; write at most 24h",
		},
		{name: "max_share_age of two intervals plus window", edit: func(r *Row) { r.RunWindow, r.MaxShareAge = ptr(4*hour), ptr(52*hour) }},
		{
			name:     "max_share_age below two intervals plus window",
			edit:     func(r *Row) { r.RunWindow, r.MaxShareAge = ptr(4*hour), ptr(51*hour) },
			warnings: []string{"max_share_age 51h leaves no room for one missed tick: that takes two gaps of 24h plus the window, 4h, together 52h"},
		},
		{
			name: "max_share_age below one interval plus window",
			edit: func(r *Row) { r.RunWindow, r.MaxShareAge = ptr(4*hour), ptr(27*hour) },
			err:  "max_share_age 27h is shorter than the longest gap between ticks, 24h, plus the window, 4h: the promise would break although everything works; write at least 28h",
		},
		{
			name: "weekends count, and without a window they count twice",
			edit: func(r *Row) { r.Schedule, r.MaxShareAge = ptr("0 3 * * 1-5"), ptr(100*hour) },
			err:  "max_share_age 100h is shorter than the longest gap between ticks, 72h, plus the window, 72h: the promise would break although everything works; write at least 144h",
		},
		{
			name: "the window of an @every policy",
			edit: func(r *Row) { r.Schedule, r.RunWindow, r.MaxShareAge = ptr("@every 720h"), ptr(day), ptr(2000*hour) },
		},
		{
			name:    "max_per_minute cannot finish",
			edit:    func(r *Row) { r.RunWindow, r.MaxPerMinute = ptr(hour), 10 },
			wallets: 5000,
			warnings: []string{
				"max_per_minute 10 lets 600 of 5000 wallets start within 1h: it takes at least 84 per minute",
				"max_concurrent 10 lets about 3600 of 5000 wallets finish within 1h if each takes 10s: it takes at least 14 at a time",
			},
		},
		{name: "limits that just finish", edit: func(r *Row) { r.RunWindow, r.MaxPerMinute = ptr(hour), 60 }, wallets: 3600},
		{
			name: "a canary of everything", edit: func(r *Row) { r.Canary = 20 }, wallets: 20,
			warnings: []string{"canary 20 covers all 20 wallets: none is held back"},
		},
		{
			name: "two day fields", edit: func(r *Row) { r.Schedule = ptr("0 3 1 * 1") },
			warnings: []string{"day of month and day of week are both given: it fires on every day that fits either of them"},
		},
		{
			name: "times that only a schedule gives a meaning",
			edit: func(r *Row) { r.Schedule, r.RunWindow, r.Spread, r.MaxShareAge = nil, ptr(hour), ptr(hour), ptr(day) },
			warnings: []string{
				"run_window has no effect without a schedule", "spread has no effect without a schedule",
				"max_share_age only raises alerts, because a policy without a schedule never starts a rotation by itself",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := dailyRow()
			c.edit(&row)
			v := Judge(row, c.wallets, Rules{MinInterval: hour, RotationTime: 10 * time.Second})
			got := ""
			if v.Err != nil {
				got = v.Err.Error()
				if v.Spec != (Spec{}) {
					t.Errorf("a refused row has the spec %+v", v.Spec)
				}
			}
			if got != c.err {
				t.Errorf("error\n got: %s\nwant: %s", got, c.err)
			}
			if diff := cmp.Diff(c.warnings, v.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

package scheduler

import (
	"time"

	"github.com/robfig/cron/v3"
)

const (
	// The Gregorian calendar repeats, weekdays included, every 28 years between
	// 1901 and 2099. One round of it holds every gap a schedule can have.
	calendarYears = 28
	calendarStart = 2000
	// robfig/cron marks a field that was "*" with this bit.
	starBit = 1 << 63

	minutesPerDay = 24 * 60
)

// calendarGaps is the smallest and the largest gap between two ticks of spec
// on a calendar without clock changes; zero when there is no tick at all.
func calendarGaps(spec *cron.SpecSchedule) (smallest, largest time.Duration) {
	within, first, last := dayGaps(spec)
	var lo, hi int
	note := func(minutes int) {
		if lo == 0 || minutes < lo {
			lo = minutes
		}
		hi = max(hi, minutes)
	}
	days, firstDay, lastDay := 0, -1, 0
	weekday := time.Date(calendarStart, time.January, 1, 0, 0, 0, 0, time.UTC).Weekday()
	for year := calendarStart; year < calendarStart+calendarYears; year++ {
		for month := time.January; month <= time.December; month++ {
			length := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
			for day := 1; day <= length; day++ {
				if onDay(spec, month, day, weekday) {
					if firstDay < 0 {
						firstDay = days
					} else {
						note((days-lastDay)*minutesPerDay - last + first)
					}
					lastDay = days
				}
				days++
				weekday = (weekday + 1) % 7
			}
		}
	}
	if firstDay < 0 {
		return 0, 0
	}
	// From the last day of one round to the first of the next.
	note((days-lastDay+firstDay)*minutesPerDay - last + first)
	for _, minutes := range within {
		note(minutes)
	}
	return time.Duration(lo) * time.Minute, time.Duration(hi) * time.Minute
}

// dayGaps is the gaps between the ticks of one day, in minutes, and the first
// and last minute of the day that ticks.
func dayGaps(spec *cron.SpecSchedule) (within []int, first, last int) {
	first = -1
	for minute := range minutesPerDay {
		if spec.Hour&(1<<(minute/60)) == 0 || spec.Minute&(1<<(minute%60)) == 0 {
			continue
		}
		if first < 0 {
			first = minute
		} else {
			within = append(within, minute-last)
		}
		last = minute
	}
	return within, first, last
}

// onDay is crontab's rule: if both day fields are restricted, either may fit.
func onDay(spec *cron.SpecSchedule, month time.Month, day int, weekday time.Weekday) bool {
	if spec.Month&(1<<month) == 0 {
		return false
	}
	dom := spec.Dom&(1<<day) != 0
	dow := spec.Dow&(1<<weekday) != 0
	if spec.Dom&starBit != 0 || spec.Dow&starBit != 0 {
		return dom && dow
	}
	return dom || dow
}

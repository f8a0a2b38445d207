package scheduler

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// TestLocalClockMayBeWrong: however far this machine's clock is off, the
// dispatcher is woken when the database's clock shows a tick.
func TestLocalClockMayBeWrong(t *testing.T) {
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, 37*time.Minute + 123*time.Millisecond, -40 * 24 * time.Hour} {
		for _, expr := range []string{"@every 90s", "*/5 * * * *", "30 2 * * *"} {
			t.Run(fmt.Sprint(expr, " ", off), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					database := func() time.Time { return time.Now().Add(off).UTC().Truncate(time.Microsecond) }
					since := database().Add(-47 * time.Second).Truncate(time.Millisecond)
					schedule := mustSchedule(t, expr, "Asia/Kolkata")
					woken := make(chan time.Time, 100)
					c := newWakeClock(database, func() { woken <- database() })
					c.start()
					defer c.stop()
					p := &policy{row: store.Policy{ID: 1, RunningVersion: 1, ScheduleSince: since}, spec: Spec{Schedule: schedule}, runs: true}
					c.follow([]*policy{p})
					c.follow([]*policy{p}) // nothing has changed
					tick := database()
					for range 3 {
						tick = schedule.Next(tick, since)
						if at := <-woken; !at.Equal(tick) {
							t.Fatalf("woken at %s, the tick is at %s", at, tick)
						}
					}
					// Another version takes the place of the first one.
					p.row.RunningVersion, p.spec.Schedule = 2, mustSchedule(t, "@every 7s", "UTC")
					c.follow([]*policy{p})
					if at, want := <-woken, p.spec.Schedule.Next(tick, since); !at.Equal(want) {
						t.Fatalf("woken at %s, the tick is at %s", at, want)
					}
					c.follow(nil)
					if n := len(c.cron.Entries()); n != 0 {
						t.Fatalf("%d entries for no policy", n)
					}
				})
			})
		}
	}
}

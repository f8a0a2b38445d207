package scheduler

import (
	"time"

	"github.com/robfig/cron/v3"
)

// wakeClock wakes the dispatcher at the ticks of all policies. It decides
// nothing: whether a tick has come is asked anew of the database's clock, so
// an early, late or doubled wake-up does no harm.
type wakeClock struct {
	cron *cron.Cron
	now  func() time.Time // the database's clock
	wake func()
	// following is what the entries were made for.
	following map[int32]followed
}

type followed struct {
	version int64
	since   time.Time
	entry   cron.EntryID
}

func newWakeClock(now func() time.Time, wake func()) *wakeClock {
	return &wakeClock{cron: cron.New(), now: now, wake: wake, following: map[int32]followed{}}
}

func (c *wakeClock) start() { c.cron.Start() }

// stop ends the clock and waits for wake-ups that are under way.
func (c *wakeClock) stop() { <-c.cron.Stop().Done() }

// follow makes the entries fit the policies.
func (c *wakeClock) follow(policies []*policy) {
	kept := make(map[int32]followed, len(policies))
	for _, p := range policies {
		if !p.runs || p.spec.ByHand() {
			continue
		}
		f, ok := c.following[p.row.ID]
		if !ok || f.version != p.row.RunningVersion || !f.since.Equal(p.row.ScheduleSince) {
			if ok {
				c.cron.Remove(f.entry)
			}
			ticks := localTicks{schedule: p.spec.Schedule, since: p.row.ScheduleSince, database: c.now, local: time.Now}
			f = followed{p.row.RunningVersion, p.row.ScheduleSince, c.cron.Schedule(ticks, cron.FuncJob(c.wake))}
		}
		kept[p.row.ID] = f
		delete(c.following, p.row.ID)
	}
	for _, gone := range c.following {
		c.cron.Remove(gone.entry)
	}
	c.following = kept
}

// localTicks is a schedule as robfig/cron asks it: on this machine's clock,
// which may be hours off the database's.
type localTicks struct {
	schedule        *Schedule
	since           time.Time
	database, local func() time.Time
}

// Next is the first tick after a time on the local clock, on the local clock.
// A schedule that never ticks again answers with the zero time, which cron
// takes for never.
func (t localTicks) Next(after time.Time) time.Time {
	behind := t.database().Sub(t.local().Round(0)) // wall clocks both
	next := t.schedule.Next(after.Add(behind), t.since)
	if next.IsZero() {
		return next
	}
	return next.Add(-behind).In(after.Location())
}

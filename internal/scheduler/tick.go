package scheduler

import (
	"context"
	"fmt"

	"github.com/rotatord/rotatord/internal/store"
)

// fire puts ticks on record that have come since the watermark. Of several
// that came during an outage only the last one counts: each wallet is caught
// up once.
func (d *dispatcher) fire(ctx context.Context) error {
	for _, p := range d.policies.all() {
		if !p.runs || p.spec.ByHand() {
			continue
		}
		now := d.Store.Now()
		after := p.row.Tick
		if after.Before(p.row.ScheduleSince) {
			after = p.row.ScheduleSince
		}
		at, ok := p.spec.Schedule.Latest(after, now, p.row.ScheduleSince)
		if !ok {
			continue
		}
		t := store.Tick{PolicyID: p.row.ID, Version: p.row.RunningVersion, At: at.UTC(), Trigger: store.Schedule,
			Missed: p.spec.Missed(at, now)}
		if FiredLate(at, now) {
			t.Trigger = store.CatchUp
		}
		if end, ok := p.spec.WindowEnd(at); ok {
			t.Ends = end
		}
		first, err := d.Store.Advance(ctx, t)
		if err != nil {
			return err
		}
		if !first {
			// Another replica was, or the policy was edited: read it again.
			poke(d.edited)
			poke(d.wakeup)
			continue
		}
		p.row.Tick = t.At
		d.Log.Info("tick", "policy", p.row.Name, "tick", t.At, "trigger", t.Trigger, "missed", t.Missed)
		if t.Missed {
			missed, err := d.Store.CycleTotal(ctx, t.PolicyID, t.At)
			if err != nil {
				return err
			}
			d.Metrics.skip(p.row.Name, SkipMissedWindow, int(missed))
		}
		if err := d.announce(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// requestBatch bounds how many requests are answered at one look.
const requestBatch = 100

// answer does what people asked for in rotation_requests.
func (d *dispatcher) answer(ctx context.Context) error {
	requests, err := d.Store.OpenRequests(ctx, requestBatch)
	if err != nil {
		return err
	}
	for _, q := range requests {
		var mine, refused bool
		if q.Action == "run_policy" {
			mine, refused, err = d.runPolicy(ctx, q)
		} else {
			mine, refused, err = d.Store.Answer(ctx, q)
		}
		if err != nil {
			return err
		}
		if mine {
			d.Log.Info("request answered", "request", q.ID, "action", q.Action, "actor", q.Actor, "refused", refused)
		}
	}
	return nil
}

// runPolicy starts a cycle by hand. Its tick is the moment of the request, so
// that replicas which answer it at once start the same cycle.
func (d *dispatcher) runPolicy(ctx context.Context, q store.Request) (mine, refused bool, err error) {
	p := d.policies.get(q.PolicyID)
	why := ""
	switch {
	case p == nil:
		why = fmt.Sprintf("there is no policy %d", q.PolicyID)
	case !p.runs:
		why = fmt.Sprintf("no version of policy %s is valid; see policy_status", p.row.Name)
	default:
		why = pausedBy(d.policies.control(), p, "")
	}
	if why == "" {
		if _, err := d.Store.Advance(ctx, store.Tick{PolicyID: q.PolicyID, Version: p.row.RunningVersion, At: q.At, Trigger: store.Manual}); err != nil {
			return false, false, err
		}
		poke(d.edited)
	}
	mine, err = d.Store.AnswerWith(ctx, q, "a cycle was started for every wallet of the policy", why)
	return mine, why != "", err
}

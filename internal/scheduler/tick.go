package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// fire puts ticks on record that have come since the watermark. Of several
// that came during an outage only the last one counts: each wallet is caught
// up once.
func (d *dispatcher) fire(ctx context.Context) error {
	return forEach(ctx, d.policies.all(), func(p *policy) error {
		if !p.runs || p.spec.ByHand() {
			return nil
		}
		return d.firePolicy(ctx, p)
	})
}

func (d *dispatcher) firePolicy(ctx context.Context, p *policy) error {
	now := d.Store.Now()
	at, ok := p.spec.Schedule.Latest(latest(p.row.Tick, p.row.ScheduleSince), now, p.row.ScheduleSince)
	if !ok {
		return nil
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
		return nil
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
	return d.announce(ctx, p)
}

// requestBatch bounds how many requests are answered at one look.
const requestBatch = 100

// answer does what people asked for in rotation_requests. One that cannot be
// answered now does not keep the others waiting.
func (d *dispatcher) answer(ctx context.Context) error {
	requests, err := d.Store.OpenRequests(ctx, requestBatch)
	if err != nil {
		return err
	}
	err = forEach(ctx, requests, func(q store.Request) (err error) {
		var mine, refused bool
		if q.Action == "run_policy" {
			mine, refused, err = d.runPolicy(ctx, q)
		} else {
			mine, refused, err = d.Store.Answer(ctx, q)
		}
		if mine {
			d.Log.Info("request answered", "request", q.ID, "action", q.Action, "actor", q.Actor, "refused", refused)
		}
		return err
	})
	if err == nil && len(requests) == requestBatch {
		poke(d.wakeup) // there may be more
	}
	return err
}

// runPolicy starts a cycle by hand. Its tick is the moment of the request, so
// that replicas which answer it at once start the same cycle.
func (d *dispatcher) runPolicy(ctx context.Context, q store.Request) (mine, refused bool, err error) {
	// The request may have come with an edit that nobody announced.
	control, err := d.Store.Control(ctx)
	if err != nil {
		return false, false, err
	}
	d.policies.setControl(control)
	if err := d.read(ctx); err != nil {
		return false, false, err
	}
	p := d.policies.get(q.PolicyID)
	why := ""
	switch {
	case p == nil:
		why = fmt.Sprintf("there is no policy %d", q.PolicyID)
	case !p.runs:
		why = fmt.Sprintf("no version of policy %s is valid; see policy_status", p.row.Name)
	default:
		why = pausedBy(control, p, "")
	}
	if why == "" {
		if why, err = d.startCycle(ctx, p, q); err != nil {
			return false, false, err
		}
	}
	mine, err = d.Store.AnswerWith(ctx, q, "a cycle was started for every wallet of the policy", why)
	return mine, why != "", err
}

// startCycle returns why there is no cycle for the request; empty: there is.
func (d *dispatcher) startCycle(ctx context.Context, p *policy, q store.Request) (refusal string, err error) {
	first, err := d.Store.Advance(ctx, store.Tick{PolicyID: p.row.ID, Version: p.row.RunningVersion, At: q.At, Trigger: store.Manual})
	if err != nil {
		return "", err
	}
	poke(d.edited) // the watermark has moved
	if first {
		return "", nil
	}
	there, err := d.Store.CycleExists(ctx, p.row.ID, q.At)
	switch {
	case err != nil:
		return "", err
	case there: // another replica started it
		return "", nil
	case !p.row.Tick.Before(q.At):
		return fmt.Sprintf("the cycle of %s has started since; ask again if that is not enough", p.row.Tick.UTC().Format(time.RFC3339)), nil
	case p.row.ScheduleSince.After(q.At):
		return "the schedule was changed after the request; ask again", nil
	}
	return "", fmt.Errorf("starting a cycle of policy %s by hand: it was edited at the same moment", p.row.Name)
}

package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// blocked is the providers of which nothing may begin: paused ones, whose
// wallets a walk passes over, because a pause may last for days; and held
// ones, whose wallets it waits for. Of a half open one, a single wallet may.
type blocked struct{ paused, held, half []string }

func (d *dispatcher) blocked() blocked {
	control, now := d.policies.control(), d.Store.Now()
	b := blocked{paused: control.PausedProviders}
	for name, until := range control.HoldUntil {
		if until.After(now) && !slices.Contains(b.paused, name) {
			b.held = append(b.held, name)
		}
	}
	for name, c := range control.Circuits {
		switch {
		case slices.Contains(b.paused, name) || slices.Contains(b.held, name):
		case c.OpenUntil.After(now) || c.Probing || d.probed[name]:
			b.held = append(b.held, name)
		default:
			b.half = append(b.half, name)
		}
	}
	return b
}

// heed is told of the open circuits that were read before and now.
func (d *dispatcher) heed(before, now map[string]store.Circuit) {
	clear(d.probed)
	for name := range before {
		if _, open := now[name]; !open {
			d.Log.Info("circuit closed: the provider answers again", "provider", name)
		}
	}
}

// startable picks those of the look ahead that may begin, as many as workers
// are free, in ascending order, in which every replica locks. A wallet that
// was claimed and then had to wait would only fill the table of open
// rotations. more is true when it is worth while to ask again.
func (d *dispatcher) startable(ctx context.Context, p *policy, w *sweep) (ids []int64, more bool, err error) {
	if failing, err := d.failing(ctx, p); failing || err != nil {
		d.count(p, SkipBreaker, len(w.ahead))
		return nil, false, err
	}
	ids = walletIDs(w.ahead[:min(len(w.ahead), claimBatch)])
	free, paused, held, err := d.unblocked(ctx, ids)
	if err != nil {
		return nil, false, err
	}
	if len(paused) > 0 {
		d.count(p, SkipPaused, len(paused))
		w.drop(func(id int64) bool { return slices.Contains(paused, id) })
	}
	if len(held) > 0 {
		d.count(p, SkipBreaker, len(held))
	}
	if len(free) == 0 {
		return nil, len(held) == 0, nil
	}
	ids = free[:min(len(free), d.free())]
	slices.Sort(ids)
	return ids, true, nil
}

// unblocked parts wallets by what their providers allow.
func (d *dispatcher) unblocked(ctx context.Context, ids []int64) (free, paused, held []int64, err error) {
	b := d.blocked()
	if len(b.paused)+len(b.held)+len(b.half) == 0 {
		return ids, nil, nil, nil
	}
	of, err := d.Store.OfProviders(ctx, ids, slices.Concat(b.paused, b.held, b.half))
	if err != nil {
		return nil, nil, nil, err
	}
	for _, id := range ids {
		switch name, is := of[id]; {
		case !is:
			free = append(free, id)
		case slices.Contains(b.paused, name):
			paused = append(paused, id)
		case slices.Contains(b.half, name) && !d.probed[name]:
			d.probed[name] = true
			free = append(free, id)
		default:
			held = append(held, id)
		}
	}
	return free, paused, held, nil
}

// failing says that so many wallets of a policy wait to be tried again that no
// further ones may begin: as many as would use up the failure budget. Without
// this an outage of a vendor would open a rotation for every wallet of the
// fleet before the first of them has failed for good.
func (d *dispatcher) failing(ctx context.Context, p *policy) (bool, error) {
	most := p.spec.FailureBudget
	if most == 0 {
		most = p.spec.MaxConcurrent
	}
	n, err := d.Store.Retrying(ctx, p.row.ID)
	return n >= int64(most), err
}

// countInterval is how often the wallets that wait behind one obstacle are
// counted as skipped.
const countInterval = time.Minute

type obstacle struct {
	policyID int32
	why      Skip
}

// uncounted says that an obstacle has not been counted for a while.
func (d *dispatcher) uncounted(p *policy, why Skip) bool {
	return time.Since(d.counted[obstacle{p.row.ID, why}]) >= countInterval
}

// count counts n wallets that were passed over.
func (d *dispatcher) count(p *policy, why Skip, n int) {
	if n > 0 && d.uncounted(p, why) {
		d.counted[obstacle{p.row.ID, why}] = time.Now()
		d.Metrics.skip(p.row.Name, why, n)
	}
}

func walletIDs(cursors []store.Cursor) []int64 {
	ids := make([]int64, len(cursors))
	for i, x := range cursors {
		ids[i] = x.WalletID
	}
	return ids
}

package scheduler

import (
	"context"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

const (
	// emergencyInterval is how often the emergency band is looked at.
	emergencyInterval = 5 * time.Second
	// emergencyBatch is how many wallets of a policy come out of the emergency
	// band at one look.
	emergencyBatch = 100
	// emergencyRest is the longest that a wallet which failed there is left
	// alone; at least emergencyTries tries fit into the band.
	emergencyRest  = time.Hour
	emergencyTries = 8
)

// emergencies claims wallets whose promised age comes near, outside window and
// spread, never past a pause, a limit or the failure budget. It runs before
// the cycles are swept, which would take every worker that is free.
func (d *dispatcher) emergencies(ctx context.Context) error {
	if time.Now().Before(d.rescueAt) || d.free() == 0 {
		return nil
	}
	again := false
	err := forEach(ctx, d.policies.all(), func(p *policy) error {
		if !p.runs || pausedBy(d.policies.control(), p, "") != "" {
			return nil
		}
		more, err := d.rescuePolicy(ctx, p)
		again = again || more
		return err
	})
	if !again {
		d.rescueAt = time.Now().Add(emergencyInterval)
	}
	return err
}

// rescuePolicy claims one batch. more: as soon as a worker is free, there may
// be another one.
func (d *dispatcher) rescuePolicy(ctx context.Context, p *policy) (more bool, err error) {
	now := d.Store.Now()
	cutoff, ok := p.spec.EmergencyCutoff(now)
	if !ok {
		return false, nil
	}
	before := cutoff.Add(time.Microsecond) // at the cutoff is in the band
	page, err := d.Store.Band(ctx, p.row.ID, before, d.rescue[p.row.ID], d.Config.LookAhead)
	if err != nil {
		return false, err
	}
	if len(page) == 0 {
		delete(d.rescue, p.row.ID) // from the start at the next look
		return false, nil
	}
	if stop, err := d.mayNotRescue(ctx, p, before, p.spec.MaxShareAge-now.Sub(cutoff), len(page)); stop || err != nil {
		return false, err
	}
	ids, last := d.inBand(p, page, now)
	free, _, held, err := d.unblocked(ctx, ids)
	if err != nil {
		return false, err
	}
	d.count(p, SkipBreaker, len(held))
	if len(free) > 0 {
		limited, err := d.rescueWallets(ctx, p, free, before, p.spec.EmergencyTick(now))
		if limited || err != nil {
			return limited, err // the same ones again
		}
	}
	if len(page) < d.Config.LookAhead && last == page[len(page)-1].Cursor {
		delete(d.rescue, p.row.ID) // that was the end: from the start at the next look
		return false, nil
	}
	d.rescue[p.row.ID] = last
	return true, nil
}

// inBand picks as many of a page as there are workers, and says how far it
// came. What a running cycle takes now anyway is left to it: it is no
// emergency, and canaries come first there.
func (d *dispatcher) inBand(p *policy, page []store.BandWallet, now time.Time) (ids []int64, last store.Cursor) {
	moment := Moment{Now: now}
	if w := d.sweeps[p.row.ID]; w != nil {
		moment.Tick = w.tick
	}
	most := min(d.free(), emergencyBatch)
	for _, x := range page {
		due := Due(Wallet{ID: x.WalletID, CycleAt: x.CycleAt, EligibleAfter: x.EligibleAfter}, &p.spec, moment)
		if due.Due && due.Trigger == store.Emergency {
			if len(ids) == most {
				break
			}
			ids = append(ids, x.WalletID)
		}
		last = x.Cursor
	}
	return ids, last
}

func (d *dispatcher) rescueWallets(ctx context.Context, p *policy, ids []int64, before, tick time.Time) (limited bool, err error) {
	slices.Sort(ids)
	claimed, err := d.Store.Claim(ctx, store.Claim{Owner: d.lease.epoch, PolicyID: p.row.ID, Tick: tick, Before: before,
		Trigger: store.Emergency, WalletIDs: ids, MaxConcurrent: p.spec.MaxConcurrent, MaxPerMinute: p.spec.MaxPerMinute,
		MaxPerHour: d.Config.MaxPerHour})
	if err != nil {
		return false, err
	}
	d.submit(claimed.Rotations)
	if n := len(claimed.Rotations); n > 0 {
		d.Log.Warn("wallets rotate because their promised share age comes near", "policy", p.row.Name, "wallets", n)
	}
	d.count(p, SkipLimit, claimed.Limited)
	return claimed.Limited > 0, nil
}

// mayNotRescue says that too many wallets fail. If not, those that failed and
// have rested may try again.
func (d *dispatcher) mayNotRescue(ctx context.Context, p *policy, before time.Time, lead time.Duration, waiting int) (bool, error) {
	if over, err := d.budgetUsedUp(ctx, p, waiting); over || err != nil {
		return true, err
	}
	if _, err := d.Store.ResetFailed(ctx, p.row.ID, before, min(emergencyRest, lead/emergencyTries)); err != nil {
		return true, err
	}
	failing, err := d.failing(ctx, p)
	if failing {
		d.count(p, SkipBreaker, waiting)
	}
	return failing, err
}

// budgetUsedUp says that too many wallets have failed since the last tick,
// whatever started them.
func (d *dispatcher) budgetUsedUp(ctx context.Context, p *policy, waiting int) (bool, error) {
	if p.spec.FailureBudget == 0 {
		return false, nil
	}
	failed, err := d.Store.FailedSince(ctx, p.row.ID, latest(p.row.Tick, p.row.ScheduleSince))
	if err != nil || failed < int64(p.spec.FailureBudget) {
		return false, err
	}
	d.count(p, SkipBudget, waiting)
	return true, nil
}

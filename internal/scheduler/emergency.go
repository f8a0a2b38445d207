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
	n := min(d.free(), emergencyBatch)
	if n == 0 {
		return true, nil
	}
	due, err := d.Store.Discover(ctx, p.row.ID, before, d.rescue[p.row.ID], n)
	if err != nil {
		return false, err
	}
	if len(due) == 0 {
		delete(d.rescue, p.row.ID) // from the start at the next look
		return false, nil
	}
	if over, err := d.budgetUsedUp(ctx, p, len(due)); over || err != nil {
		return false, err
	}
	rest := min(emergencyRest, (p.spec.MaxShareAge-now.Sub(cutoff))/emergencyTries)
	if _, err := d.Store.ResetFailed(ctx, p.row.ID, before, rest); err != nil {
		return false, err
	}
	if failing, err := d.failing(ctx, p); failing || err != nil {
		return false, err
	}
	ids, _, _, err := d.unblocked(ctx, walletIDs(due))
	if err != nil {
		return false, err
	}
	if len(ids) == 0 {
		d.rescue[p.row.ID] = due[len(due)-1]
		return false, nil
	}
	slices.Sort(ids)
	claimed, err := d.Store.Claim(ctx, store.Claim{Owner: d.lease.epoch, PolicyID: p.row.ID, Tick: p.spec.EmergencyTick(now),
		Before: before, Trigger: store.Emergency, WalletIDs: ids, MaxConcurrent: p.spec.MaxConcurrent, MaxPerMinute: p.spec.MaxPerMinute})
	if err != nil {
		return false, err
	}
	d.submit(claimed.Rotations)
	if len(claimed.Rotations) > 0 {
		d.Log.Warn("wallets rotate because their promised share age comes near", "policy", p.row.Name, "wallets", len(claimed.Rotations))
	}
	if claimed.Limited > 0 {
		d.count(p, SkipLimit, claimed.Limited)
		return true, nil // the same ones again
	}
	d.rescue[p.row.ID] = due[len(due)-1]
	return len(due) == n, nil
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

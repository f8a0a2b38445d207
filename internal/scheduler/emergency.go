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
	// emergencyRest is how long a wallet that failed there is left alone.
	emergencyRest = time.Hour
)

// emergencies claims wallets whose promised age comes near, outside window and
// spread, never past a pause or a limit.
func (d *dispatcher) emergencies(ctx context.Context) error {
	if time.Now().Before(d.rescueAt) {
		return nil
	}
	d.rescueAt = time.Now().Add(emergencyInterval)
	for _, p := range d.policies.all() {
		if !p.runs || pausedBy(d.policies.control(), p, "") != "" {
			continue
		}
		now := d.Store.Now()
		cutoff, ok := p.spec.EmergencyCutoff(now)
		if !ok {
			continue
		}
		if _, err := d.Store.ResetFailed(ctx, p.row.ID, cutoff, emergencyRest); err != nil {
			return err
		}
		n := min(d.free(), emergencyBatch)
		if n == 0 {
			return nil
		}
		due, err := d.Store.Discover(ctx, p.row.ID, cutoff, d.rescue[p.row.ID], n)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			delete(d.rescue, p.row.ID) // from the start at the next look
			continue
		}
		d.rescue[p.row.ID] = due[len(due)-1]
		ids := make([]int64, len(due))
		for i, x := range due {
			ids[i] = x.WalletID
		}
		slices.Sort(ids)
		claimed, err := d.Store.Claim(ctx, store.Claim{Owner: d.lease.epoch, PolicyID: p.row.ID, Tick: now.Truncate(time.Minute),
			Before: cutoff, Trigger: store.Emergency, WalletIDs: ids, MaxConcurrent: p.spec.MaxConcurrent,
			MaxPerMinute: p.spec.MaxPerMinute, FailureBudget: p.spec.FailureBudget})
		if err != nil {
			return err
		}
		d.submit(claimed.Rotations)
		if len(claimed.Rotations) > 0 {
			d.Log.Warn("wallets rotate because their promised share age comes near", "policy", p.row.Name, "wallets", len(claimed.Rotations))
		}
	}
	return nil
}

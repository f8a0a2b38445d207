package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// policy is a policy as it runs here.
type policy struct {
	row  store.Policy
	spec Spec // the last good version
	runs bool // there is a good version
}

// pausedReason says why the live row keeps the policy from starting anything;
// empty: it does not. A person can stop a policy whatever else the row says.
func (p *policy) pausedReason() string {
	switch {
	case !p.row.Enabled:
		return "the policy is disabled"
	case p.row.PausedReason != nil:
		return "the policy is paused: " + *p.row.PausedReason
	}
	return ""
}

// pausedBy says what keeps rotations of a policy (nil: of none) and provider
// (empty: any) from starting.
func pausedBy(c store.Control, p *policy, provider string) string {
	switch {
	case c.Paused:
		return "everything is paused: " + c.Reason
	case provider != "" && slices.Contains(c.PausedProviders, provider):
		return "provider " + provider + " is paused: " + c.Reason
	case p != nil:
		return p.pausedReason()
	}
	return ""
}

// policies is what was read last. The dispatcher writes it, engines read it.
type policies struct {
	mu   sync.RWMutex
	byID map[int32]*policy
	ctl  store.Control
}

func (ps *policies) get(id int32) *policy {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.byID[id]
}

func (ps *policies) control() store.Control {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.ctl
}

func (ps *policies) all() []*policy {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	out := make([]*policy, 0, len(ps.byID))
	for _, p := range ps.byID {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *policy) int { return int(a.row.ID - b.row.ID) })
	return out
}

func (ps *policies) set(byID map[int32]*policy) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.byID = byID
}

func (ps *policies) setControl(c store.Control) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.ctl = c
}

// nextRuns is how many ticks are announced.
const nextRuns = 3

// reload reads control, and policies if one was edited or the poll is due.
func (d *dispatcher) reload(ctx context.Context) error {
	control, err := d.Store.Control(ctx)
	if err != nil {
		return err
	}
	d.heed(d.policies.control().Circuits, control.Circuits)
	d.policies.setControl(control)
	select {
	case <-d.edited:
	default:
		if time.Now().Before(d.reloadAt) {
			return nil
		}
	}
	return d.read(ctx)
}

// read reads all policies and judges new versions. One bad row harms no other:
// it is put aside with the reason, and the version before it goes on.
func (d *dispatcher) read(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			poke(d.edited) // read again at the next look
			d.Metrics.reloadOK.Set(0)
		}
	}()
	rows, err := d.Store.Policies(ctx)
	if err != nil {
		return err
	}
	judged := false
	failed := forEach(ctx, rows, func(row store.Policy) error {
		if row.JudgedVersion >= row.Version && readable(row) {
			return nil
		}
		judged = true
		return d.judge(ctx, row)
	})
	if judged {
		// What ticks count from is decided by the database at that moment.
		if rows, err = d.Store.Policies(ctx); err != nil {
			return errors.Join(failed, err)
		}
	}
	byID := make(map[int32]*policy, len(rows))
	for _, row := range rows {
		p, err := load(row)
		if err != nil {
			d.Log.Error("stored policy cannot be read; it does not run", "policy", row.Name, "error", err)
		}
		byID[row.ID] = p
		d.Metrics.policy(row.Name)
		for name := range d.Rotation.Providers {
			d.Rotation.Metrics.Policy(name, row.Name)
		}
	}
	d.policies.set(byID)
	d.clock.follow(d.policies.all())
	announced := forEach(ctx, d.policies.all(), func(p *policy) error { return d.announce(ctx, p) })
	if err := errors.Join(failed, announced); err != nil {
		return err
	}
	d.reloadAt = time.Now().Add(d.Config.PollInterval)
	d.Metrics.reloadOK.Set(1)
	return nil
}

// load reads the version of a policy that runs.
func load(row store.Policy) (*policy, error) {
	p := &policy{row: row}
	if row.RunningSpec == nil {
		return p, nil
	}
	if err := json.Unmarshal(row.RunningSpec, &p.spec); err != nil {
		return p, err
	}
	p.runs = true
	return p, nil
}

// readable is false for a running version that this build cannot make sense
// of. Its row is judged again, which writes it anew.
func readable(row store.Policy) bool {
	_, err := load(row)
	return err == nil
}

// judge decides on a new version of a policy and records the verdict.
func (d *dispatcher) judge(ctx context.Context, row store.Policy) error {
	wallets, err := d.Store.WalletCount(ctx, row.ID)
	if err != nil {
		return err
	}
	verdict := Judge(rowOf(row), wallets, Rules{MinInterval: d.Config.MinInterval})
	out := store.Verdict{PolicyID: row.ID, Version: row.Version, Warnings: verdict.Warnings}
	if verdict.Err != nil {
		out.Error = verdict.Err.Error()
		d.Log.Warn("policy refused; its last good version goes on", "policy", row.Name, "version", row.Version,
			"running_version", row.RunningVersion, "error", out.Error)
	} else {
		if out.Spec, err = json.Marshal(verdict.Spec); err != nil {
			return fmt.Errorf("encoding policy %s: %w", row.Name, err)
		}
		out.Restart = restarts(row, &verdict.Spec)
		d.Log.Info("policy accepted", "policy", row.Name, "version", row.Version, "warnings", verdict.Warnings)
	}
	return d.Store.RecordVerdict(ctx, out)
}

// restarts says whether a good version ticks otherwise than what ran before,
// so that its ticks count from now on: a schedule never ticks for the time
// before it was there. The very first version alone counts from the policy's
// insertion.
func restarts(row store.Policy, next *Spec) bool {
	running, err := load(row)
	switch {
	case err != nil:
		return true
	case running.runs:
		return !sameTicks(&running.spec, next)
	}
	return row.Version > 1
}

// sameTicks says whether two versions of a policy tick alike, so that the
// running cycle may go on.
func sameTicks(a, b *Spec) bool {
	if a.ByHand() || b.ByHand() {
		return a.ByHand() && b.ByHand()
	}
	return a.Schedule.String() == b.Schedule.String() && a.Timezone == b.Timezone
}

// announce writes the next ticks, so that people and plans read what will
// happen.
func (d *dispatcher) announce(ctx context.Context, p *policy) error {
	var runs []time.Time
	if p.runs && !p.spec.ByHand() {
		runs = p.spec.Schedule.Upcoming(d.Store.Now(), p.row.ScheduleSince, nextRuns)
	}
	return d.Store.SetNextRuns(ctx, p.row.ID, runs)
}

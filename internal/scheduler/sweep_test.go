package scheduler

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/store"
)

// looker is a dispatcher that looks when the test says so. No vendor is
// configured, so whatever it claims stays on record as it was claimed.
func (r *rig) looker() *dispatcher {
	r.t.Helper()
	o := r.options(r.dsn)
	o.Rotation.Providers = nil
	o.Log, o.Rotation.Log = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	o.Config.Workers = 1000
	s := New(o)
	l, err := register(r.t.Context(), s.Store, "test", "test", time.Hour)
	r.must(err)
	d := newDispatcher(s, l, r.t.Context())
	r.t.Cleanup(func() { d.engine.Stop(r.t.Context()) })
	return d
}

// looks looks until the dispatcher does not ask for another look.
func (d *dispatcher) looks(r *rig) {
	r.t.Helper()
	for {
		d.look(r.t.Context(), d.everything())
		select {
		case <-d.wakeup:
		default:
			return
		}
	}
}

// idle waits until nothing is in hand.
func (d *dispatcher) idle(r *rig) {
	r.t.Helper()
	r.eventually("nothing is in hand", func() bool { return d.engine.InHand() == 0 })
}

// TestSweepClaimsWhatIsDue: Due is the specification. For any policy, wallets
// and times, what a dispatcher claims from a real database is exactly what Due
// says may start now, with the trigger that Due says and for its tick.
func TestSweepClaimsWhatIsDue(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	d := r.looker()
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		// Everything lies on odd minutes away from now, so that the milliseconds
		// of a look decide nothing.
		now := d.Store.Now()
		minutes := func(name string, lo, hi int) time.Duration {
			return time.Duration(2*rapid.IntRange(lo/2, hi/2).Draw(rt, name)+1) * time.Minute
		}
		const every = 12 * time.Hour
		ago := minutes("tick was ago", 2, 11*60)
		since := now.Add(-ago - every*time.Duration(rapid.IntRange(0, 2).Draw(rt, "ticks before")))
		more := []any{"max_concurrent", 1000, "failure_budget", 0}
		if rapid.Bool().Draw(rt, "window") {
			more = append(more, "run_window", 2*minutes("run_window", 60, 5*60))
		}
		if rapid.Bool().Draw(rt, "spread") {
			more = append(more, "spread", minutes("spread", 10, 60))
		}
		if rapid.Bool().Draw(rt, "promise") {
			more = append(more, "max_share_age", 2*minutes("max_share_age", 14*60, 30*60))
		}
		if rapid.IntRange(0, 9).Draw(rt, "policy paused") == 0 {
			more = append(more, "paused_reason", "audit")
		}
		id := r.policy(fmt.Sprintf("p%d", rounds), "@every "+every.String(), more...)
		r.exec(`UPDATE policy_state SET schedule_since = $2 WHERE policy_id = $1`, id, since)

		var wallets []Wallet
		paused := map[int64]bool{}
		for i := range rapid.IntRange(1, 12).Draw(rt, "wallets") {
			w := Wallet{
				ID:            int64(rounds)*1_000_000 + int64(i)*10_000 + rapid.Int64Range(0, 9999).Draw(rt, "id"),
				CycleAt:       now.Add(-ago).Add(minutes("cycle_at after tick", -40*60, 3*60)),
				EligibleAfter: now.Add(-ago).Add(min(minutes("eligible_after after tick", -600, 120), ago-time.Second)),
			}
			r.exec(`INSERT INTO wallets (id, provider, external_id, policy_id) VALUES ($1, 'none', $3, $2)`, w.ID, id, fmt.Sprint(w.ID))
			r.exec(`UPDATE wallet_state SET cycle_at = $2, eligible_after = $3 WHERE wallet_id = $1`, w.ID, w.CycleAt, w.EligibleAfter)
			if rapid.IntRange(0, 9).Draw(rt, "paused") == 0 {
				paused[w.ID] = true
				r.exec(`UPDATE wallets SET paused_reason = 'x' WHERE id = $1`, w.ID)
			}
			wallets = append(wallets, w)
		}

		poke(d.edited)
		d.reloadAt, d.rescueAt = time.Time{}, time.Time{}
		d.looks(r)
		d.idle(r)

		p := d.policies.get(id)
		if !p.runs {
			rt.Fatalf("policy refused: %s", value[string](r, `SELECT error FROM policy_state WHERE policy_id = $1`, id))
		}
		moment := Moment{Now: now, Paused: p.pausedReason() != ""}
		if tick, ok := p.spec.Schedule.Latest(since, now, since); ok {
			moment.Tick, moment.CatchUp = tick, FiredLate(tick, now)
		}
		for _, w := range wallets {
			m := moment
			m.Paused = m.Paused || paused[w.ID]
			want := Due(w, &p.spec, m)
			if later := Due(w, &p.spec, Moment{Now: now.Add(time.Minute), Tick: m.Tick, CatchUp: m.CatchUp, Paused: m.Paused}); later.Due != want.Due ||
				later.Due && later.NotBefore.After(now) != later.NotBefore.After(now.Add(time.Minute)) || later.Trigger != want.Trigger {
				continue // its moment is this very minute
			}
			var got string
			err := r.db.QueryRow(t.Context(), `SELECT trigger || ' ' || (extract(epoch FROM tick) * 1e6)::bigint FROM rotations WHERE wallet_id = $1`, w.ID).Scan(&got)
			expect := []string{""}
			if want.Due && !want.NotBefore.After(now) {
				expect[0] = fmt.Sprintf("%s %d", want.Trigger, m.Tick.UnixMicro())
				if want.Trigger == store.Emergency { // the minute may have changed meanwhile
					expect = []string{fmt.Sprintf("emergency %d", p.spec.EmergencyTick(now).UnixMicro()),
						fmt.Sprintf("emergency %d", p.spec.EmergencyTick(d.Store.Now()).UnixMicro())}
				}
			}
			if !slices.Contains(expect, got) {
				rt.Fatalf("wallet %+v at %+v: Due says %+v, claimed %q (%v)\npolicy %s", w, m, want, got, err, p.row.RunningSpec)
			}
		}
		r.exec(`DELETE FROM rotations`)
		r.exec(`DELETE FROM wallets`)
		r.exec(`DELETE FROM rotation_policies`)
	})
}

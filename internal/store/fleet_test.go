package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestFleetSumsUp draws fleets and compares what Fleet counts with a naive
// count, wallet by wallet. The states are exclusive: their sum is the fleet.
func TestFleetSumsUp(t *testing.T) {
	w := newWorld(t)
	policies := []int32{w.policy("a"), w.policy("b")}
	names := map[int32]string{policies[0]: "a", policies[1]: "b"}
	ids := w.wallets(policies[0], 12)
	day := 24 * time.Hour
	tick := w.hoursAgo(24 * 5)
	rapid.Check(t, func(t *rapid.T) {
		w.exec(`DELETE FROM rotations`)
		paused := map[int32]bool{}
		age := map[int32]time.Duration{}
		for _, p := range policies {
			paused[p] = rapid.IntRange(0, 3).Draw(t, "policy paused") == 0
			age[p] = rapid.SampledFrom([]time.Duration{0, 3 * day, 10 * day}).Draw(t, "max_share_age")
			w.exec(`UPDATE rotation_policies SET enabled = $2, max_share_age = $3 WHERE id = $1`, p, !paused[p], null(age[p]))
			w.exec(`UPDATE policy_state SET tick = $2 WHERE policy_id = $1`, p, tick)
		}
		type counts struct{ Fresh, Never, Due, Overdue, InDoubt, Attention, Paused int64 }
		want := map[string]counts{"a": {}, "b": {}}
		assigned := int64(0)
		for _, id := range ids {
			p := rapid.SampledFrom(append([]int32{0}, policies...)).Draw(t, "policy")
			off := rapid.IntRange(0, 3).Draw(t, "off") == 0
			generation := rapid.IntRange(0, 1).Draw(t, "generation")
			days := rapid.SampledFrom([]int{1, 4, 7, 20}).Draw(t, "days")
			joined := rapid.IntRange(0, 3).Draw(t, "joined after the tick") == 0
			open := rapid.SampledFrom([]string{"", "", "plain", "attention", "doubt", "both"}).Draw(t, "open")
			elsewhere := rapid.Bool().Draw(t, "rotation of another policy")
			w.exec(`UPDATE wallets SET policy_id = $2, enabled = $3 WHERE id = $1`, id, null(p), !off)
			w.exec(`UPDATE wallet_state SET generation = $2, cycle_at = now() - $3 * interval '1 day', active_share_set = 's', public_key = 'k',
				eligible_after = CASE WHEN $4 THEN now() ELSE '2020-01-01' END WHERE wallet_id = $1`, id, generation, days, joined)
			if open != "" {
				of := p
				if elsewhere {
					of = policies[1]
				}
				w.exec(`INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, claimed_at) VALUES ($1, gen_random_uuid(), $2, now(), 'manual', now())`, id, null(of))
				attention, doubt := open == "attention" || open == "both", open == "doubt" || open == "both"
				w.exec(`UPDATE rotations SET attention = CASE WHEN $2 THEN 'drift' END, attention_since = CASE WHEN $2 THEN now() END,
					in_doubt_since = CASE WHEN $3 THEN now() END WHERE wallet_id = $1`, id, attention, doubt)
			}
			if p == 0 {
				continue
			}
			assigned++
			c := want[names[p]]
			switch old := time.Duration(days) * day; {
			case open == "attention" || open == "both":
				c.Attention++
			case open == "doubt":
				c.InDoubt++
			case off || paused[p]:
				c.Paused++
			case age[p] > 0 && old > age[p]:
				c.Overdue++
			case old > 5*day && !joined:
				c.Due++
			case generation == 0:
				c.Never++
			default:
				c.Fresh++
			}
			want[names[p]] = c
		}
		fleet, err := w.Fleet(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]counts{}
		sum := int64(0)
		for _, f := range fleet {
			got[f.Policy] = counts{f.Fresh(), f.Never, f.Due, f.Overdue, f.InDoubt, f.Attention, f.Paused}
			sum += f.Wallets + f.Paused
			if f.Fresh()+f.Never+f.Due+f.Overdue+f.InDoubt+f.Attention != f.Wallets {
				t.Fatalf("policy %s: the states do not sum up to %d wallets: %+v", f.Policy, f.Wallets, f)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("fleet (-naive +counted):\n%s", diff)
		}
		unassigned, err := w.Unassigned(w.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sum != assigned || sum+unassigned != int64(len(ids)) {
			t.Fatalf("%d wallets in policies and %d in none, of %d", sum, unassigned, len(ids))
		}
	})
}

func TestFleetFigures(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	w.exec(`UPDATE rotation_policies SET max_share_age = '90 days'`)
	w.judge(p)
	ids := w.wallets(p, 2)
	next := w.hoursAgo(-1)
	w.ok(w.SetNextRuns(t.Context(), p, []time.Time{next}))
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	claimed := w.claim(p, tick, ids...)
	w.rotate(claimed[ids[0]])
	one := func() PolicyFleet {
		t.Helper()
		fleet, err := w.Fleet(t.Context())
		w.ok(err)
		w.same(len(fleet), 1, "policies")
		return fleet[0]
	}
	f := one()
	w.same(f.Cycle, map[string]int64{"total": 2, "succeeded": 1, "failed": 0}, "cycle")
	w.same(f.MaxShareAge, 90*24*time.Hour, "max share age")
	w.same(f.NextRun.Equal(next), true, "next run")
	w.same(f.Valid && f.Enabled, true, "valid and enabled")
	w.same(f.LastSuccess.IsZero(), true, "no success yet")
	if age := w.Now().Sub(f.OldestCycleAt); age < 29*24*time.Hour {
		t.Errorf("the oldest is %s old", age)
	}
	w.to(claimed[ids[1]], Promoted)
	pending, err := w.PendingCommits(t.Context())
	w.ok(err)
	w.same(len(pending), 1, "pending commits")
	w.same(fmt.Sprint(pending[0].Provider, pending[0].CoSigner, pending[0].Count, pending[0].Oldest.IsZero()), "dyn1 false", "pending commit")
	open, err := w.OpenRotations(t.Context())
	w.ok(err)
	w.same(open, []OpenCount{{Provider: "dyn", State: Promoted, Count: 1}}, "open rotations")
	w.committed(claimed[ids[1]])
	done, err := w.Complete(t.Context(), p, tick)
	w.ok(err)
	w.same(done, true, "completed")
	w.same(one().LastSuccess.IsZero(), false, "last success")
}

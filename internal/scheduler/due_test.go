package scheduler

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/store"
)

// TestDue reads as the rule: a daily policy at 03:00 UTC with a run window of
// four hours and a promise of three days, whose latest tick was on 10 May. The
// emergency band then begins 54 hours after cycle_at.
func TestDue(t *testing.T) {
	tick := time.Date(2026, 5, 10, 3, 0, 0, 0, time.UTC)
	yesterday := tick.AddDate(0, 0, -1)
	for _, c := range []struct {
		name   string
		wallet Wallet
		edit   func(*Row)
		moment Moment
		want   Decision
	}{
		{
			name:   "at the tick",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick},
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick},
		},
		{
			name:   "just before the window ends",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick.Add(4*time.Hour - 1)},
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick},
		},
		{
			name:   "when the window has ended",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick.Add(4 * time.Hour)},
			want: Decision{Reason: ReasonWindow},
		},
		{
			name:   "without a window, until the next tick",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick.Add(23 * time.Hour)},
			edit: func(r *Row) { r.RunWindow = nil },
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick},
		},
		{
			name:   "the tick is satisfied",
			wallet: Wallet{CycleAt: tick}, moment: Moment{Tick: tick, Now: tick.Add(time.Hour)},
			want: Decision{Reason: ReasonCurrent},
		},
		{
			name:   "rotated by hand after the tick",
			wallet: Wallet{CycleAt: tick.Add(time.Minute)}, moment: Moment{Tick: tick, Now: tick.Add(time.Hour)},
			want: Decision{Reason: ReasonCurrent},
		},
		{
			name:   "it joined at the tick",
			wallet: Wallet{CycleAt: yesterday, EligibleAfter: tick}, moment: Moment{Tick: tick, Now: tick},
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick},
		},
		{
			name:   "it joined after the tick",
			wallet: Wallet{CycleAt: yesterday, EligibleAfter: tick.Add(1)}, moment: Moment{Tick: tick, Now: tick.Add(time.Hour)},
			want: Decision{Reason: ReasonJoined},
		},
		{
			name:   "the policy has not ticked yet",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Now: tick},
			want: Decision{Reason: ReasonNoTick},
		},
		{
			name:   "a tick of the future is none",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick.Add(-1)},
			want: Decision{Reason: ReasonNoTick},
		},
		{
			name:   "a tick that fell into an outage",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick.Add(2 * time.Hour), CatchUp: true},
			want: Decision{Due: true, Trigger: store.CatchUp, NotBefore: tick},
		},
		{
			name:   "paused",
			wallet: Wallet{CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick, Paused: true},
			want: Decision{Reason: ReasonPaused},
		},
		{
			name:   "paused beats the emergency",
			wallet: Wallet{CycleAt: yesterday.AddDate(0, 0, -9)}, moment: Moment{Tick: tick, Now: tick, Paused: true},
			want: Decision{Reason: ReasonPaused},
		},
		{
			name:   "just before the emergency band",
			wallet: Wallet{CycleAt: tick.Add(-54 * time.Hour)}, moment: Moment{Tick: yesterday, Now: tick.Add(-1)},
			want: Decision{Reason: ReasonWindow},
		},
		{
			name:   "the emergency band ignores the window",
			wallet: Wallet{CycleAt: tick.Add(-54 * time.Hour)}, moment: Moment{Tick: yesterday, Now: tick},
			want: Decision{Due: true, Trigger: store.Emergency, NotBefore: tick},
		},
		{
			name:   "the emergency band ignores that it has just joined",
			wallet: Wallet{CycleAt: tick.Add(-60 * time.Hour), EligibleAfter: tick}, moment: Moment{Tick: yesterday, Now: tick},
			want: Decision{Due: true, Trigger: store.Emergency, NotBefore: tick.Add(-6 * time.Hour)},
		},
		{
			name:   "it joined after the cut of the minute",
			wallet: Wallet{CycleAt: tick.Add(-60 * time.Hour), EligibleAfter: tick.Add(time.Second)}, moment: Moment{Tick: yesterday, Now: tick.Add(2 * time.Second)},
			want: Decision{Reason: ReasonJoined},
		},
		{
			name:   "the emergency band does not need a tick",
			wallet: Wallet{CycleAt: tick.Add(-54 * time.Hour)}, moment: Moment{Now: tick},
			want: Decision{Due: true, Trigger: store.Emergency, NotBefore: tick},
		},
		{
			name:   "what the schedule does anyway is no emergency",
			wallet: Wallet{CycleAt: tick.Add(-60 * time.Hour)}, moment: Moment{Tick: tick, Now: tick.Add(time.Minute)},
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick},
		},
		{
			name:   "no promise, no emergency",
			wallet: Wallet{CycleAt: tick.AddDate(-1, 0, 0)}, moment: Moment{Tick: yesterday, Now: tick},
			edit: func(r *Row) { r.MaxShareAge = nil },
			want: Decision{Reason: ReasonWindow},
		},
		{
			name:   "by hand means by hand, whatever was promised",
			wallet: Wallet{CycleAt: tick.AddDate(-1, 0, 0)}, moment: Moment{Tick: tick, Now: tick},
			edit: func(r *Row) { r.Schedule = nil },
			want: Decision{Reason: ReasonByHand},
		},
		{
			// Block 0 has its slot at 0.8833 of the spread.
			name:   "a slot in the spread",
			wallet: Wallet{ID: 255, CycleAt: yesterday}, moment: Moment{Tick: tick, Now: tick},
			edit: func(r *Row) { r.Spread = ptr(time.Hour) },
			want: Decision{Due: true, Trigger: store.Schedule, NotBefore: tick.Add(3179918909569)},
		},
		{
			name:   "the emergency band ignores the spread",
			wallet: Wallet{ID: 255, CycleAt: tick.Add(-54 * time.Hour)}, moment: Moment{Tick: tick, Now: tick},
			edit: func(r *Row) { r.Spread = ptr(time.Hour) },
			want: Decision{Due: true, Trigger: store.Emergency, NotBefore: tick},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			row := dailyRow()
			row.RunWindow, row.MaxShareAge = ptr(4*time.Hour), ptr(72*time.Hour)
			if c.edit != nil {
				c.edit(&row)
			}
			v := Judge(row, 0, Rules{})
			if v.Err != nil {
				t.Fatal(v.Err)
			}
			if got := Due(c.wallet, &v.Spec, c.moment); got != c.want {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestSlots: the same slot for a block, always the same one, and all blocks
// together even over the spread.
func TestSlots(t *testing.T) {
	s := Spec{Spread: 4 * time.Hour}
	const blocks = 40_000
	var tenths [10]int
	for block := range int64(blocks) {
		slot := s.Slot(block * spreadBlock)
		if slot < 0 || slot >= s.Spread {
			t.Fatalf("block %d starts %s after the tick", block, slot)
		}
		if last := s.Slot(block*spreadBlock + spreadBlock - 1); last != slot {
			t.Fatalf("block %d has the slots %s and %s", block, slot, last)
		}
		tenths[int(slot*10/s.Spread)]++
	}
	for i, n := range tenths { // 4000 each; three standard deviations are 180
		if n < 3820 || n > 4180 {
			t.Errorf("%d of %d blocks are in tenth %d", n, blocks, i)
		}
	}
	if (&Spec{}).Slot(77) != 0 {
		t.Error("a slot without a spread")
	}
}

// TestEmergencyCutoffAgreesWithDue: the range scan finds exactly the wallets
// that Due calls an emergency.
func TestEmergencyCutoffAgreesWithDue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		row := dailyRow()
		row.MaxShareAge = ptr(time.Duration(rapid.Int64Range(int64(48*time.Hour), int64(5000*time.Hour)).Draw(rt, "max_share_age")))
		v := Judge(row, 0, Rules{})
		if v.Err != nil {
			rt.Fatal(v.Err)
		}
		now := time.Unix(1_800_000_000, 0)
		cutoff, ok := v.Spec.EmergencyCutoff(now)
		if !ok || !cutoff.Before(now) {
			rt.Fatalf("cutoff %s, %v", cutoff, ok)
		}
		w := Wallet{CycleAt: cutoff.Add(time.Duration(rapid.Int64Range(-1000, 1000).Draw(rt, "distance")))}
		if got, want := Due(w, &v.Spec, Moment{Now: now}).Due, !w.CycleAt.After(cutoff); got != want {
			rt.Fatalf("cycle_at %s, cutoff %s: due %v", w.CycleAt, cutoff, got)
		}
		lead := *row.MaxShareAge - now.Sub(cutoff)
		if lead > 24*time.Hour || lead > *row.MaxShareAge/4 {
			rt.Fatalf("lead %s for max_share_age %s", lead, *row.MaxShareAge)
		}
	})
}

// TestOneRotationPerTick: whoever starts a rotation, a wallet that succeeded is
// not due again for the same tick, nor for the promise right after.
func TestOneRotationPerTick(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		row := dailyRow()
		row.Schedule = ptr(rapid.SampledFrom([]string{"@every 1s", "@every 20s", "@every 5m", "@daily"}).Draw(rt, "schedule"))
		row.RunWindow = nil
		interval := mustSchedule(t, *row.Schedule, "UTC").Interval()
		row.MaxShareAge = ptr(2*interval + time.Duration(rapid.Int64Range(0, int64(20*interval)).Draw(rt, "max_share_age")))
		v := Judge(row, 0, Rules{})
		if v.Err != nil {
			rt.Fatal(v.Err)
		}
		tick := time.UnixMicro(rapid.Int64Range(1.7e15, 1.8e15).Draw(rt, "tick"))
		claimed := tick.Add(time.Duration(rapid.Int64Range(0, int64(interval)-1).Draw(rt, "claimed after")))
		for _, satisfied := range []time.Time{tick, v.Spec.EmergencyTick(claimed)} {
			if satisfied.After(claimed) {
				rt.Fatalf("claimed at %s for %s", claimed, satisfied)
			}
			if d := Due(Wallet{CycleAt: latest(tick, satisfied)}, &v.Spec, Moment{Tick: tick, Now: claimed}); d.Due {
				rt.Fatalf("due again: %+v", d)
			}
		}
		age, _ := v.Spec.emergencyAge()
		if lost := claimed.Sub(v.Spec.EmergencyTick(claimed)); lost > age/8 {
			rt.Fatalf("an emergency rotation is %s old at once, and the next one is due at %s", lost, age)
		}
	})
}

func TestFiredLate(t *testing.T) {
	tick := time.Unix(1_800_000_000, 0)
	if FiredLate(tick, tick.Add(time.Minute)) {
		t.Error("a minute is no outage: a poll may take half of it")
	}
	if !FiredLate(tick, tick.Add(time.Minute+1)) {
		t.Error("more than a minute is an outage")
	}
}

// TestMixNeverChanges uses the first outputs of SplitMix64 from seed 0.
func TestMixNeverChanges(t *testing.T) {
	var step uint64 = 0x9e3779b97f4a7c15 // the generator's increment
	for i, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := mix(uint64(i) * step); got != want {
			t.Errorf("output %d is %#x, want %#x", i, got, want)
		}
	}
}

package store

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// TestPace: whoever asks, whenever and for however many, no 60 seconds see
// more starts than allowed; and a steady asker gets nearly all of them.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perMinute := rapid.Int32Range(1, 2000).Draw(t, "per_minute")
		burst, slot := pace(perMinute, time.Minute)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var until *time.Time
		var starts []time.Time
		// Asking often enough leaves no slot unused; asking seldom lets a burst
		// gather.
		longest := rapid.SampledFrom([]time.Duration{slot, time.Duration(burst) * slot, 30 * time.Second}).Draw(t, "longest pause")
		for range 200 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(longest)).Draw(t, "pause")))
			n := min(paced(until, now, perMinute, time.Minute), rapid.SampledFrom([]int{1, burst, 3000}).Draw(t, "wanted"))
			if n == 0 {
				continue
			}
			// What spend books, to the microsecond of an interval.
			from := now
			if until != nil && until.After(now) {
				from = *until
			}
			booked := from.Add((time.Duration(n) * slot).Truncate(time.Microsecond)).Truncate(time.Microsecond)
			until = &booked
			for range n {
				starts = append(starts, now)
			}
		}
		for i, start := range starts {
			in := 0
			for _, s := range starts[i:] {
				if s.Sub(start) < time.Minute {
					in++
				}
			}
			if in > int(perMinute) {
				t.Fatalf("%d starts within a minute, allowed are %d", in, perMinute)
			}
		}
	})
}

func TestPaceIsUsedUp(t *testing.T) {
	for _, perMinute := range []int32{1, 2, 3, 10, 60, 600, 100_000} {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		_, slot := pace(perMinute, time.Minute)
		var until *time.Time
		total := 0
		for range 10 * 60 * 10 { // ten minutes, ten asks a second
			n := paced(until, now, perMinute, time.Minute)
			if n > 0 {
				from := now
				if until != nil && until.After(now) {
					from = *until
				}
				booked := from.Add(time.Duration(n) * slot)
				until, total = &booked, total+n
			}
			now = now.Add(100 * time.Millisecond)
		}
		// What is given up for the burst is all that is given up.
		burst, _ := pace(perMinute, time.Minute)
		if want := 10 * max(1, int(perMinute)-burst) * 99 / 100; total < want {
			t.Errorf("%d per minute: %d starts in ten minutes, want %d at least", perMinute, total, want)
		}
	}
}

// TestLimitsHoldAcrossReplicas lets several replicas claim at once under each
// limit.
func TestLimitsHoldAcrossReplicas(t *testing.T) {
	w := newWorld(t)
	tick := w.hoursAgo(1)
	for _, c := range []struct {
		name  string
		limit func(*Claim)
		want  int
	}{
		{"concurrent", func(c *Claim) { c.MaxConcurrent = 7 }, 7},
		{"per minute", func(c *Claim) { c.MaxPerMinute = 50 }, 5}, // the burst; the rest would take longer than this test
		{"canary", func(c *Claim) { c.Canary = 3 }, 3},
		{"both", func(c *Claim) { c.MaxConcurrent, c.MaxPerMinute = 4, 50 }, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := w.policy("p" + c.name[:3])
			ids := w.wallets(p, 40)
			w.tick(p, tick)
			var g errgroup.Group
			for range 4 {
				s, epoch := w.open(), w.register()
				g.Go(func() error {
					for batch := range slices.Chunk(ids, 10) {
						claim := Claim{Owner: epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: batch}
						c.limit(&claim)
						got, err := s.Claim(t.Context(), claim)
						if err != nil {
							return err
						}
						if len(got.Rotations)+got.Limited > len(batch) {
							t.Errorf("claimed %d and kept back %d of %d", len(got.Rotations), got.Limited, len(batch))
						}
					}
					return nil
				})
			}
			w.ok(g.Wait())
			w.same(ask[int](w, `SELECT count(*) FROM rotations WHERE policy_id = $1`, p), c.want, "claimed")
		})
	}
}

// TestLimitsAreTakenOneAfterTheOther holds one replica back between counting
// what is under way and committing its claim: another one must not count in
// the meantime, neither to claim nor to take what backs off.
func TestLimitsAreTakenOneAfterTheOther(t *testing.T) {
	for name, second := range map[string]func(*world, Claim) (int, error){
		"claim": func(w *world, c Claim) (int, error) {
			got, err := w.Claim(w.t.Context(), c)
			return len(got.Rotations), err
		},
		"take": func(w *world, c Claim) (int, error) {
			got, err := w.TakeWaiting(w.t.Context(), c.Owner, c.PolicyID, c.MaxConcurrent, 10)
			return len(got), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			p := w.policy("treasury")
			tick := w.hoursAgo(1)
			ids := w.wallets(p, 4)
			for _, r := range w.claim(p, tick, ids[3]) {
				w.park(r, ParkStep{NextCheck: w.Now().Add(-time.Second)})
			}
			// The first claim waits for this row to book its counters.
			tx, err := w.connect("").Begin(ctx)
			w.ok(err)
			_, err = tx.Exec(ctx, `SELECT FROM cycle_counters FOR UPDATE`)
			w.ok(err)
			claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids[:2], MaxConcurrent: 2}
			var g errgroup.Group
			var first, then int
			g.Go(func() error {
				got, err := w.Claim(ctx, claim)
				first = len(got.Rotations)
				return err
			})
			w.waiting(1)
			g.Go(func() (err error) {
				other := claim
				other.WalletIDs = ids[2:3]
				then, err = second(w, other)
				return err
			})
			w.waiting(2)
			w.ok(tx.Rollback(ctx))
			w.ok(g.Wait())
			w.same([]int{first, then}, []int{2, 0}, "taken by the first and by the second")
		})
	}
}

func TestConcurrentLimitCountsWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 8)
	claimed := w.claim(p, tick, ids[:5]...)
	for i, state := range []State{Opening, Ceremony, Prepared, Promoted} {
		w.to(claimed[ids[i]], state)
		w.park(claimed[ids[i]], ParkStep{}) // parked ones hold their place
	}
	w.park(claimed[ids[4]], ParkStep{}) // one that backs off in waiting does not
	got, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids[5:], MaxConcurrent: 5})
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed")
	w.same(got.Limited, 2, "kept back")
}

func TestFailureBudget(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 5)
	claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, FailureBudget: 2}
	for i, id := range ids[:2] {
		claim.WalletIDs = []int64{id}
		got, err := w.Claim(t.Context(), claim)
		w.ok(err)
		w.same(len(got.Rotations), 1, "claimed after %d failures", i)
		w.ok(w.Fail(t.Context(), w.epoch, got.Rotations[0], "retryable", "x", AttemptsUsedUp, w.Now()))
	}
	claim.WalletIDs = ids[2:]
	got, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed over budget")
	w.same(got.Stop, "2 wallets failed, which uses up the failure budget of 2", "stop")
	// The budget is each tick's own.
	claim.Tick, claim.Before = tick.Add(time.Minute), tick.Add(time.Minute)
	got, err = w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 3, "claimed for the next tick")
}

func TestCanary(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 6)
	claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, Canary: 2}
	got, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 2, "canaries")
	w.same(got.CanaryWaits, true, "the rest waits")
	w.rotate(got.Rotations[0])
	none, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(none.Rotations), 0, "claimed while a canary is out")
	w.rotate(got.Rotations[1])
	rest, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(rest.Rotations), 4, "the rest")
	w.same(rest.Limited, 0, "kept back")

	next := tick.Add(time.Minute)
	w.tick(p, next)
	claim.Tick, claim.Before, claim.WalletIDs = next, next, []int64{got.Rotations[0].Wallet.ID, got.Rotations[1].Wallet.ID}
	got, err = w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 2, "canaries of the next tick")
	w.ok(w.Fail(t.Context(), w.epoch, got.Rotations[0], "retryable", "x", AttemptsUsedUp, w.Now()))
	got, err = w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(got.Stop, "1 of the first 2 wallets (canary) failed", "stop")
}

// Starts are booked by the database, so that another replica's clock or a
// restart does not hand them out again.
func TestPerMinuteSurvivesTheReplica(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 4)
	claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, MaxPerMinute: 1}
	got, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed")
	w.same(got.Limited, 3, "kept back")
	claim.Owner = w.register()
	got, err = w.open().Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed in the same minute")
	until := ask[time.Time](w, `SELECT started_until FROM policy_state`)
	if ahead := until.Sub(w.Now()); ahead < 50*time.Second || ahead > time.Minute {
		t.Errorf("the next start is %s ahead", ahead)
	}
	w.exec(`UPDATE policy_state SET started_until = now() - interval '1 second'`)
	got, err = w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed in the next minute")
}

package store

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func TestDiscoverWalksEachDueWalletOnce(t *testing.T) {
	w := newWorld(t)
	p, other := w.policy("treasury"), w.policy("other")
	w.wallets(other, 3)
	ids := w.wallets(p, 25)
	tick := w.hoursAgo(1)
	w.exec(`UPDATE wallet_state SET cycle_at = $2 WHERE wallet_id = ANY($1)`, ids[:3], tick) // satisfied
	w.exec(`UPDATE wallet_state SET cycle_at = $2::timestamptz - wallet_id % 5 * interval '1 day' - interval '1 hour' WHERE wallet_id = ANY($1)`, ids[3:], tick)
	var seen []int64
	var at Cursor
	for {
		page, err := w.Discover(t.Context(), p, tick, at, 4)
		w.ok(err)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			if c.CycleAt.Before(at.CycleAt) || c.CycleAt.Equal(at.CycleAt) && c.WalletID <= at.WalletID {
				t.Fatalf("%v after %v", c, at)
			}
			seen, at = append(seen, c.WalletID), c
		}
	}
	slices.Sort(seen)
	w.same(seen, ids[3:], "due wallets")
}

func TestClaimTakesOnlyWhatIsDue(t *testing.T) {
	w := newWorld(t)
	p, other := w.policy("treasury"), w.policy("other")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 6)
	w.exec(`UPDATE wallet_state SET cycle_at = $2 WHERE wallet_id = $1`, ids[0], tick)                                                                    // satisfied
	w.exec(`UPDATE wallet_state SET eligible_after = $2::timestamptz + interval '1 second' WHERE wallet_id = $1`, ids[1], tick)                           // joined later
	w.exec(`UPDATE wallets SET policy_id = $2 WHERE id = $1`, ids[2], other)                                                                              // moved away
	w.exec(`UPDATE wallets SET enabled = false WHERE id = $1`, ids[3])                                                                                    // disabled
	w.exec(`INSERT INTO rotations (wallet_id, rotation_id, tick, trigger, claimed_at) VALUES ($1, gen_random_uuid(), $2, 'manual', now())`, ids[4], tick) // open already
	got, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: CatchUp, WalletIDs: append(ids, 999)})
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed")
	r := got.Rotations[0]
	w.same(r.Wallet.ID, ids[5], "wallet")
	w.same(r.Trigger, CatchUp, "trigger")
	w.same(got.Limited, 0, "limited")
	// A second claim of the same wallets gets nothing.
	got, err = w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids})
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed again")
	owned, err := w.Owned(t.Context(), w.epoch)
	w.ok(err)
	w.same(owned, []int64{ids[5]}, "owned")
	// A policy that is gone has nothing to claim.
	got, err = w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: 999, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, MaxConcurrent: 1})
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed of a deleted policy")
}

// A wallet that cannot be claimed does not use up a limit: else it would hold
// back all others, look after look.
func TestLimitIsNotUsedUpInVain(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 4)
	r := w.claim(p, tick, ids[0])[ids[0]]
	w.ok(w.Fail(t.Context(), w.epoch, r, "terminal", "x", NeedsPerson, w.Now()))
	w.exec(`UPDATE wallet_state SET eligible_after = now() WHERE wallet_id = $1`, ids[1])
	claim := Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, MaxConcurrent: 1}
	got, err := w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed")
	w.same(got.Rotations[0].Wallet.ID, ids[2], "wallet")
	w.same(got.Limited > 0, true, "kept back")
	// And where nothing can be claimed, no limit is the reason.
	claim.WalletIDs, claim.MaxConcurrent = ids[:3], 2
	got, err = w.Claim(t.Context(), claim)
	w.ok(err)
	w.same(len(got.Rotations)+got.Limited, 0, "claimed or kept back")
}

// TestReplicasNeverShareAWallet: several replicas claim the same wallets at
// once, in opposite orders, and rotate what they get.
func TestReplicasNeverShareAWallet(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 200)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	const replicas = 4
	got := make([][]int64, replicas)
	var g errgroup.Group
	for i := range replicas {
		s, epoch := w.open(), w.register()
		mine := slices.Clone(ids)
		if i%2 == 1 {
			slices.Reverse(mine)
		}
		g.Go(func() error {
			for batch := range slices.Chunk(mine, 20) {
				claimed, err := s.Claim(t.Context(), Claim{Owner: epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: batch})
				if err != nil {
					return err
				}
				for _, r := range claimed.Rotations {
					got[i] = append(got[i], r.Wallet.ID)
				}
			}
			return nil
		})
	}
	w.ok(g.Wait())
	all := slices.Concat(got...)
	slices.Sort(all)
	// What a batch passed over because another replica had it locked is free
	// again; nothing is lost and nothing is double.
	w.same(len(slices.Compact(slices.Clone(all))), len(all), "distinct claims")
	w.same(ask[int](w, `SELECT count(*) FROM rotations`), len(all), "open rotations")
	w.same(ask[int64](w, `SELECT sum(claimed) FROM cycle_counters`), len(all), "counted claims")
	rest, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids})
	w.ok(err)
	w.same(len(all)+len(rest.Rotations), len(ids), "claimed in the end")
}

// TestStaleDiscoveryIsCheckedUnderTheLock: a wallet that was rotated between
// the look and the claim is not claimed again for the same tick, even when the
// claim began before the rotation was on record.
func TestStaleDiscoveryIsCheckedUnderTheLock(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 1)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	stale, err := w.Discover(t.Context(), p, tick, Cursor{}, 10)
	w.ok(err)
	w.same(len(stale), 1, "due")
	r := w.claim(p, tick, ids...)[ids[0]]
	w.rotate(r)
	got, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: []int64{stale[0].WalletID}})
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed again")
}

func TestClaimPassesOverLockedWallets(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 2)
	tick := w.hoursAgo(1)
	tx, err := w.connect("").Begin(t.Context())
	w.ok(err)
	_, err = tx.Exec(t.Context(), `SELECT FROM wallet_state WHERE wallet_id = $1 FOR NO KEY UPDATE`, ids[0])
	w.ok(err)
	got, err := w.Claim(t.Context(), Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids})
	w.ok(err)
	w.same(len(got.Rotations), 1, "claimed")
	w.same(got.Rotations[0].Wallet.ID, ids[1], "wallet")
	w.ok(tx.Rollback(t.Context()))
}

// A rotation goes on to its end although its policy was deleted meanwhile.
func TestPolicyDeletedUnderARotation(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Promoted)
	w.exec(`UPDATE wallets SET policy_id = NULL`)
	w.exec(`DELETE FROM rotation_policies`)
	w.same(w.reload(r).MaxAttempts, 1, "attempts without a policy")
	w.committed(r)
	w.ok(w.VerifyWallet(t.Context(), r.Wallet.ID))
}

func TestTakeWaitingWithinTheLimit(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 5)
	for _, r := range w.claim(p, tick, ids...) {
		w.park(r, ParkStep{NextCheck: w.Now().Add(-time.Second)})
	}
	taken, err := w.TakeWaiting(t.Context(), w.epoch, p, 3, 10)
	w.ok(err)
	w.same(len(taken), 3, "taken within max_concurrent")
	taken, err = w.TakeWaiting(t.Context(), w.epoch, p, 3, 10)
	w.ok(err)
	w.same(len(taken), 0, "taken beyond max_concurrent")
	taken, err = w.TakeWaiting(t.Context(), w.epoch, p, 0, 1)
	w.ok(err)
	w.same(len(taken), 1, "taken within the asked-for number")
	waiting, err := w.WaitingPolicies(t.Context())
	w.ok(err)
	w.same(waiting, []int32{p}, "policies with waiting rotations")
}

func TestParkAndTake(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.to(r, Ceremony)
	w.park(r, ParkStep{NextCheck: w.Now().Add(time.Hour), Attention: WaitsForApproval, Error: "waits for bob"})
	since := ask[time.Time](w, `SELECT attention_since FROM rotations`)
	taken, err := w.TakeUnderWay(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(taken), 0, "taken before its time")
	w.exec(`UPDATE rotations SET next_check = now()`)
	taken, err = w.TakeUnderWay(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].Error, "waits for bob", "error")
	// The same attention keeps its date; another one gets its own.
	w.park(taken[0], ParkStep{NextCheck: w.Now().Add(-time.Second), Attention: WaitsForApproval})
	if again := ask[time.Time](w, `SELECT attention_since FROM rotations`); !again.Equal(since) {
		t.Errorf("attention since %s, was %s", again, since)
	}
	taken, err = w.TakeUnderWay(ctx, w.epoch, 10)
	w.ok(err)
	w.to(taken[0], Prepared)
	w.ok(w.MarkInDoubt(ctx, w.epoch, r.Wallet.ID, w.Now()))
	doubt := w.reload(r).InDoubtSince
	w.park(taken[0], ParkStep{NextCheck: w.Now().Add(-time.Second), InDoubt: true})
	taken, err = w.TakeUnderWay(ctx, w.epoch, 10)
	w.ok(err)
	if !taken[0].InDoubtSince.Equal(doubt) {
		t.Errorf("in doubt since %s, was %s", taken[0].InDoubtSince, doubt)
	}
	w.promoted(taken[0], time.Time{})
	if got := w.reload(r); !got.InDoubtSince.IsZero() {
		t.Error("still in doubt after the promotion")
	}
}

// Commits come before everything else, however many wait longer.
func TestCommitsAreTakenFirst(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 3)
	claimed := w.claim(p, tick, ids...)
	for _, id := range ids {
		w.to(claimed[id], map[bool]State{true: Promoted, false: Ceremony}[id == ids[2]])
		w.park(claimed[id], ParkStep{NextCheck: w.Now().Add(time.Duration(id-ids[2])*time.Minute - time.Second)})
	}
	taken, err := w.TakeUnderWay(t.Context(), w.epoch, 1)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].State, Promoted, "state")
}

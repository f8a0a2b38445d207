package store

import (
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

func TestBand(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 3)
	joined := w.Now()
	w.exec(`UPDATE wallet_state SET eligible_after = $2 WHERE wallet_id = $1`, ids[1], joined)
	cutoff := w.hoursAgo(1)
	first, err := w.Band(t.Context(), p, cutoff, Cursor{}, 2)
	w.ok(err)
	w.same(len(first), 2, "wallets")
	w.same(first[1].EligibleAfter.Equal(joined), true, "joined")
	rest, err := w.Band(t.Context(), p, cutoff, first[1].Cursor, 2)
	w.ok(err)
	w.same(len(rest), 1, "the rest")
	w.same(rest[0].WalletID, ids[2], "wallet")
	none, err := w.Band(t.Context(), p, w.Now().AddDate(-1, 0, 0), Cursor{}, 2)
	w.ok(err)
	w.same(len(none), 0, "younger ones")
}

func TestOfProviders(t *testing.T) {
	w := newWorld(t)
	ids := w.wallets(0, 2)
	another := ask[int64](w, `INSERT INTO wallets (provider, external_id) VALUES ('another', 'v1') RETURNING id`)
	got, err := w.OfProviders(t.Context(), []int64{ids[0], another}, []string{"another", "other"})
	w.ok(err)
	w.same(got, map[int64]string{another: "another"}, "wallets")
}

func TestRetryingAndFailures(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	ids := w.wallets(p, 3)
	claimed := w.claim(p, tick, ids...)
	w.park(claimed[ids[0]], ParkStep{NextCheck: w.Now(), Class: provider.Retryable, Error: "x"})
	w.park(claimed[ids[1]], ParkStep{NextCheck: w.Now()})
	w.ok(w.Fail(ctx, w.epoch, claimed[ids[2]], provider.Retryable, "x", AttemptsUsedUp, w.Now()))
	n, err := w.Retrying(ctx, p)
	w.ok(err)
	w.same(n, 1, "retrying")
	for since, want := range map[time.Time]int{tick.Add(-time.Hour): 1, tick: 1, tick.Add(time.Second): 0} {
		n, err := w.FailedSince(ctx, p, since)
		w.ok(err)
		w.same(n, want, "failed since %s", since)
	}
}

func TestMoveWindow(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	tick := w.hoursAgo(1)
	exists := func(want bool) {
		t.Helper()
		got, err := w.CycleExists(ctx, p, tick)
		w.ok(err)
		w.same(got, want, "cycle on record")
	}
	exists(false)
	w.tick(p, tick)
	exists(true)
	for _, ends := range []time.Time{w.hoursAgo(-1), {}} {
		w.ok(w.MoveWindow(ctx, p, tick, ends))
		cycles, err := w.RunningCycles(ctx)
		w.ok(err)
		w.same(cycles[0].Ends.Equal(ends), true, "window ends at %s", ends)
	}
}

func TestRetirementsOfAnOwner(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.to(r, Prepared)
	w.promoted(r, w.Now().Add(-time.Second))
	w.committed(r)
	take := func(want int) []Retirement {
		t.Helper()
		due, err := w.TakeRetirements(ctx, w.epoch, 10)
		w.ok(err)
		w.same(len(due), want, "due retirements")
		return due
	}
	take(1)
	take(0)
	n, err := w.ReleaseRetirements(ctx, w.epoch)
	w.ok(err)
	w.same(n, 1, "released")
	due := take(1)[0]
	w.ok(w.Leave(ctx, w.epoch))
	if err := w.RetirementDone(ctx, w.epoch, due, "gone"); err == nil {
		t.Error("a zombie closed a retirement")
	}
	if err := w.RetirementFailed(ctx, w.epoch, due, time.Time{}, "x", NeedsPerson); err == nil {
		t.Error("a zombie put a retirement back")
	}
	w.epoch = w.register()

	// While the wallet's key is in question, whatever could still sign is kept.
	w.exec(`INSERT INTO rotations (wallet_id, rotation_id, tick, trigger, claimed_at, attention, attention_since)
		VALUES ($1, gen_random_uuid(), now(), 'manual', now(), 'key_at_risk', now())`, r.Wallet.ID)
	take(0)
	w.exec(`DELETE FROM rotations`)
	w.ok(w.RetirementDone(ctx, w.epoch, take(1)[0], "gone\x00"))
	w.ok(w.VerifyWallet(ctx, r.Wallet.ID))
}

func TestReconnect(t *testing.T) {
	w := newWorld(t)
	const mine = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rotatord' AND pid = $1`
	var pid int
	w.ok(w.pool.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid))
	w.Reconnect()
	w.eventually(func() bool { return ask[int](w, mine, pid) == 0 }, "the old connection is gone")
	w.ok(w.Ready(t.Context()))
}

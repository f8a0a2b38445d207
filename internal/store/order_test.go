package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// TestBatchesLockInTheOrderOfWallets: two batches name the same wallets in
// opposite orders. A third party holds the row in the middle until both wait,
// so that each has what the other needs, if they do not lock in one order.
func TestBatchesLockInTheOrderOfWallets(t *testing.T) {
	type batch func(*world, []*Rotation) error
	promote := func(w *world, rs []*Rotation) error {
		_, err := w.Promoted(w.t.Context(), w.epoch, each(rs, func(r *Rotation) PromotedStep { return promotedStep(w.Store, r, time.Time{}) }))
		return err
	}
	abandon := func(w *world, rs []*Rotation) error {
		_, err := w.Abandon(w.t.Context(), w.epoch, each(rs, func(r *Rotation) AbandonStep { return abandonStep(w.Store, r) }))
		return err
	}
	park := func(w *world, rs []*Rotation) error {
		_, err := w.Park(w.t.Context(), w.epoch, each(rs, func(r *Rotation) ParkStep { return ParkStep{WalletID: r.Wallet.ID, State: r.State, At: w.Now()} }))
		return err
	}
	opening := func(w *world, rs []*Rotation) error {
		_, err := w.Opening(w.t.Context(), w.epoch, each(rs, func(r *Rotation) OpeningStep { return openingStep(w.Store, r) }))
		return err
	}
	retreat := func(w *world, rs []*Rotation) error {
		_, err := w.Retreat(w.t.Context(), w.epoch, each(rs, func(r *Rotation) RetreatStep {
			return RetreatStep{WalletID: r.Wallet.ID, AttemptID: r.AttemptID, Class: "retryable"}
		}))
		return err
	}
	checkpoint := func(w *world, rs []*Rotation) error {
		_, err := w.Checkpoint(w.t.Context(), w.epoch, each(rs, checkpointStep))
		return err
	}
	prepared := func(w *world, rs []*Rotation) error {
		_, err := w.Prepared(w.t.Context(), w.epoch, each(rs, func(r *Rotation) PreparedStep { return preparedStep(w.Store, r) }))
		return err
	}
	committed := func(w *world, rs []*Rotation) error {
		_, err := w.Committed(w.t.Context(), w.epoch, each(rs, func(r *Rotation) CommittedStep { return committedStep(w.Store, r) }))
		return err
	}
	leave := func(w *world, _ []*Rotation) error { return w.Leave(w.t.Context(), w.epoch) }
	edit := func(w *world, _ []*Rotation) error {
		_, err := w.admin.Exec(w.t.Context(), `UPDATE wallets SET paused_reason = 'audit'`)
		return err
	}
	for name, c := range map[string]struct {
		state     State
		up, down  batch
		contested string // the table whose row in the middle is held
	}{
		"promoted, promoted":     {Prepared, promote, promote, "wallet_state"},
		"promoted, park":         {Prepared, promote, park, "rotations"},
		"park, promoted":         {Prepared, park, promote, "rotations"},
		"abandon, abandon":       {Ceremony, abandon, abandon, "wallet_state"},
		"park, park":             {Ceremony, park, park, "rotations"},
		"opening, opening":       {Waiting, opening, opening, "rotations"},
		"retreat, checkpoint":    {Opening, retreat, checkpoint, "rotations"},
		"checkpoint, retreat":    {Opening, checkpoint, retreat, "rotations"},
		"prepared, park":         {Ceremony, prepared, park, "rotations"},
		"park, prepared":         {Ceremony, park, prepared, "rotations"},
		"committed, park":        {Promoted, committed, park, "rotations"},
		"park, committed":        {Promoted, park, committed, "rotations"},
		"sign off, park":         {Ceremony, leave, park, "rotations"},
		"a person's edit, batch": {Prepared, edit, promote, "wallet_state"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			p := w.policy("treasury")
			// So that no order of rows is that of their ids by chance.
			w.exec(`SELECT setval('wallets_id_seq', 100)`)
			ids := w.wallets(p, 9)
			for _, id := range []int64{ids[4], ids[8], ids[0], ids[6], ids[2]} {
				w.exec(`UPDATE wallet_state SET eligible_after = eligible_after WHERE wallet_id = $1`, id)
			}
			claimed := w.claim(p, w.hoursAgo(1), ids...)
			var up []*Rotation
			for _, i := range []int{4, 8, 0, 6, 2, 1, 7, 3, 5} {
				w.baseline(claimed[ids[i]])
				w.to(claimed[ids[i]], c.state)
			}
			for _, id := range ids {
				up = append(up, claimed[id])
			}
			down := slices.Clone(up)
			slices.Reverse(down)
			tx, err := w.connect("").Begin(ctx)
			w.ok(err)
			_, err = tx.Exec(ctx, `SELECT FROM `+c.contested+` WHERE wallet_id = $1 FOR UPDATE`, ids[4])
			w.ok(err)
			var g errgroup.Group
			g.Go(func() error { return c.up(w, up) })
			look := *w // admin may be in use by then
			look.admin = w.connect("")
			look.waiting(1)
			g.Go(func() error { return c.down(w, down) })
			look.waiting(2)
			w.ok(tx.Rollback(ctx))
			if err := g.Wait(); err != nil && !isSerialization(err) {
				t.Fatal(err)
			}
		})
	}
}

func each[T any](rs []*Rotation, step func(*Rotation) T) []T {
	out := make([]T, len(rs))
	for i, r := range rs {
		out[i] = step(r)
	}
	return out
}

// TestEverythingAtOnceDoesNotDeadlock: everything that locks many wallets runs
// at the same time, over the same ones.
func TestEverythingAtOnceDoesNotDeadlock(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	ids := w.wallets(p, 40)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	claimed := w.claim(p, tick, ids...)
	for _, r := range claimed {
		w.to(r, Prepared)
	}
	batch := func(reverse bool) (promoted []PromotedStep, parked []ParkStep) {
		for _, id := range ids {
			promoted = append(promoted, promotedStep(w.Store, claimed[id], time.Time{}))
			parked = append(parked, ParkStep{WalletID: id, State: Prepared, At: w.Now()})
		}
		if reverse {
			slices.Reverse(promoted)
			slices.Reverse(parked)
		}
		return promoted, parked
	}
	for round := range 15 {
		w.exec(`UPDATE rotations SET owner = $1`, w.epoch)
		up, _ := batch(false)
		down, downPark := batch(true)
		// What is refused in this race is of no interest here, but an error is.
		var g errgroup.Group
		run := func(f func() error) {
			g.Go(func() error {
				if err := f(); err != nil && !isSerialization(err) {
					return err
				}
				return nil
			})
		}
		run(func() error { _, err := w.Promoted(ctx, w.epoch, up); return err })
		run(func() error { _, err := w.Promoted(ctx, w.epoch, down); return err })
		run(func() error { _, err := w.Park(ctx, w.epoch, downPark); return err })
		run(func() error { return w.Leave(ctx, w.epoch) })
		run(func() error {
			_, err := w.Claim(ctx, Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids, MaxConcurrent: 1000})
			return err
		})
		run(func() error { _, err := w.TakeUnderWay(ctx, w.epoch, 100); return err })
		run(func() error {
			_, err := w.Advance(ctx, Tick{PolicyID: p, Version: 1, At: tick.Add(time.Duration(round+1) * time.Second), Trigger: Schedule})
			return err
		})
		run(func() error {
			_, err := w.admin.Exec(ctx, `UPDATE wallets SET paused_reason = CASE WHEN paused_reason IS NULL THEN 'x' END`)
			return err
		})
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		w.epoch = w.register()
		if ask[int](w, `SELECT count(*) FROM rotations WHERE state = 'prepared'`) == 0 {
			break
		}
	}
	for _, id := range ids {
		w.ok(w.VerifyWallet(ctx, id))
	}
}

// isSerialization is true for what rotatord_same_count raises, never for a
// deadlock.
func isSerialization(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "40001"
}

package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/provider"
)

// writes is every step a replica may take with a rotation in hand, by the
// state that it is taken from. Each answers whether it was taken.
var writes = map[State]map[string]func(context.Context, *Store, int64, *Rotation) (bool, error){
	Waiting: {
		"RecordBaseline": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.RecordBaseline(ctx, epoch, []BaselineStep{baselineStep(s, r)})
			return len(got) > 0, err
		},
		"Fail": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			return recorded(s.Fail(ctx, epoch, r, provider.Retryable, "x", AttemptsUsedUp, s.Now()))
		},
		"Drop": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			return recorded(s.Drop(ctx, epoch, r))
		},
		"Park": parkIn(Waiting),
	},
	Opening: {
		"Checkpoint": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Checkpoint(ctx, epoch, []CheckpointStep{checkpointStep(r)})
			return len(got) > 0, err
		},
		"Retreat": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Retreat(ctx, epoch, []RetreatStep{{WalletID: r.Wallet.ID, AttemptID: r.AttemptID, Class: provider.Retryable, Error: "x"}})
			return len(got) > 0, err
		},
		"Abandon": abandonIn,
		"Park":    parkIn(Opening),
	},
	Ceremony: {
		"Checkpoint": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Checkpoint(ctx, epoch, []CheckpointStep{checkpointStep(r)})
			return len(got) > 0, err
		},
		"Prepared": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Prepared(ctx, epoch, []PreparedStep{preparedStep(s, r)})
			return len(got) > 0, err
		},
		"Abandon": abandonIn,
		"Park":    parkIn(Ceremony),
	},
	Prepared: {
		"Prepared": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Prepared(ctx, epoch, []PreparedStep{preparedStep(s, r)})
			return len(got) > 0, err
		},
		"Promoted": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Promoted(ctx, epoch, []PromotedStep{promotedStep(s, r, time.Time{})})
			return len(got) > 0, err
		},
		"MarkInDoubt": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			return recorded(s.MarkInDoubt(ctx, epoch, r.Wallet.ID, s.Now()))
		},
		"Abandon": abandonIn,
		"Park":    parkIn(Prepared),
	},
	Promoted: {
		"Committed": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
			got, err := s.Committed(ctx, epoch, []CommittedStep{committedStep(s, r)})
			return len(got) > 0, err
		},
		"Park": parkIn(Promoted),
	},
}

// based are the steps of a waiting rotation that has its baseline.
var based = map[string]func(context.Context, *Store, int64, *Rotation) (bool, error){
	"Opening": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
		got, err := s.Opening(ctx, epoch, []OpeningStep{openingStep(s, r)})
		return len(got) > 0, err
	},
	"Reconcile": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
		got, err := s.Reconcile(ctx, epoch, []ReconcileStep{{Entry: Follow(r.Head, HistoryRow{WalletID: r.Wallet.ID, Generation: r.Head.Generation + 1,
			Outcome: Reconciled, DecidedAt: s.Now(), RotationID: r.RotationID, ShareSet: "by-hand", Replaced: r.Head.ActiveShareSet})}})
		return len(got) > 0, err
	},
}

// afterAbandon are the steps of a rotation whose attempt is still to be
// discarded.
var afterAbandon = map[string]func(context.Context, *Store, int64, *Rotation) (bool, error){
	"Discarded": func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
		return recorded(s.Discarded(ctx, epoch, r.Wallet.ID, r.AttemptID))
	},
}

func recorded(err error) (bool, error) {
	if errors.Is(err, ErrNotRecorded) {
		return false, nil
	}
	return err == nil, err
}

func parkIn(state State) func(context.Context, *Store, int64, *Rotation) (bool, error) {
	return func(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
		got, err := s.Park(ctx, epoch, []ParkStep{{WalletID: r.Wallet.ID, State: state, At: s.Now()}})
		return len(got) > 0, err
	}
}

func abandonIn(ctx context.Context, s *Store, epoch int64, r *Rotation) (bool, error) {
	got, err := s.Abandon(ctx, epoch, []AbandonStep{abandonStep(s, r)})
	return len(got) > 0, err
}

// everything is all that the path of a rotation writes, as text.
func (w *world) everything() string {
	w.t.Helper()
	return ask[string](w, `SELECT concat_ws(E'\n',
		(SELECT json_agg(r ORDER BY wallet_id)::text FROM rotations r), (SELECT json_agg(s ORDER BY wallet_id)::text FROM wallet_state s),
		(SELECT json_agg(h ORDER BY wallet_id, seq)::text FROM share_set_history h), (SELECT json_agg(x ORDER BY wallet_id)::text FROM retirements x),
		(SELECT json_agg(c ORDER BY owner)::text FROM cycle_counters c), (SELECT json_agg(p)::text FROM policy_state p))`)
}

// TestZombieChangesNothing gives a replica up in every state and lets it try
// every step it could have been about to take: once while its rotation is
// parked, and once after another replica has it.
func TestZombieChangesNothing(t *testing.T) {
	type scene struct {
		name  string
		reach func(*world, *Rotation)
		steps map[string]func(context.Context, *Store, int64, *Rotation) (bool, error)
	}
	scenes := []scene{
		{"waiting", func(*world, *Rotation) {}, writes[Waiting]},
		{"waiting with baseline", func(w *world, r *Rotation) { w.baseline(r) }, based},
		{"waiting with discard", func(w *world, r *Rotation) { w.to(r, Ceremony); w.abandon(r) }, afterAbandon},
	}
	for _, state := range []State{Opening, Ceremony, Prepared, Promoted} {
		scenes = append(scenes, scene{string(state), func(w *world, r *Rotation) { w.to(r, state) }, writes[state]})
	}
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			w, r := claimed(t)
			sc.reach(w, r)
			zombie := w.epoch
			w.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour' WHERE epoch = $1`, zombie)
			dead, err := w.GiveUp(t.Context(), time.Minute)
			w.ok(err)
			w.same(dead, 1, "given up")
			refuse := func(when string) {
				before := w.everything()
				for name, step := range sc.steps {
					taken, err := step(t.Context(), w.Store, zombie, r)
					if err != nil || taken {
						t.Errorf("%s: %s by a zombie: taken %t, %v", when, name, taken, err)
					}
					w.same(w.everything(), before, "%s: %s by a zombie", when, name)
				}
			}
			refuse("parked")

			w.epoch = w.register()
			w.exec(`UPDATE rotations SET next_check = now() - interval '1 second'`)
			var again []*Rotation
			if r.State == Waiting {
				again, err = w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
			} else {
				again, err = w.TakeUnderWay(t.Context(), w.epoch, 10)
			}
			w.ok(err)
			w.same(len(again), 1, "taken over")
			refuse("taken over")

			// The same step is taken from the replica that has it: it was the
			// epoch that was refused.
			for name, step := range sc.steps {
				taken, err := step(t.Context(), w.Store, w.epoch, w.reload(r))
				if err != nil || !taken {
					t.Errorf("%s by the new owner: taken %t, %v", name, taken, err)
				}
				break
			}
		})
	}
}

func TestGivenUpReplicaTakesNothing(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	ids := w.wallets(p, 2)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	w.to(w.claim(p, tick, ids[0])[ids[0]], Prepared)
	zombie := w.epoch
	w.ok(w.Leave(ctx, zombie))

	got, err := w.Claim(ctx, Claim{Owner: zombie, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids[1:]})
	w.ok(err)
	w.same(len(got.Rotations), 0, "claimed")
	underWay, err := w.TakeUnderWay(ctx, zombie, 10)
	w.ok(err)
	w.same(len(underWay), 0, "taken under way")
	w.exec(`INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, claimed_at, next_check)
		VALUES ($1, gen_random_uuid(), $2, $3, 'schedule', now(), now())`, ids[1], p, tick)
	waiting, err := w.TakeWaiting(ctx, zombie, p, 10, 10)
	w.ok(err)
	w.same(len(waiting), 0, "taken waiting")
	w.exec(`INSERT INTO retirements (wallet_id, new_share_set, old_share_set, rotation_id, attempt_id, promoted_at, due_at, committed_at, next_try)
		VALUES ($1, 'new', 'old', gen_random_uuid(), gen_random_uuid(), now(), now(), now(), now())`, ids[0])
	retirements, err := w.TakeRetirements(ctx, zombie, 10)
	w.ok(err)
	w.same(len(retirements), 0, "taken retirements")
	if _, err := w.Heartbeat(ctx, zombie); !errors.Is(err, ErrGivenUp) {
		t.Errorf("heartbeat: %v, want ErrGivenUp", err)
	}
	// The living get all of it.
	w.epoch = w.register()
	underWay, err = w.TakeUnderWay(ctx, w.epoch, 10)
	w.ok(err)
	waiting, err = w.TakeWaiting(ctx, w.epoch, p, 10, 10)
	w.ok(err)
	retirements, err = w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same([]int{len(underWay), len(waiting), len(retirements)}, []int{1, 1, 1}, "taken by the living")
}

// TestGiveUpDuringClaim: whatever a replica took while it was being given up
// is parked with the rest, or was never taken. Nothing stays with the dead.
func TestGiveUpDuringClaim(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	p := w.policy("treasury")
	ids := w.wallets(p, 1)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	// The claim is held back between its insert and its commit: it waits for
	// this lock to book its counters.
	blocker := w.connect("")
	w.exec(`INSERT INTO cycle_counters (policy_id, tick, owner) VALUES ($1, $2, $3)`, p, tick, w.epoch)
	tx, err := blocker.Begin(ctx)
	w.ok(err)
	_, err = tx.Exec(ctx, `SELECT FROM cycle_counters FOR UPDATE`)
	w.ok(err)
	claimed := make(chan error, 1)
	go func() {
		_, err := w.Claim(ctx, Claim{Owner: w.epoch, PolicyID: p, Tick: tick, Before: tick, Trigger: Schedule, WalletIDs: ids})
		claimed <- err
	}()
	w.waiting(1)
	w.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour'`)
	gaveUp := make(chan error, 1)
	go func() {
		_, err := w.GiveUp(ctx, time.Minute)
		gaveUp <- err
	}()
	w.waiting(2) // GiveUp waits for the claim
	w.ok(tx.Rollback(ctx))
	w.ok(<-claimed)
	w.ok(<-gaveUp)
	w.same(ask[int](w, `SELECT count(*) FROM rotations WHERE owner IS NOT NULL`), 0, "rotations that belong to the dead")
	w.same(ask[int](w, `SELECT count(*) FROM rotations`), 1, "open rotations")
}

func TestGiveUpSparesTheLiving(t *testing.T) {
	w, r := claimed(t)
	dead, err := w.GiveUp(t.Context(), time.Minute)
	w.ok(err)
	w.same(dead, 0, "given up")
	other := w.register()
	w.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour' WHERE epoch = $1`, other)
	dead, err = w.GiveUp(t.Context(), time.Minute)
	w.ok(err)
	w.same(dead, 1, "given up")
	w.reload(r) // still in hand
	if other2 := w.register(); other2 == other {
		t.Errorf("epoch %d was given out again", other)
	}
}

// A quiet time that was to be kept before the next attempt is kept by whoever
// takes over.
func TestTakeoverKeepsTheQuietTime(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Opening)
	w.abandon(r) // next check in a minute
	w.ok(w.Leave(t.Context(), w.epoch))
	w.epoch = w.register()
	got, err := w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(got), 0, "taken before its time")
}

func TestLeaveHandsOverAtOnce(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Promoted)
	w.ok(w.Leave(t.Context(), w.epoch))
	w.epoch = w.register()
	got, err := w.TakeUnderWay(t.Context(), w.epoch, 10)
	w.ok(err)
	w.same(len(got), 1, "taken over")
	got[0].Head = w.reload(r).Head
	w.committed(got[0])
}

// TestStoppedTransactionKeepsNobodyFromTakingOver: a replica stands still in
// the middle of a transaction, with the locks that it has.
func TestStoppedTransactionKeepsNobodyFromTakingOver(t *testing.T) {
	w, r := claimed(t)
	zombie := w.open()
	locked, wake := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- zombie.inTx(t.Context(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `UPDATE rotations SET error = 'x' WHERE wallet_id = $1`, r.Wallet.ID); err != nil {
				return err
			}
			close(locked)
			<-wake
			return nil
		})
	}()
	<-locked
	w.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour'`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	dead, err := w.GiveUp(ctx, time.Minute)
	close(wake)
	w.ok(err)
	w.same(dead, 1, "replicas given up")
	w.same(ask[int](w, `SELECT count(*) FROM rotations WHERE owner IS NULL`), 1, "rotations to be taken over")
	if err := <-ended; !IsRetryable(err) {
		t.Errorf("the transaction that stood still: %v, want one that may be repeated", err)
	}
	w.same(ask[int](w, `SELECT count(*) FROM rotations WHERE error = 'x'`), 0, "its effects")
}

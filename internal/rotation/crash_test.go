package rotation

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

var errStopped = errors.New("the process ends")

// A replica that ends in the middle of any call, before or after it had its
// effect: another one takes over and settles it.
func TestCrashPoints(t *testing.T) {
	for _, tt := range []struct {
		call string
		// what becomes of the attempt that was under way
		history []string
		rooms   int
	}{
		{onInspect, []string{"baseline", "activated"}, 1},
		{onHeld, []string{"baseline", "activated"}, 1},
		{onOpen, []string{"baseline", "abandoned", "activated"}, 1}, // nobody knows that it was not sent
		{onOpened, []string{"baseline", "abandoned", "activated"}, 2},
		{onStart, []string{"baseline", "abandoned", "activated"}, 2},
		{onAwait, []string{"baseline", "abandoned", "activated"}, 2},
		{onStatus, []string{"baseline", "activated"}, 1}, // from prepared on it rolls forward
		{onPromote, []string{"baseline", "activated"}, 1},
		{onPromoted, []string{"baseline", "activated"}, 1},
		{onCommit, []string{"baseline", "activated"}, 1},
	} {
		t.Run(tt.call, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			dying := r.replica()
			g := newGateway()
			r.holdUp(tt.call, g)
			dying.claim()
			r.wait("the replica is in the middle of it", g.reached)
			dying.lose(errStopped)
			close(g.release)
			dying.untilIdly("it has put everything down", func() bool { return dying.InHand() == 0 })
			if n := value[int](r, `SELECT count(*) FROM rotations WHERE owner = $1`, dying.lease.epoch); n != 1 {
				t.Fatalf("%d rotations are left behind", n)
			}
			dying.giveUp()
			r.replica().settled()
			r.healthy()
			r.histories(tt.history...)
			if r.opened() != tt.rooms {
				t.Errorf("%d rooms were opened", r.opened())
			}
		})
	}
}

// A person aborts what a dead process left in opening: the set that may exist
// is abandoned on record all the same, and nothing is opened again.
func TestAbortAfterACrash(t *testing.T) {
	for _, call := range []string{onOpen, onOpened} {
		t.Run(call, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			dying := r.replica()
			g := newGateway()
			r.holdUp(call, g)
			dying.claim()
			r.wait("the replica is in the middle of it", g.reached)
			dying.lose(errStopped)
			close(g.release)
			dying.untilIdly("it has put everything down", func() bool { return dying.InHand() == 0 })
			dying.giveUp()
			rooms := r.opened()
			if r.ask("abort") {
				t.Fatal("the abort was refused")
			}
			r.replica().settled()
			r.histories("baseline", "abandoned")
			if r.opened() != rooms || !r.truth(0).CanSign {
				t.Errorf("%d rooms more; truth %+v", r.opened()-rooms, r.truth(0))
			}
		})
	}
}

// backup is the state tables as they are now; restore puts them back, as a
// failover to a standby that had not got everything does.
func (r *rig) backup() (restore func()) {
	r.t.Helper()
	r.exec(`CREATE TABLE kept_rotations AS SELECT * FROM rotations`)
	r.exec(`CREATE TABLE kept_state AS SELECT * FROM wallet_state`)
	seq := value[int](r, `SELECT seq FROM wallet_state`)
	return func() {
		r.t.Helper()
		r.exec(`SET session_replication_role = replica;
			DELETE FROM rotations; DELETE FROM retirements; DELETE FROM wallet_state;
			INSERT INTO wallet_state SELECT * FROM kept_state; INSERT INTO rotations SELECT * FROM kept_rotations;
			UPDATE rotations SET owner = NULL, next_check = now();
			RESET session_replication_role`)
		r.exec(`ALTER TABLE share_set_history DISABLE TRIGGER ALL`)
		r.exec(`DELETE FROM share_set_history WHERE seq > $1`, seq)
		r.exec(`ALTER TABLE share_set_history ENABLE TRIGGER ALL`)
	}
}

// A failover of our database loses what was committed last, while vendor and
// co-signer have gone on. The share that they use now is never given up.
func TestFailoverThatLostCommits(t *testing.T) {
	for _, at := range []string{onHeld, onOpen, onStart, onPromote, onCommit} {
		for _, committed := range []bool{true, false} {
			name := at + ", the co-signer has only prepared"
			if committed {
				name = at + ", the co-signer has committed"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, sandbox.Options{})
				x := r.replica()
				var restore func()
				if at == onHeld {
					x.claim() // with a baseline, so that there is something to be behind of
					x.settled()
				}
				take := func() { restore = r.backup() }
				if at == onOpen || at == onPromote {
					r.spy.on(at, func(context.Context, provider.Attempt) error { take(); return nil })
				} else {
					r.front.on(at, func(*http.Request) int { r.front.on(at, nil); take(); return 0 })
				}
				if !committed {
					r.spy.on(onPromoted, func(context.Context, provider.Attempt) error {
						r.front.on(onCommit, func(*http.Request) int {
							if at == onCommit && restore == nil {
								take()
							}
							return 503
						})
						return nil
					})
				}
				x.claim()
				if committed {
					x.settled()
				} else {
					x.needs(store.CommitPending, provider.Retryable)
				}
				active := r.truth(0).ActiveShareSet
				x.giveUp()
				x.lose(errStopped)
				restore()
				r.spy.on(onPromoted, nil)
				r.front.on(onCommit, nil)
				r.spy.on(at, nil)
				rooms := r.opened()
				y := r.replica()
				y.settled()
				caught, more := "activated", 0
				if at == onHeld {
					caught, more = "reconciled", 1 // it was waiting: the rotation itself is still to come
				}
				if n := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = $1 AND share_set = $2`, caught, active); n != 1 {
					t.Errorf("the set in use did not come back as %s: %v", caught, r.outcomes())
				}
				if slices.Contains(r.outcomes(), "abandoned") {
					t.Errorf("a share in use was given up: %v", r.outcomes())
				}
				if got := r.opened() - rooms; got != more {
					t.Errorf("%d rooms more were opened", got)
				}
				for _, id := range r.walletIDs() {
					r.must(r.store.VerifyWallet(t.Context(), id))
				}
				if w := r.truth(0); !w.CanSign || w.CosignerShareSet != w.ActiveShareSet {
					t.Errorf("truth: %+v", w)
				}
			})
		}
	}

	// The attempt's set is in use, and the co-signer cannot sign with it.
	for _, tt := range []struct {
		name string
		says func(*rig)
	}{
		{"knows nothing of it", func(r *rig) { r.front.on(onStatus, func(*http.Request) int { return http.StatusNotFound }) }},
		{"has aborted it", func(r *rig) {
			r.front.lies(onStatus, func(answer map[string]any) bool { answer["state"] = "aborted"; return true })
		}},
		{"has another key", func(r *rig) {
			r.breaks(faults.Fault{Operation: "cosigner.status", Kind: faults.WrongPublicKey})
		}},
	} {
		t.Run("key at risk: the co-signer "+tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			x := r.replica()
			var restore func()
			r.front.on(onStart, func(*http.Request) int { restore = r.backup(); return 0 })
			x.claim()
			x.settled()
			x.giveUp()
			restore()
			tt.says(r)
			y := r.replica()
			y.needs(store.KeyAtRisk, provider.Verification)
			y.quiet()
			if got := r.record(); got.State != "ceremony" || !got.Frozen {
				t.Errorf("on record %+v", got)
			}
			r.histories("baseline")
			r.front.on(onStatus, nil)
			r.front.lies(onStatus, nil)
			r.mended()
			r.ask("retry")
			y.settled()
			r.healthy()
		})
	}

	t.Run("drift: the vendor uses neither set", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		g := newGateway()
		r.front.on(onStart, func(*http.Request) int { g.pass(); return 503 })
		x.claim()
		r.wait("the ceremony is to begin", g.reached)
		x.lose(errStopped)
		x.giveUp()
		close(g.release)
		x.untilIdly("it has put everything down", func() bool { return x.InHand() == 0 })
		r.front.on(onStart, nil)
		r.byHand(hand{swap: true, abort: true})
		y := r.replica()
		y.needs(store.Drift, provider.Verification)
		r.histories("baseline", "abandoned")
	})

	t.Run("drift past the commit point", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		r.mended()
		r.byHand(hand{swap: true})
		r.ask("retry")
		x.needs(store.Drift, provider.Verification)
		if got := r.record(); got.State != "prepared" || !got.Frozen {
			t.Errorf("on record %+v", got)
		}
	})

	t.Run("nobody can be asked", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		g := newGateway()
		r.front.on(onStart, func(*http.Request) int { g.pass(); return 503 })
		x.claim()
		r.wait("the ceremony is to begin", g.reached)
		x.lose(errStopped)
		x.giveUp()
		close(g.release)
		x.untilIdly("it has put everything down", func() bool { return x.InHand() == 0 })
		r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
		y := r.replica()
		y.needs(store.NeedsPerson, provider.Retryable)
		if got := r.record(); got.State != "ceremony" || got.Frozen {
			t.Errorf("on record %+v", got)
		}
		r.histories("baseline")
		r.front.on(onStart, nil)
		r.mended()
		y.settled()
		r.histories("baseline", "abandoned", "activated")
		r.healthy()
	})
}

// What Open says of itself decides what is left at the vendor.
func TestWhatAFailedOpenLeavesBehind(t *testing.T) {
	plain := errors.New("a bug")
	for _, tt := range []struct {
		name    string
		call    string
		err     error
		history []string
	}{
		{"a definite no: nothing", onOpen, provider.Errorf(provider.Retryable, provider.ReasonProviderError, "busy"), []string{"baseline", "activated"}},
		{"in doubt: a set without a name", onOpen, provider.Errorf(provider.InDoubt, provider.ReasonTimeout, "slow"), []string{"baseline", "abandoned", "activated"}},
		{"nobody vouches: a set without a name", onOpen, plain, []string{"baseline", "abandoned", "activated"}},
		{"told before it failed: that set", onOpened, provider.Errorf(provider.Retryable, provider.ReasonTimeout, "slow"), []string{"baseline", "abandoned", "activated"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			r.spy.on(tt.call, func(context.Context, provider.Attempt) error {
				r.spy.on(tt.call, nil)
				return tt.err
			})
			r.rotated()
			r.histories(tt.history...)
			r.healthy()
			named := value[int](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'abandoned' AND share_set <> ''`)
			if want := map[string]int{onOpened: 1}[tt.call]; named != want {
				t.Errorf("%d abandoned sets have a name", named)
			}
		})
	}

	t.Run("the active set named as the pending one", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.options.Providers = map[string]provider.Provider{"dynamic": confused{r.spy}}
		x := r.replica()
		x.claim()
		x.needs(store.Mismatch, provider.Verification)
		r.histories("baseline", "rejected")
		if w := r.truth(0); !w.CanSign || w.Generation != 0 {
			t.Errorf("truth: %+v", w)
		}
	})
	t.Run("no set named at all", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.exec(`UPDATE rotation_policies SET max_attempts = 1`)
		r.options.Providers = map[string]provider.Provider{"dynamic": silent{r.spy}}
		x := r.replica()
		x.claim()
		x.needs(store.AttemptsUsedUp, provider.InDoubt)
		r.histories("baseline", "abandoned")
	})
}

// confused is a vendor that mixes up its share sets.
type confused struct{ provider.Provider }

func (c confused) Open(ctx context.Context, a provider.Attempt, checkpoint provider.Checkpoint) (provider.Session, error) {
	return nil, checkpoint(ctx, a.OldShareSet, provider.Refs{})
}

// silent is a vendor that opens and never says what.
type silent struct{ provider.Provider }

func (s silent) Open(ctx context.Context, a provider.Attempt, checkpoint provider.Checkpoint) (provider.Session, error) {
	return nowhere{}, checkpoint(ctx, "", provider.Refs{Room: "somewhere"})
}

type nowhere struct{}

func (nowhere) Await(ctx context.Context) (provider.Readiness, error) {
	return provider.Readiness{}, ctx.Err()
}
func (nowhere) Close() error { return errors.New("it was never open") }

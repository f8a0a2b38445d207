package rotation

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// Rules 5 and 6: from the commit point on.

// refusing is a vendor that says a definite no to every swap.
var refusing = faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 422}

func TestRule5NothingStartsOver(t *testing.T) {
	t.Run("a refusal waits for a person, whose retry goes on with the same attempt", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		before := r.record()
		asked := r.sandbox.Stats().Requests["dynamic.locations"]
		x.quiet()
		if got := r.record(); got != before || got.State != "prepared" || r.sandbox.Stats().Requests["dynamic.locations"] != asked {
			t.Errorf("without a person, %+v became %+v", before, got)
		}
		r.mended()
		r.ask("retry")
		x.settled()
		r.healthy()
		r.histories("baseline", "activated")
		if r.opened() != 1 || r.truth(0).ActiveShareSet != before.Pending {
			t.Errorf("%d rooms, active is %s, prepared was %s", r.opened(), r.truth(0).ActiveShareSet, before.Pending)
		}
	})

	t.Run("a next tick changes nothing", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		before := r.record()
		r.advance()
		x.quiet()
		if got := r.record(); got != before {
			t.Errorf("%+v became %+v", before, got)
		}
	})

	t.Run("a discard starts over, and the co-signer keeps the share", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		given := r.record().Pending
		r.front.on(onStart, func(*http.Request) int {
			held, err := r.signer.Wallet(context.Background(), "dynamic", r.truth(0).ID)
			kept := false
			for _, p := range held.Prepared {
				kept = kept || p.ShareSetID == given && p.State == "aborted"
			}
			if err != nil || !kept {
				t.Errorf("when the next attempt began, the co-signer held %+v, %v", held, err)
			}
			return 0
		})
		r.mended()
		r.ask("discard")
		x.settled()
		r.healthy()
		r.histories("baseline", "abandoned", "activated")
		if who := value[string](r, `SELECT actor FROM share_set_history WHERE outcome = 'abandoned'`); who != "ann" {
			t.Errorf("given up by %q", who)
		}
		if active := r.truth(0).ActiveShareSet; active == given {
			t.Error("the abandoned set is active")
		}
	})

	t.Run("a discard after the swap rolls forward", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		// The swap happens, its reply is lost, and nobody can be asked.
		r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostReply})
		r.spy.on(onPromoted, func(context.Context, provider.Attempt) error {
			r.spy.on(onInspect, func(context.Context, provider.Attempt) error {
				return provider.Errorf(provider.Retryable, provider.ReasonTimeout, "the vendor is down")
			})
			return nil
		})
		x.claim()
		x.needs(store.DoubtRemains, provider.Retryable)
		if r.ask("discard") {
			t.Fatal("the discard was refused")
		}
		x.until("the discard was tried", func() bool { return x.InHand() == 0 })
		r.spy.on(onInspect, nil)
		x.settled()
		r.healthy()
		r.histories("baseline", "activated")
		if r.opened() != 1 {
			t.Errorf("%d rooms", r.opened())
		}
	})

	t.Run("a discard that comes while the swap is under way is not lost", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(refusing)
		r.spy.on(onPromoted, func(context.Context, provider.Attempt) error {
			r.spy.on(onPromoted, nil)
			r.mended()
			r.ask("discard")
			return nil
		})
		x.claim()
		x.settled()
		r.histories("baseline", "abandoned", "activated")
		r.healthy()
	})
}

// advance is the next tick.
func (r *rig) advance() {
	r.t.Helper()
	r.exec(`UPDATE policy_state SET running_version = 1, schedule_since = '-infinity'`)
	next := value[time.Time](r, `SELECT greatest(clock_timestamp(), max(tick)) + interval '1 millisecond' FROM policy_state`)
	first, err := r.store.Advance(r.t.Context(), store.Tick{PolicyID: r.policyID, Version: 1, At: next, Trigger: store.Schedule})
	if err != nil || !first {
		r.t.Fatalf("the tick was not recorded: %v", err)
	}
}

func TestRule6AfterTheSwapHurry(t *testing.T) {
	down := func(times int) faults.Fault {
		return faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503, RetryAfter: 3600, Times: times}
	}

	t.Run("retried within seconds, whatever the co-signer asks for", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.pace = defaultPace
		x := r.replica()
		r.breaks(down(1))
		x.claim()
		x.until("the commit failed once", func() bool {
			return x.InHand() == 0 && r.sandbox.Stats().Requests["cosigner.commit"] == 1
		})
		if wait := value[float64](r, `SELECT extract(epoch FROM next_check - now())::float8 FROM rotations`); wait > 5 {
			t.Errorf("the commit is tried again in %v s", wait)
		}
		x.settled()
		r.healthy()
	})

	t.Run("attention after a while, and gone when it is done", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.breaks(down(0))
		x.claim()
		x.needs(store.CommitPending, provider.Retryable)
		if r.record().Frozen || r.truth(0).CanSign {
			t.Error("a commit that is pending must be tried again: the wallet cannot sign")
		}
		r.mended()
		x.settled()
		r.healthy()
		if n := value[int](r, `SELECT count(*) FROM attention`); n != 0 {
			t.Errorf("%d wallets still ask for a person", n)
		}
	})

	t.Run("a refusal of what is done already is no refusal", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		asked := 0
		r.front.on(onCommit, func(q *http.Request) int {
			if asked++; asked > 1 {
				return http.StatusConflict
			}
			return 0
		})
		r.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.LostReply, Times: 1})
		x.claim()
		x.settled()
		r.healthy()
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})

	t.Run("a refusal that cannot be understood yet is asked about", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.front.on(onCommit, func(q *http.Request) int {
			r.front.on(onCommit, nil)
			r.front.on(onHeld, func(*http.Request) int { r.front.on(onHeld, nil); return 503 })
			return http.StatusNotFound
		})
		x.claim()
		x.settled()
		r.healthy()
		r.histories("baseline", "activated")
	})

	t.Run("key at risk: the co-signer knows nothing of the wallet any more", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		r.front.on(onCommit, func(q *http.Request) int {
			r.front.on(onHeld, func(*http.Request) int { return http.StatusNotFound })
			return http.StatusNotFound
		})
		x.claim()
		x.needs(store.KeyAtRisk, provider.Verification)
		if got := r.record(); got.State != "promoted" || !got.Frozen {
			t.Errorf("on record %+v", got)
		}
	})

	t.Run("no further promotion through a co-signer that does not commit", func(t *testing.T) {
		r := newRig(t, sandbox.Options{Wallets: 2})
		x := r.replica()
		ids := r.walletIDs()
		bad, good := r.truth(0).ID, r.truth(1).ID
		r.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503, Wallet: bad})
		x.claim(ids[0])
		x.until("the commit is pending", func() bool {
			return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'promoted' AND error_class = 'retryable'`) == 1
		})
		x.claim(ids[1])
		x.until("the other one may not be promoted", func() bool {
			return value[int](r, `SELECT count(*) FROM attention WHERE reason = 'promotion_stuck'`) == 1
		})
		if got := r.sandbox.Stats().Wallets[good]; len(got.Promotions) != 0 {
			t.Errorf("promoted all the same: %+v", got)
		}
		r.mended()
		x.settled()
		r.healthy()
	})

	t.Run("commits are taken up first", func(t *testing.T) {
		r := newRig(t, sandbox.Options{Wallets: 4})
		x := r.replica()
		last := r.truth(3).ID
		r.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503, Wallet: last},
			faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 422, Wallet: r.truth(0).ID},
			faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 422, Wallet: r.truth(1).ID},
			faults.Fault{Operation: "dynamic.locations", Kind: faults.Status, Status: 422, Wallet: r.truth(2).ID})
		x.claim()
		x.until("one is promoted, the others wait", func() bool {
			return x.InHand() == 0 && value[int](r, `SELECT count(*) FROM rotations WHERE state = 'promoted'`) == 1
		})
		r.exec(`UPDATE rotations SET next_check = now() - interval '1 hour' WHERE state <> 'promoted'`)
		r.exec(`UPDATE rotations SET next_check = now() WHERE state = 'promoted'`)
		first, err := r.store.TakeUnderWay(t.Context(), x.lease.epoch, 1)
		if err != nil || len(first) != 1 || first[0].State != store.Promoted {
			t.Fatalf("taken first: %+v, %v", first, err)
		}
		r.mended()
		x.Submit(first[0])
		r.ask("retry")
		x.settled()
		r.healthy()
	})
}

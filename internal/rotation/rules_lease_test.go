package rotation

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// gateway holds up the first call that comes through it.
type gateway struct {
	reached chan struct{}
	release chan struct{}
}

func newGateway() *gateway { return &gateway{make(chan struct{}), make(chan struct{})} }

// pass reports the first call and waits until it is released.
func (g *gateway) pass() {
	select {
	case <-g.reached:
	default:
		close(g.reached)
		<-g.release
	}
}

// holdUp puts g into the way of a call to the vendor or the co-signer.
func (r *rig) holdUp(call string, g *gateway) {
	switch call {
	case onHeld, onStart, onStatus, onCommit, onAbort:
		r.front.on(call, func(*http.Request) int { g.pass(); return 0 })
	default:
		r.spy.on(call, func(context.Context, provider.Attempt) error { g.pass(); return nil })
	}
}

// wait waits for a signal, with patience.
func (r *rig) wait(what string, c <-chan struct{}) {
	r.t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		r.t.Fatalf("timed out waiting until %s", what)
	}
}

// giveUp is what the others do about a replica that is taken for dead.
func (x *replica) giveUp() {
	r := x.rig
	r.t.Helper()
	r.exec(`UPDATE replicas SET heartbeat = now() - interval '1 hour' WHERE epoch = $1`, x.lease.epoch)
	dead, err := r.store.GiveUp(r.t.Context(), time.Minute)
	if err != nil || dead != 1 {
		r.t.Fatalf("%d replicas were given up, %v", dead, err)
	}
}

// everything that a rotation puts on record, as text.
func (r *rig) everything() string {
	r.t.Helper()
	return value[string](r, `SELECT concat_ws(E'\n',
		(SELECT json_agg(r)::text FROM rotations r), (SELECT json_agg(s ORDER BY wallet_id)::text FROM wallet_state s),
		(SELECT json_agg(h ORDER BY wallet_id, seq)::text FROM share_set_history h), (SELECT json_agg(x)::text FROM retirements x),
		(SELECT json_agg(c ORDER BY owner)::text FROM cycle_counters c))`)
}

func TestRule9Fencing(t *testing.T) {
	for _, call := range []string{onInspect, onHeld, onOpen, onOpened, onStart, onAwait, onStatus, onPromote, onPromoted, onCommit} {
		for _, when := range []string{"while its rotation is parked", "when another one has settled it"} {
			t.Run("a zombie that wakes at "+call+" "+when, func(t *testing.T) {
				// A replica is held up before or after a call, given up for dead, and
				// wakes. It changes nothing.
				r := newRig(t, sandbox.Options{})
				zombie := r.replica()
				g := newGateway()
				r.holdUp(call, g)
				zombie.claim()
				r.wait("the replica is held up", g.reached)
				zombie.giveUp()
				x := r.replica()
				if when == "when another one has settled it" {
					x.settled()
					r.healthy()
				}
				before := r.everything()
				close(g.release)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				zombie.Stop(ctx)
				if zombie.InHand() != 0 {
					t.Error("the zombie still has its rotation in hand")
				}
				if after := r.everything(); after != before {
					t.Errorf("the zombie changed the record from\n%s\nto\n%s", before, after)
				}
				x.settled()
				r.healthy()
				x.claim()
				x.settled()
				r.healthy()
			})
		}
	}

	t.Run("calls end before the lease does", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.options.Timing.Call = time.Hour
		x := r.replica()
		until := time.Now().Add(patience)
		x.lease.set(until)
		seen := map[string]bool{}
		for _, call := range []string{onOpen, onPromote, onDiscard} {
			r.spy.on(call, func(ctx context.Context, _ provider.Attempt) error {
				seen[call] = true
				if deadline, ok := ctx.Deadline(); !ok || deadline.After(until) {
					t.Errorf("%s may take until %v, the lease ends at %v", call, deadline, until)
				}
				return nil
			})
		}
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
		x.claim()
		x.settled()
		if len(seen) != 3 {
			t.Errorf("seen: %v", seen)
		}
		r.healthy()
	})

	t.Run("nothing is sent when the lease is over", func(t *testing.T) {
		for _, after := range []string{onInspect, onOpened, onStatus} {
			t.Run("after "+after, func(t *testing.T) {
				r := newRig(t, sandbox.Options{})
				x := r.replica()
				g := newGateway()
				r.holdUp(after, g)
				x.claim()
				r.wait("the call is held up", g.reached)
				x.lease.set(time.Now())
				sent := r.sandbox.Stats()
				before := r.record()
				close(g.release)
				x.untilIdly("the rotation is put down", func() bool { return x.InHand() == 0 })
				now := r.sandbox.Stats()
				for _, call := range []string{"dynamic.refresh", "dynamic.locations", "cosigner.ceremony", "cosigner.commit", "cosigner.abort"} {
					if now.Requests[call] != sent.Requests[call] {
						t.Errorf("%s was called without a lease", call)
					}
				}
				if got := r.record(); got.State != before.State || got.Owner != x.lease.epoch {
					t.Errorf("%+v became %+v", before, got)
				}
				x.lease.set(time.Now().Add(time.Hour)) // a heartbeat got through after all
				x.settled()
				r.healthy()
			})
		}
	})
}

// untilIdly waits without taking anything up.
func (x *replica) untilIdly(what string, holds func() bool) {
	x.rig.t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			x.rig.t.Fatalf("timed out waiting until %s", what)
		}
		select {
		case <-x.Idle():
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestRule10LongWaitsAreParked(t *testing.T) {
	t.Run("approval", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		got := r.record()
		if got.State != "ceremony" || got.Owner != 0 || got.Frozen || got.Error != "waits for bob" || x.Has(r.walletIDs()[0]) {
			t.Errorf("parked as %+v", got)
		}
		// Another replica goes on with the very attempt.
		y := r.replica()
		r.exec(`UPDATE rotations SET next_check = now()`)
		p.set(func() { p.approved = true })
		y.settled()
		r.healthy()
		r.histories("baseline", "activated")
		if r.truth(0).ActiveShareSet != got.Pending || r.opened() != 1 {
			t.Errorf("%d rooms; active is %s, waited for %s", r.opened(), r.truth(0).ActiveShareSet, got.Pending)
		}
	})

	t.Run("approval that never comes", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		given := r.record().Pending
		r.exec(`UPDATE rotations SET opened_at = opened_at - interval '2 hours', next_check = now()`)
		told := ""
		r.spy.on(onDiscard, func(_ context.Context, a provider.Attempt) error { told = a.PendingShareSet; return nil })
		x.until("it is given up", func() bool { return len(r.outcomes()) > 1 && x.InHand() == 0 })
		p.set(func() { p.approved = true })
		r.exec(`UPDATE rotations SET next_check = now()`)
		x.settled()
		r.histories("baseline", "abandoned", "activated")
		if told != given {
			t.Errorf("told to discard %q, given up was %q", told, given)
		}
	})

	t.Run("a vendor out of reach does not end what waits there", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		p.set(func() { p.resume = provider.Errorf(provider.Retryable, provider.ReasonTimeout, "no answer") })
		r.exec(`UPDATE rotations SET next_check = now(), attention = NULL, attention_since = NULL`)
		x.needs(store.NeedsPerson, provider.Retryable) // it takes long
		p.set(func() { p.resume, p.approved = nil, true })
		x.settled()
		r.histories("baseline", "activated")
		r.healthy()
	})

	t.Run("a vendor that says for good that it cannot go on", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		p.set(func() { p.resume = provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "rejected by bob") })
		r.exec(`UPDATE rotations SET next_check = now(), attention = NULL, attention_since = NULL`)
		x.needs(store.NeedsPerson, provider.Terminal)
		r.histories("baseline", "abandoned")
	})

	t.Run("backoff", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.options.Timing.BackoffInitial, r.options.Timing.BackoffMax = time.Hour, time.Hour
		r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
		x := r.replica()
		x.claim()
		x.until("it backs off", func() bool { return x.InHand() == 0 })
		if got := r.record(); got.State != "waiting" || got.Owner != 0 || got.Frozen || !strings.Contains(got.Error, "503") {
			t.Errorf("parked as %+v", got)
		}
		x.quiet()
	})

	t.Run("held, paused, or its wallet off", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		held := time.Now().Add(time.Hour).Truncate(time.Microsecond)
		r.options.Held = func(*store.Rotation) time.Time { return held }
		x := r.replica()
		x.claim()
		x.until("it is parked", func() bool { return x.InHand() == 0 })
		if next := value[time.Time](r, `SELECT next_check FROM rotations`); !next.Equal(held) {
			t.Errorf("parked until %v, held until %v", next, held)
		}
		r.exec(`UPDATE wallets SET paused_reason = 'audit'`)
		r.exec(`UPDATE rotations SET next_check = now()`)
		x.until("it is parked again", func() bool {
			return x.InHand() == 0 && value[time.Time](r, `SELECT next_check FROM rotations`).Before(held)
		})
		if r.opened() != 0 {
			t.Error("a room was opened")
		}
		r.exec(`UPDATE wallets SET paused_reason = NULL`)
		r.exec(`UPDATE rotations SET next_check = now()`)
		r.options.Held = func(*store.Rotation) time.Time { return time.Now().Add(-time.Hour) } // over
		x.until("it is parked once more", func() bool { return x.InHand() == 0 })
		y := r.replica()
		r.exec(`UPDATE rotations SET next_check = now()`)
		y.settled()
		r.healthy()
	})

	t.Run("a daemon that stops begins nothing", func(t *testing.T) {
		r := newRig(t, sandbox.Options{Wallets: 2})
		x := r.replica()
		ids := r.walletIDs()
		g := newGateway()
		r.holdUp(onInspect, g)
		x.claim(ids[0])
		r.wait("one is at work", g.reached)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			x.Stop(ctx)
		}()
		x.untilIdly("it is stopping", x.stopping)
		for _, c := range x.claimed(ids[1]) {
			x.Submit(c)
		}
		if x.Has(ids[1]) {
			t.Error("something new was taken in hand")
		}
		close(g.release)
		r.wait("it has stopped", stopped)
		y := r.replica()
		r.must(r.store.Leave(t.Context(), x.lease.epoch))
		y.settled()
		r.healthy()
	})
}

func TestProviderThatIsNotConfigured(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.replica()
	r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostRequest})
	x.claim()
	x.until("it is in doubt", func() bool {
		return x.InHand() == 0 && value[int](r, `SELECT count(*) FROM rotations WHERE in_doubt_since IS NOT NULL`) == 1
	})
	good := r.options.Providers
	r.options.Providers = nil
	y := r.replica()
	r.exec(`UPDATE rotations SET next_check = now(), attention = NULL, attention_since = NULL`)
	y.needs(store.NeedsPerson, provider.InDoubt)
	if n := value[int](r, `SELECT count(*) FROM rotations WHERE in_doubt_since IS NOT NULL AND state = 'prepared'`); n != 1 {
		t.Error("the doubt was forgotten")
	}
	r.options.Providers = good
	r.mended()
	r.replica().settled()
	r.healthy()
}

func TestCoSignerThatIsNotConfigured(t *testing.T) {
	for _, named := range []string{"", "lisbon"} {
		t.Run("named "+named, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			r.exec(`UPDATE wallets SET cosigner = nullif($1, '')`, named)
			if named == "" {
				r.options.CoSigner = func(string, string) *cosigner.Client { return nil }
			}
			x := r.replica()
			x.claim()
			x.needs(store.NeedsPerson, provider.Terminal)
			if text := r.record().Error; !strings.Contains(text, "in the configuration of this daemon") {
				t.Errorf("the person reads %q", text)
			}
		})
	}
}

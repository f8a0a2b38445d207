package rotation

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
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

	no := provider.Errorf(provider.Retryable, provider.ReasonProviderError, "no")
	for _, tt := range []struct {
		call  string
		err   error // that the call meets with; nil: 503 from the co-signer
		would string
	}{
		{onInspect, no, "park in waiting"},
		{onOpen, no, "take the attempt back"},
		{onOpened, no, "give the attempt up"},
		{onDiscard, no, "park with the discard to be done"},
		{onPromoted, provider.Errorf(provider.InDoubt, provider.ReasonTimeout, "no answer"), "record the doubt"},
		{onStatus, nil, "park in prepared"},
		{onCommit, nil, "park in promoted"},
	} {
		t.Run("a zombie that would "+tt.would, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			zombie := r.replica()
			g := newGateway()
			if tt.err != nil {
				r.spy.on(tt.call, func(context.Context, provider.Attempt) error { g.pass(); return tt.err })
			} else {
				r.front.on(tt.call, func(*http.Request) int { g.pass(); return 503 })
			}
			if tt.call == onDiscard {
				r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
			}
			zombie.claim()
			r.wait("the replica is held up", g.reached)
			zombie.giveUp()
			before := r.everything()
			close(g.release)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			zombie.Stop(ctx)
			if after := r.everything(); after != before {
				t.Errorf("the zombie changed the record from\n%s\nto\n%s", before, after)
			}
			r.spy.on(tt.call, nil)
			r.front.on(tt.call, nil)
			r.replica().settled()
			r.healthy()
		})
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

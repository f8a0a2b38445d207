package rotation

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

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

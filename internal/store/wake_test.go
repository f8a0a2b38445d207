package store

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestWake: only a ceremony that is parked, of this wallet at this provider, is
// looked at now.
func TestWake(t *testing.T) {
	for name, c := range map[string]struct {
		state                State
		inHand, due          bool
		provider, set, other string // what is asked for; "ours": that of the rotation
		want                 bool
	}{
		"by its pending set":           {state: Ceremony, provider: "dyn", set: "ours", want: true},
		"by the vendor's id":           {state: Ceremony, provider: "dyn", other: "ours", want: true},
		"by both":                      {state: Ceremony, provider: "dyn", set: "ours", other: "ours", want: true},
		"an opening":                   {state: Opening, provider: "dyn", other: "ours", want: true},
		"another set":                  {state: Ceremony, provider: "dyn", set: "else"},
		"another wallet":               {state: Ceremony, provider: "dyn", other: "else"},
		"at another provider":          {state: Ceremony, provider: "else", set: "ours", other: "ours"},
		"about nothing":                {state: Ceremony, provider: "dyn"},
		"in hand":                      {state: Ceremony, provider: "dyn", set: "ours", inHand: true},
		"due already":                  {state: Ceremony, provider: "dyn", set: "ours", due: true},
		"backing off":                  {state: Waiting, provider: "dyn", other: "ours"},
		"past the commit point":        {state: Prepared, provider: "dyn", set: "ours"},
		"swapped, and not yet commits": {state: Promoted, provider: "dyn", set: "ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := claimed(t)
			w.to(r, c.state)
			next := w.Now().Add(time.Hour)
			if c.due {
				next = w.Now().Add(-time.Minute)
			}
			if c.inHand {
				w.exec(`UPDATE rotations SET next_check = $1`, next)
			} else {
				w.park(r, ParkStep{NextCheck: next})
			}
			asked := func(what, ours string) string {
				if what == "ours" {
					return ours
				}
				return what
			}
			woken, err := w.Wake(t.Context(), c.provider, asked(c.set, pending(r)), asked(c.other, r.Wallet.ExternalID))
			w.ok(err)
			w.same(woken, c.want, "woken")
			w.same(ask[bool](w, `SELECT coalesce(next_check <= now() AND next_check > now() - interval '10 seconds', false) FROM rotations`), c.want, "to be looked at now")
			w.same(ask[string](w, `SELECT state FROM rotations`), c.state, "state")
			taken, err := w.TakeUnderWay(t.Context(), w.epoch, 10)
			w.ok(err)
			w.same(len(taken) == 1, c.want || c.due, "taken in hand")
		})
	}
}

// TestWakeIsHeard by every replica's dispatcher, and silence when there is
// nothing to do.
func TestWakeIsHeard(t *testing.T) {
	w, r := claimed(t)
	w.to(r, Ceremony)
	w.park(r, ParkStep{NextCheck: w.Now().Add(time.Hour)})
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 8), make(chan error, 1)
	replica := w.open()
	go func() { ended <- replica.Listen(ctx, func(channel string) { heard <- channel }) }()
	w.same(<-heard, "", "listening")
	_, err := w.Wake(t.Context(), "dyn", "else", "")
	w.ok(err)
	_, err = w.Wake(t.Context(), "dyn", pending(r), "")
	w.ok(err)
	w.same(<-heard, RequestsArrived, "heard")
	_, err = w.Wake(t.Context(), "dyn", pending(r), "") // it is due now
	w.ok(err)
	w.exec(`SELECT pg_notify('rotatord_policies', '')`) // whatever came before has been heard by then
	w.same(<-heard, PoliciesChanged, "heard next")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("listening ended with %v", err)
	}
}

// TestWakeReadsNoFleet: what it looks at are the open rotations, and the wallets
// of those by their key, not the millions of others.
func TestWakeReadsNoFleet(t *testing.T) {
	w := newWorld(t)
	w.wallets(w.policy("treasury"), 2000)
	for _, when := range []string{"new", "analyzed"} {
		w.explain("wake", wakeSQL).walk(func(n plan) {
			if n.Relation == "wallets" && (n.Index != "wallets_pkey" || !byKey.MatchString(n.Cond)) {
				t.Errorf("%s: %s on wallets by %s %s", when, n.Node, n.Index, n.Cond)
			}
		})
		w.exec(`VACUUM ANALYZE`)
	}
}

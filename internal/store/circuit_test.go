package store

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

var quick = Breaker{Failures: 3, Pause: time.Hour, MaxPause: 3 * time.Hour}

func (w *world) fault(s *Store, walletID int64) Fault {
	w.t.Helper()
	f, err := s.ProviderFailed(w.t.Context(), "dyn", walletID, quick, "it is down")
	w.ok(err)
	return f
}

// TestBreaker: a circuit opens with the failure that is one too many in a row;
// then only its probe's failures count, each for longer, up to the longest.
func TestBreaker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Breaker{Failures: rapid.IntRange(1, 9).Draw(t, "failures"), Pause: time.Second, MaxPause: 5 * time.Second}
		var c circuit
		for n := 1; n < b.Failures; n++ {
			var pause time.Duration
			if c, pause = b.fail(c, int64(n)); pause != 0 || c.openings != 0 || c.failures != n {
				t.Fatalf("after %d failures of %d: %+v, open for %s", n, b.Failures, c, pause)
			}
		}
		for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
			var pause time.Duration
			if c, pause = b.fail(c, 7); pause != want || c.openings != n+1 || c.probe != 0 {
				t.Fatalf("opening %d: %+v for %s, want %s", n+1, c, pause, want)
			}
			if other, pause := b.fail(c, 8); pause != 0 || other != c {
				t.Fatalf("a failure that is not the probe's: %+v, %s", other, pause)
			}
			c.probe = 7
		}
	})
}

// Failures in a row are counted over all replicas, and a promotion on any of
// them ends the row.
func TestFailuresAreCountedOverReplicas(t *testing.T) {
	w, r := claimed(t)
	other := w.open()
	w.same(w.fault(w.Store, 1).Open, false, "open after one")
	w.same(w.fault(other, 2).Open, false, "open after two")
	w.to(r, Promoted)
	w.same(ask[int](w, `SELECT failures FROM provider_state`), 0, "failures after a promotion")
	w.fault(w.Store, 1)
	w.fault(other, 2)
	f := w.fault(w.Store, 1)
	w.same(f.Open && f.Opened && f.Until.After(w.Now().Add(59*time.Minute)), true, "open after three in a row")
	f = w.fault(other, 2)
	w.same(f.Open && !f.Opened, true, "open by what was under way")
	open, err := w.Circuits(t.Context())
	w.ok(err)
	w.same(len(open), 1, "open circuits")
	w.same(open["dyn"].Error, "it is down", "the last error")
}

// A promotion of what was under way does not close a circuit before its pause
// is over; after that any does.
func TestPromotionClosesAfterThePause(t *testing.T) {
	for name, want := range map[string]bool{"in the pause": false, "after it": true, "the probe's": true} {
		t.Run(name, func(t *testing.T) {
			w, r := claimed(t)
			for range 3 {
				w.fault(w.Store, 77)
			}
			switch name {
			case "after it":
				w.exec(`UPDATE provider_state SET open_until = now() - interval '1 second'`)
			case "the probe's":
				w.exec(`UPDATE provider_state SET probe_wallet = $1`, r.Wallet.ID)
			}
			w.to(r, Promoted)
			w.same(ask[bool](w, `SELECT open_until IS NULL AND openings = 0 FROM provider_state`), want, "closed")
		})
	}
}

// TestOneProbe: of all that ask when the pause is over, on all replicas at
// once, one is admitted, and nobody before. It keeps its place while it is in
// hand.
func TestOneProbe(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 40)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	w.claim(p, tick, ids...)
	for range 3 {
		w.fault(w.Store, ids[0])
	}
	stores := []*Store{w.Store, w.open(), w.open()}
	admitted := func() int64 {
		var n atomic.Int64
		var g errgroup.Group
		for i, id := range ids {
			g.Go(func() error {
				got, err := stores[i%3].Admit(t.Context(), w.epoch, []AdmitStep{{id, "dyn"}}, 0)
				n.Add(int64(len(got)))
				return err
			})
		}
		w.ok(g.Wait())
		return n.Load()
	}
	w.same(admitted(), 0, "admitted in the pause")
	w.exec(`UPDATE provider_state SET open_until = now()`)
	w.same(admitted(), 1, "admitted after it")
	w.same(admitted(), 1, "admitted again")
	probe := ask[int64](w, `SELECT probe_wallet FROM provider_state`)
	open, err := w.Circuits(t.Context())
	w.ok(err)
	w.same(open["dyn"].Probing, true, "probing")
	w.exec(`UPDATE rotations SET owner = NULL WHERE wallet_id = $1`, probe)
	ids = slices.DeleteFunc(ids, func(id int64) bool { return id == probe })
	w.same(admitted(), 1, "admitted after the probe was put down")
	w.same(ask[int64](w, `SELECT probe_wallet FROM provider_state`) != probe, true, "another is the probe")
	f := w.fault(w.Store, ask[int64](w, `SELECT probe_wallet FROM provider_state`))
	w.same(f.Opened && f.Until.After(w.Now().Add(119*time.Minute)), true, "open for twice as long")
	other, err := w.Admit(t.Context(), w.epoch, []AdmitStep{{ids[0], "another"}}, 0)
	w.ok(err)
	w.same(len(other), 1, "admitted at another provider")
}

// TestAdmitCountsExactly: whoever asks on whichever replica, as many are
// admitted for the first time as the hour has room for; who was counted once
// may come back.
func TestAdmitCountsExactly(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, 60)
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	w.claim(p, tick, ids...)
	stores := []*Store{w.Store, w.open(), w.open()}
	admitted := func() int64 {
		var n atomic.Int64
		var g errgroup.Group
		for i, id := range ids {
			g.Go(func() error {
				got, err := stores[i%3].Admit(t.Context(), w.epoch, []AdmitStep{{id, "dyn"}}, 200)
				n.Add(int64(len(got)))
				return err
			})
		}
		w.ok(g.Wait())
		return n.Load()
	}
	w.same(admitted(), 20, "admitted")
	w.same(admitted(), 20, "admitted again")
	w.same(ask[int](w, `SELECT count(*) FROM rotations WHERE counted_tick = tick`), 20, "counted")
	at, err := w.AdmitAfter(t.Context(), "dyn", 200, 0)
	w.ok(err)
	w.same(at.After(w.Now().Add(10*time.Second)) && at.Before(w.Now().Add(20*time.Second)), true, "the next slot is in 20 s")
	w.exec(`UPDATE fleet_state SET started_until = started_until - interval '61 seconds'`) // three slots of 20 s
	w.same(admitted(), 23, "admitted after three slots")
	// Another tick is another rotation.
	w.exec(`UPDATE rotations SET tick = tick + interval '1 minute'`)
	w.same(admitted(), 0, "admitted for another tick")
}

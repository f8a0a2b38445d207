package rotation

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// The ten rules of doc.go, each tried against the sandbox, in the files
// rules*_test.go. Here are 1 and 2: what is looked at before an attempt.

func TestRule1BaselineFirst(t *testing.T) {
	t.Run("recorded before the first opening", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		w := r.truth(0)
		seen := 0
		r.spy.on(onOpen, func(ctx context.Context, a provider.Attempt) error {
			seen++
			var key, set, outcome string
			err := r.db.QueryRow(ctx, `SELECT s.public_key, s.active_share_set, h.outcome FROM wallet_state s JOIN share_set_history h USING (wallet_id)`).
				Scan(&key, &set, &outcome)
			if err != nil || key != w.PublicKey || set != w.ActiveShareSet || outcome != "baseline" {
				t.Errorf("when the vendor was asked to open, on record were %s, %s, %s, %v", outcome, key, set, err)
			}
			return nil
		})
		r.rotated()
		if seen != 1 {
			t.Errorf("opened %d times", seen)
		}
		r.histories("baseline", "activated")
		r.healthy()
	})

	// A refused baseline: nothing is opened, nothing recorded, and once the cause
	// is mended a person's retry is all it takes.
	says := func(field string, value any) func(*rig) {
		return func(r *rig) {
			r.front.lies(onHeld, func(answer map[string]any) bool { answer[field] = value; return true })
		}
	}
	honest := func(r *rig) { r.front.lies(onHeld, nil) }
	otherKey := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name         string
		breaks, mend func(*rig)
		want         string
	}{
		{"operator's address", func(r *rig) { r.exec(`UPDATE wallets SET address = '0xdead'`) },
			func(r *rig) { r.exec(`UPDATE wallets SET address = $1`, r.truth(0).Address) }, "the wallet row says address 0xdead"},
		{"operator's public key", func(r *rig) { r.exec(`UPDATE wallets SET public_key = $1`, otherKey) }, nil, "the wallet row says public key abab"},
		{"co-signer's address", says("address", "0xdead"), honest, "the co-signer's share has 0xdead"},
		{"co-signer's current set", says("current_share_set_id", "another"), honest, "the co-signer's current share is of share set another"},
		{"co-signer has lost its current share", says("current_share_set_id", ""), honest, "the co-signer's current share is of no share set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			if tt.name == "co-signer has lost its current share" {
				r.byHand(hand{}) // so that it holds another one
			}
			opened := r.opened()
			tt.breaks(r)
			x := r.replica()
			x.claim()
			x.needs(store.BaselineMismatch, provider.Verification)
			if text := r.record().Error; !strings.Contains(text, tt.want) {
				t.Errorf("the person reads %q", text)
			}
			x.quiet()
			r.histories()
			if r.opened() != opened {
				t.Error("a room was opened without a baseline")
			}
			if value[int](r, `SELECT count(*) FROM wallet_state WHERE active_share_set IS NOT NULL`) != 0 {
				t.Error("a baseline was recorded")
			}
			if tt.mend == nil {
				return // a public key once given cannot change
			}
			tt.mend(r)
			r.ask("retry")
			x.settled()
			r.healthy()
		})
	}

	t.Run("co-signer's key", func(t *testing.T) {
		// Dynamic tells no key, so the co-signer's is believed if the operator
		// gave none; from then on it may not change.
		r := newRig(t, sandbox.Options{})
		x := r.rotated()
		says("public_key", otherKey)(r)
		x.claim()
		x.needs(store.Mismatch, provider.Verification)
		if r.opened() != 1 {
			t.Error("a room was opened")
		}
	})
	t.Run("co-signer holds nothing", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.front.on(onHeld, func(*http.Request) int { return http.StatusNotFound })
		x := r.replica()
		x.claim()
		x.needs(store.NeedsPerson, provider.Terminal)
		if r.opened() != 0 {
			t.Error("a room was opened")
		}
	})
}

func TestRule2LookBeforeEachAttempt(t *testing.T) {
	t.Run("every attempt", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		var calls []string
		for _, call := range []string{onInspect, onOpen} {
			r.spy.on(call, func(context.Context, provider.Attempt) error { calls = append(calls, call); return nil })
		}
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 2})
		r.rotated()
		looked := true
		for i, call := range calls {
			if call == onOpen {
				looked = looked && i > 0 && calls[i-1] == onInspect
			}
		}
		if !looked || r.opened() != 3 {
			t.Errorf("calls %v, %d rooms", calls, r.opened())
		}
	})
	for _, tt := range []struct {
		name string
		h    hand
	}{
		{"reconciled: the co-signer holds it as current", hand{swap: true, commit: true}},
		{"reconciled: the co-signer holds it as prepared", hand{swap: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			x := r.rotated()
			set := r.byHand(tt.h)
			r.spy.on(onOpen, func(_ context.Context, a provider.Attempt) error {
				if w := r.truth(0); a.OldShareSet != set || w.CosignerShareSet != set {
					t.Errorf("opened from %s while the co-signer uses %s and the vendor %s", a.OldShareSet, w.CosignerShareSet, set)
				}
				return nil
			})
			x.claim()
			x.settled()
			r.histories("baseline", "activated", "reconciled", "activated")
			r.healthy()
		})
	}
	for _, tt := range []struct {
		name string
		h    hand
		want store.Attention
	}{
		{"drift: the co-signer has aborted it", hand{swap: true, abort: true}, store.Drift},
		{"key at risk: the co-signer committed what the vendor does not use", hand{commit: true}, store.KeyAtRisk},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			x := r.rotated()
			r.byHand(tt.h)
			x.claim()
			x.needs(tt.want, provider.Verification)
			x.quiet()
			r.histories("baseline", "activated")
			if r.opened() != 2 {
				t.Error("a room was opened")
			}
			r.ask("retry") // without mending anything
			x.needs(tt.want, provider.Verification)
			if r.opened() != 2 {
				t.Error("a room was opened after the retry")
			}
		})
	}
	t.Run("drift: the co-signer knows nothing of it", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.rotated()
		r.byHand(hand{swap: true})
		r.breaks(faults.Fault{Operation: "cosigner.status", Kind: faults.LoseState, Times: 1})
		x.claim()
		x.needs(store.Drift, provider.Verification)
	})
	t.Run("key at risk: the co-signer has lost everything", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.rotated()
		r.front.on(onHeld, func(*http.Request) int { return http.StatusNotFound })
		x.claim()
		x.needs(store.KeyAtRisk, provider.Verification)
	})
	t.Run("without a co-signer: the public key is all there is", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		p := r.peers()
		p.set(func() { p.approved = true })
		x := r.rotated()
		r.byHand(hand{swap: true, commit: true})
		x.claim()
		x.settled()
		r.histories("baseline", "activated", "reconciled", "activated")
		r.healthy()
	})
	t.Run("without a co-signer: what was given up is drift", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.peers()
		x := r.replica()
		x.claim()
		x.needs(store.WaitsForApproval, "")
		var given provider.Attempt
		r.spy.on(onDiscard, func(ctx context.Context, a provider.Attempt) error {
			given = a
			return r.vendor.Promote(ctx, a) // too late, and yet
		})
		r.exec(`UPDATE rotations SET opened_at = opened_at - interval '2 hours', next_check = now(), attention = NULL, attention_since = NULL`)
		x.until("it is given up", func() bool { return slices.Contains(r.outcomes(), "abandoned") })
		x.needs(store.Drift, provider.Verification)
		if text := r.record().Error; !strings.Contains(text, given.PendingShareSet+", which was given up on") {
			t.Errorf("the person reads %q", text)
		}
		r.histories("baseline", "abandoned")
	})
	t.Run("key at risk: two prepared shares of the active set", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		x := r.rotated()
		r.byHand(hand{swap: true})
		r.front.lies(onHeld, func(answer map[string]any) bool {
			shares := answer["prepared"].([]any)
			answer["prepared"] = slices.Concat(shares, shares)
			return true
		})
		x.claim()
		x.needs(store.KeyAtRisk, provider.Verification)
		if w := r.truth(0); w.CosignerShareSet == w.ActiveShareSet {
			t.Error("one of two shares was committed by chance")
		}
	})
}

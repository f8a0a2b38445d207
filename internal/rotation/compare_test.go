package rotation

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

func (r *rig) comparer() *Comparer {
	return &Comparer{Store: r.store, Providers: r.options.Providers, CoSigner: r.options.CoSigner, Call: r.options.Timing.Call, Workers: 4}
}

// standings is what is on record of all wallets.
func (r *rig) standings() []store.Standing {
	r.t.Helper()
	all, err := r.store.Standings(r.t.Context(), store.StandingFilter{}, 0, 1000)
	r.must(err)
	return all
}

// compares compares all wallets, and insists on what is said of each.
func (r *rig) compares(want ...Result) []Comparison {
	r.t.Helper()
	found, err := r.comparer().Wallets(r.t.Context(), r.standings())
	r.must(err)
	if len(found) != len(want) {
		r.t.Fatalf("%d comparisons, want %d: %+v", len(found), len(want), found)
	}
	for i, c := range found {
		if c.Result != want[i] {
			r.t.Fatalf("wallet %d: %s (%s), want %s", c.WalletID, c.Result, c.Detail, want[i])
		}
		if (c.NextStep == "") != c.Fine() {
			r.t.Errorf("%s: next step %q", c.Result, c.NextStep)
		}
	}
	return found
}

// lostCommit is a rotated wallet whose last commit never reached the co-signer,
// and which is on record as settled.
func (r *rig) lostCommit(x *replica) {
	r.t.Helper()
	r.front.on(onCommit, func(*http.Request) int { return http.StatusServiceUnavailable })
	x.claim()
	x.until("the commit is pending", func() bool {
		return x.InHand() == 0 && value[int](r, `SELECT count(*) FROM rotations WHERE state = 'promoted'`) == 1
	})
	r.exec(`DELETE FROM rotations`)
	r.front.on(onCommit, func(*http.Request) int { return 0 })
}

// TestComparison: what is said of a wallet, and what a request to reconcile it
// then does. Nothing is ever opened, and nothing taken from anybody.
func TestComparison(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrange func(r *rig, x *replica)
		want    Result
		needs   store.Attention // after the request; empty: all agree then
		history []string
	}{
		{"agree", func(*rig, *replica) {}, Agree, "", []string{"baseline", "activated"}},
		{"by hand, committed", func(r *rig, _ *replica) { r.byHand(hand{swap: true, commit: true}) }, Reconcilable, "",
			[]string{"baseline", "activated", "reconciled"}},
		{"by hand, prepared at the co-signer", func(r *rig, _ *replica) { r.byHand(hand{swap: true}) }, Reconcilable, "",
			[]string{"baseline", "activated", "reconciled"}},
		{"by hand, of a wallet that may no longer be refreshed", func(r *rig, _ *replica) {
			r.byHand(hand{swap: true})
			r.must(r.sandbox.SetShape(r.truth(0).ID, elsewhere))
		}, Reconcilable, "", []string{"baseline", "activated", "reconciled"}},
		{"a commit that was lost", (*rig).lostCommit, CommitPending, "", []string{"baseline", "activated", "activated"}},
		{"by hand, aborted at the co-signer", func(r *rig, _ *replica) { r.byHand(hand{swap: true, abort: true}) }, Drift, store.Drift,
			[]string{"baseline", "activated"}},
		{"by hand, and the co-signer lost its share", func(r *rig, _ *replica) {
			r.byHand(hand{swap: true})
			r.breaks(faults.Fault{Operation: "cosigner.status", Kind: faults.LoseState, Times: 1})
		}, Drift, store.Drift, []string{"baseline", "activated"}},
		{"the co-signer committed what the vendor does not use", func(r *rig, _ *replica) { r.byHand(hand{commit: true}) }, KeyAtRisk, store.KeyAtRisk,
			[]string{"baseline", "activated"}},
		{"the co-signer lost everything", func(r *rig, _ *replica) {
			r.front.on(onHeld, func(*http.Request) int { return http.StatusNotFound })
		}, KeyAtRisk, store.KeyAtRisk, []string{"baseline", "activated"}},
		{"another public key", func(r *rig, _ *replica) {
			r.front.lies(onHeld, func(answer map[string]any) bool { answer["public_key"] = strings.Repeat("ab", 32); return true })
		}, Mismatch, store.Mismatch, []string{"baseline", "activated"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			x := r.rotated()
			tt.arrange(r, x)
			rooms, truth := r.opened(), r.truth(0)
			found := r.compares(tt.want)[0]
			if found.Request() != (tt.want != Agree) || found.AtVendor != truth.ActiveShareSet {
				t.Errorf("%+v", found)
			}
			if r.ask("reconcile") {
				t.Fatal("the request was refused")
			}
			if tt.needs == "" {
				x.settled()
				r.compares(Agree)
				r.healthy()
			} else {
				x.needs(tt.needs, provider.Verification)
				again := r.compares(tt.want)[0]
				if again.Request() || again.Attention != tt.needs {
					t.Errorf("what waits for a person is asked for again: %+v", again)
				}
				if now := r.truth(0); now.ActiveShareSet != truth.ActiveShareSet || now.CosignerShareSet != truth.CosignerShareSet {
					t.Errorf("%+v became %+v", truth, now)
				}
			}
			r.histories(tt.history...)
			if r.opened() != rooms {
				t.Error("a room was opened")
			}
		})
	}
}

func TestComparisonWithoutABaseline(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	r.compares(NoBaseline)
	r.exec(`UPDATE wallets SET address = '0xdead'`)
	r.compares(Mismatch)
	r.exec(`UPDATE wallets SET address = $1`, r.truth(0).Address)
	x := r.replica()
	r.ask("reconcile")
	x.settled()
	r.compares(Agree)
	r.histories("baseline")
	r.healthy()
}

func TestComparisonOfWhatNobodyTells(t *testing.T) {
	r := newRig(t, sandbox.Options{Wallets: 2})
	r.rotated()
	r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503, Wallet: r.truth(0).ID})
	if c := r.compares(Unreachable, Agree)[0]; c.Request() || c.Class != provider.Retryable {
		t.Errorf("%+v", c)
	}
	r.mended()
	r.front.on(onHeld, func(*http.Request) int { return http.StatusServiceUnavailable })
	r.compares(Unreachable, Unreachable)
	r.front.on(onHeld, func(*http.Request) int { return http.StatusForbidden })
	r.compares(Unreachable, Unreachable)
	r.front.on(onHeld, func(*http.Request) int { return 0 })
	// A vendor that wants to be left alone for a moment is.
	r.breaks(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 429, Times: 2})
	r.compares(Agree, Agree)

	r.exec(`INSERT INTO wallets (provider, external_id) VALUES ('dynamic', '11111111-2222-4333-8444-555555555555'), ('elsewhere', 'x')`)
	found := r.compares(Agree, Agree, Refused, Unreachable)
	if found[2].Request() || !strings.Contains(found[3].Detail, "provider elsewhere is not in the configuration") {
		t.Errorf("%+v", found)
	}
}

// Where there is no co-signer the public key decides, and what the history
// calls abandoned is not followed.
func TestComparisonWithoutACoSigner(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	p := r.peers()
	p.set(func() { p.approved = true })
	x := r.rotated()
	r.compares(Agree)
	set := r.byHand(hand{swap: true, commit: true})
	r.compares(Reconcilable)
	r.exec(`INSERT INTO share_set_history (wallet_id, seq, generation, outcome, decided_at, share_set, hash)
		SELECT 1, 99, 2, 'abandoned', now(), $1, sha256('x')`, set)
	r.compares(Drift)
	r.ask("reconcile")
	x.needs(store.Drift, provider.Verification)
	r.histories("baseline", "activated", "abandoned")
}

// A rotation that ran between the reading of the record and the vendor's answer
// is no difference.
func TestSecondLook(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	rotations := 0
	var rotating atomic.Bool
	rotate := func(most int) {
		r.spy.on(onInspect, func(context.Context, provider.Attempt) error {
			if rotations == most || !rotating.CompareAndSwap(false, true) {
				return nil // not the comparison that asks, or enough
			}
			defer rotating.Store(false)
			rotations++
			x.claim()
			x.settled()
			return nil
		})
	}
	rotate(1)
	r.compares(Agree)
	if rotations != 1 {
		t.Fatalf("%d rotations ran", rotations)
	}
	// Also when it happens both times.
	rotate(3)
	r.compares(InMotion)
	if rotations != 3 {
		t.Fatalf("%d rotations ran", rotations)
	}
	r.healthy()
}

func TestComparisonLeavesRotationsAlone(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.rotated()
	r.front.on(onCommit, func(*http.Request) int { return http.StatusServiceUnavailable })
	x.claim()
	x.until("the commit is pending", func() bool {
		return x.InHand() == 0 && value[string](r, `SELECT coalesce(max(attention), '') FROM rotations`) == string(store.CommitPending)
	})
	r.spy.on(onInspect, func(context.Context, provider.Attempt) error { t.Error("the vendor was asked"); return nil })
	found, err := r.comparer().Wallets(t.Context(), r.standings())
	r.must(err)
	if c := found[0]; c.Result != InMotion || c.Fine() || c.Request() || !strings.Contains(c.Detail, "promoted") {
		t.Errorf("%+v", c)
	}
	r.spy.on(onInspect, nil)
	r.front.on(onCommit, func(*http.Request) int { return 0 })
	x.settled()
	r.compares(Agree)
}

// A vendor that is gone is not waited for once for each of its wallets.
func TestComparisonGivesUpOnSilence(t *testing.T) {
	const wallets = 3 * silenceMost
	r := newRig(t, sandbox.Options{})
	r.exec(`INSERT INTO wallets (provider, external_id) SELECT 'dynamic', gen_random_uuid() FROM generate_series(1, $1)`, wallets)
	var asked atomic.Int64
	r.spy.on(onInspect, func(context.Context, provider.Attempt) error {
		asked.Add(1)
		return provider.Errorf(provider.Retryable, provider.ReasonTimeout, "nobody there")
	})
	c := r.comparer()
	found, err := c.Wallets(t.Context(), r.standings())
	r.must(err)
	for _, x := range found {
		if x.Result != Unreachable {
			t.Errorf("%+v", x)
		}
	}
	if n := asked.Load(); n < silenceMost || n > silenceMost+int64(c.Workers) {
		t.Errorf("the vendor was asked %d times for %d wallets", n, len(found))
	}
}

package rotation

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// Rules 3 and 4: what must be known before an act.

func TestRule3IntentBeforeAction(t *testing.T) {
	t.Run("each act finds its intent on record", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration) // so that there is something to retire
		x := r.replica()
		acts := map[string]int{}
		expect := func(act string, ok func(row) bool) {
			acts[act]++
			if got := r.record(); !ok(got) || got.Owner != x.lease.epoch {
				t.Errorf("when it came to %s, on record was %+v", act, got)
			}
		}
		var attempt provider.Attempt
		r.spy.on(onOpen, func(_ context.Context, a provider.Attempt) error {
			attempt = a
			expect(onOpen, func(x row) bool { return x.State == "opening" && x.Attempt == a.ID.String() && x.Old == a.OldShareSet })
			return nil
		})
		r.spy.on(onOpened, func(_ context.Context, a provider.Attempt) error {
			attempt = a
			return nil
		})
		r.front.on(onStart, func(*http.Request) int {
			expect(onStart, func(x row) bool { return x.State == "ceremony" && x.Pending == attempt.PendingShareSet })
			return 0
		})
		r.spy.on(onPromote, func(_ context.Context, a provider.Attempt) error {
			expect(onPromote, func(x row) bool {
				return x.State == "prepared" && x.Pending == a.PendingShareSet && x.Fingerprint != ""
			})
			return nil
		})
		r.front.on(onCommit, func(*http.Request) int {
			expect(onCommit, func(x row) bool { return x.State == "promoted" })
			var retirements int
			if err := r.db.QueryRow(context.Background(), `
				SELECT count(*) FROM retirements t JOIN wallet_state s USING (wallet_id) JOIN share_set_history h USING (wallet_id)
				 WHERE t.new_share_set = s.active_share_set AND h.share_set = s.active_share_set AND h.outcome = 'activated' AND h.seq = s.seq`).
				Scan(&retirements); err != nil || retirements != 1 {
				t.Errorf("head, history and retirement of the promotion are not on record: %d, %v", retirements, err)
			}
			return 0
		})
		x.claim()
		x.settled()
		for _, act := range []string{onOpen, onStart, onPromote, onCommit} {
			if acts[act] != 1 {
				t.Errorf("%s was seen %d times", act, acts[act])
			}
		}
		r.healthy()
	})

	t.Run("an abandonment before anybody is told", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
		told := map[string]int{}
		abandoned := func(who, attempt string) {
			told[who]++
			var share string
			err := r.db.QueryRow(context.Background(), `
				SELECT h.share_set FROM share_set_history h JOIN rotations r USING (wallet_id, attempt_id)
				 WHERE h.outcome = 'abandoned' AND r.attempt_id::text = $1 AND r.state = 'waiting' AND r.discard_pending`, attempt).Scan(&share)
			if err != nil || share == "" {
				t.Errorf("when the %s was told, the abandonment of %s was not on record: %v", who, attempt, err)
			}
		}
		r.front.on(onAbort, func(q *http.Request) int { abandoned("co-signer", ceremonyOf(q).String()); return 0 })
		r.spy.on(onDiscard, func(_ context.Context, a provider.Attempt) error {
			abandoned("vendor", a.ID.String())
			if a.PendingShareSet == "" {
				t.Error("the vendor was not told which share set")
			}
			return nil
		})
		r.rotated()
		if told["co-signer"] != 1 || told["vendor"] != 1 {
			t.Errorf("told: %v", told)
		}
		r.histories("baseline", "abandoned", "activated")
		r.healthy()
	})

	t.Run("an abandoned set is never adopted", func(t *testing.T) {
		// The vendor swaps in, later and by itself, a set that was given up.
		r := newRig(t, sandbox.Options{})
		x := r.replica()
		var given provider.Attempt
		r.spy.on(onPromote, func(_ context.Context, a provider.Attempt) error {
			given = a
			return provider.Errorf(provider.Terminal, provider.ReasonProviderError, "refused by the test")
		})
		x.claim()
		x.needs(store.PromoteRefused, provider.Terminal)
		r.spy.on(onDiscard, func(ctx context.Context, a provider.Attempt) error { return r.vendor.Promote(ctx, given) })
		r.ask("discard")
		x.until("the attempt is given up", func() bool { return slices.Contains(r.outcomes(), "abandoned") })
		x.needs(store.Drift, provider.Verification)
		r.histories("baseline", "abandoned")
		if w := r.truth(0); w.CosignerShareSet != given.OldShareSet || !w.Recoverable {
			t.Errorf("the abandoned share was committed, or thrown away: %+v", w)
		}
	})
}

// order records what of a list of calls came, one after the other.
func (r *rig) order() *[]string {
	var calls []string
	r.spy.on(onPromote, func(context.Context, provider.Attempt) error { calls = append(calls, onPromote); return nil })
	r.front.on(onStatus, func(*http.Request) int { calls = append(calls, onStatus); return 0 })
	r.front.on(onCommit, func(*http.Request) int { calls = append(calls, onCommit); return 0 })
	return &calls
}

func TestRule4CoSignerAskedBeforeEveryPromote(t *testing.T) {
	t.Run("first and repeated", func(t *testing.T) {
		r := newRig(t, sandbox.Options{})
		calls := r.order()
		r.breaks(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostRequest, Times: 2})
		r.rotated()
		r.healthy()
		want := []string{onStatus, onPromote, onStatus, onPromote, onStatus, onPromote, onCommit}
		if !slices.Equal(*calls, want) {
			t.Errorf("calls %v, want %v", *calls, want)
		}
	})

	// What the co-signer says when it is asked before a promote, first or
	// repeated.
	for _, tt := range []struct {
		name string
		says func(*rig)
	}{
		{"lost", func(r *rig) {
			r.must(r.sandbox.SetFaults(faults.Fault{Operation: "cosigner.status", Kind: faults.LoseState, Times: 1}))
		}},
		{"never heard of it", func(r *rig) { r.front.on(onStatus, func(*http.Request) int { return http.StatusNotFound }) }},
		{"another share of the set", func(r *rig) {
			r.front.lies(onStatus, func(answer map[string]any) bool { answer["fingerprint"] = "another"; return true })
		}},
		{"another share set", func(r *rig) {
			r.front.lies(onStatus, func(answer map[string]any) bool { answer["share_set_id"] = "another"; return true })
		}},
		{"another public key", func(r *rig) {
			r.must(r.sandbox.SetFaults(faults.Fault{Operation: "cosigner.status", Kind: faults.WrongPublicKey}))
		}},
		{"aborted", func(r *rig) {
			r.front.lies(onStatus, func(answer map[string]any) bool { answer["state"] = "aborted"; return true })
		}},
	} {
		for _, when := range []string{"before the first", "before a repeated one"} {
			t.Run(tt.name+" "+when, func(t *testing.T) {
				r := newRig(t, sandbox.Options{})
				promotes := 0
				r.spy.on(onPromote, func(context.Context, provider.Attempt) error {
					promotes++
					tt.says(r)
					return provider.Errorf(provider.InDoubt, provider.ReasonTimeout, "no answer")
				})
				if when == "before the first" {
					r.front.on(onStatus, func(*http.Request) int {
						r.front.on(onStatus, nil)
						tt.says(r)
						if tt.name == "never heard of it" {
							return http.StatusNotFound
						}
						return 0
					})
				}
				x := r.replica()
				x.claim()
				x.needs(store.PreparedShareLost, provider.Verification)
				x.quiet()
				if want := map[string]int{"before the first": 0, "before a repeated one": 1}[when]; promotes != want {
					t.Errorf("promoted %d times, want %d", promotes, want)
				}
				w := r.truth(0)
				if got := r.record(); got.State != "prepared" || !got.Frozen || w.ActiveShareSet != got.Old || !w.CanSign {
					t.Errorf("on record %+v, truth %+v", got, w)
				}
				r.histories("baseline")
			})
		}
	}

	t.Run("lost after the swap", func(t *testing.T) {
		// The key is at risk. The wallet is frozen, and nothing is cleaned up.
		r := newRig(t, sandbox.Options{})
		r.spy.grace = new(time.Duration)
		x := r.replica()
		r.breaks(faults.Fault{Operation: "cosigner.commit", Kind: faults.LoseState, Times: 1})
		x.claim()
		x.needs(store.KeyAtRisk, provider.Verification)
		x.quiet()
		if got := r.record(); got.State != "promoted" || !got.Frozen {
			t.Errorf("on record %+v", got)
		}
		r.spy.on(onRetire, func(context.Context, provider.Attempt) error {
			t.Error("the old set was cleaned up")
			return errors.New("no")
		})
		if n, err := x.Retire(t.Context()); n != 0 || err != nil {
			t.Errorf("%d retirements were taken, %v", n, err)
		}
		r.ask("retry") // nothing is mended
		x.needs(store.KeyAtRisk, provider.Verification)
		r.ask("discard")
		if got := r.record().State; got != "promoted" {
			t.Errorf("a discard took it to %s", got)
		}
		r.histories("baseline", "activated")
	})
}

package rotation

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// Whatever is wrong with the co-signer: nothing is promoted, the old share set
// stays active and signs, the error has the right class, and a person hears of
// it. When the cause is gone, the wallet is rotated.
func TestCoSignerInTrouble(t *testing.T) {
	answers := func(call string, status int) func(*rig) {
		return func(r *rig) { r.front.on(call, func(*http.Request) int { return status }) }
	}
	fault := func(f faults.Fault) func(*rig) { return func(r *rig) { r.breaks(f) } }
	slow := faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Latency, Delay: time.Minute}

	for _, tt := range []struct {
		name     string
		breaks   func(*rig)
		want     store.Attention
		class    provider.Class
		prepared bool   // it is past the commit point when the trouble is seen
		mend     string // what the person asks for then
	}{
		{"down for everything", func(r *rig) {
			for _, call := range []string{onHeld, onStart, onStatus, onCommit, onAbort} {
				answers(call, 503)(r)
			}
		}, store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"breaks every connection", fault(faults.Fault{Operation: "cosigner.status", Kind: faults.LostRequest}), store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"down for ceremonies", answers(onStart, 503), store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"refuses ceremonies", fault(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.Reject}), store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"slow", fault(slow), store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"does not let us in", answers(onStart, 401), store.NeedsPerson, provider.Terminal, false, "retry"},
		{"another public key", fault(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.WrongPublicKey}), store.Mismatch, provider.Verification, false, "retry"},
		{"another address", func(r *rig) {
			r.front.lies(onStart, func(answer map[string]any) bool { answer["address"] = "0xdead"; return true })
		}, store.Mismatch, provider.Verification, false, "retry"},
		{"loses the share that it prepared", fault(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.LoseState}), store.PreparedShareLost, provider.Verification, true, "discard"},
		{"down before the swap", answers(onStatus, 503), store.PromotionStuck, provider.Retryable, true, ""},
		{"slow before the swap", fault(faults.Fault{Operation: "cosigner.status", Kind: faults.Latency, Delay: time.Minute}), store.AttemptsUsedUp, provider.Retryable, false, "retry"},
		{"cannot be told of an abandoned attempt", func(r *rig) {
			r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1},
				faults.Fault{Operation: "cosigner.abort", Kind: faults.Status, Status: 503})
			r.options.Timing.Ceremony = time.Second
			r.exec(`UPDATE rotation_policies SET max_attempts = 100`)
		}, store.NeedsPerson, provider.Retryable, false, ""},
		{"must not be told of an abandoned attempt", func(r *rig) {
			r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
			answers(onAbort, 403)(r)
		}, store.NeedsPerson, provider.Retryable, false, "retry"},
		{"lies, and cannot be told that the attempt is rejected", func(r *rig) {
			r.breaks(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.WrongPublicKey},
				faults.Fault{Operation: "cosigner.abort", Kind: faults.Status, Status: 503})
		}, store.Mismatch, provider.Verification, false, "retry"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sandbox.Options{})
			if strings.HasPrefix(tt.name, "slow") {
				r.options.Timing.Call = time.Second
			}
			r.exec(`UPDATE rotation_policies SET max_attempts = 2`)
			tt.breaks(r)
			old := r.truth(0)
			x := r.replica()
			x.claim()
			x.needs(tt.want, tt.class)
			got, w := r.record(), r.truth(0)
			if tt.prepared != (got.State == "prepared") {
				t.Errorf("the rotation is in %s", got.State)
			}
			if w.ActiveShareSet != old.ActiveShareSet || w.CosignerShareSet != old.ActiveShareSet || !w.CanSign {
				t.Errorf("truth: %+v", w)
			}
			for set, p := range r.sandbox.Stats().Wallets[w.ID].Promotions {
				t.Errorf("%s was promoted: %+v", set, p)
			}

			r.mended()
			for _, call := range []string{onHeld, onStart, onStatus, onCommit, onAbort} {
				r.front.on(call, nil)
				r.front.lies(call, nil)
			}
			if tt.mend != "" && r.ask(tt.mend) {
				t.Fatalf("%s was refused", tt.mend)
			}
			x.settled()
			r.healthy()
		})
	}
}

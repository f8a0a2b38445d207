package torture

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/store"
)

// verdict on one wallet.
type verdict struct {
	evidence
	wrong []string
	// unknown is what is left of attempts whose record was lost.
	unknown int
}

// judge says everything that is wrong with a wallet that is settled.
func judge(e evidence) *verdict {
	v := &verdict{evidence: e}
	v.signs()
	v.chain()
	if e.recorded.Drift && e.lossy {
		// A person knows; nothing has been touched since, so no more is asked.
		return v
	}
	v.settled()
	v.agree()
	v.once()
	v.leftovers()
	return v
}

func (v *verdict) say(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// signs: nothing that can be lost is lost. A wallet whose record is adrift may
// need a person to sign, but must be able to.
func (v *verdict) signs() {
	t := v.truth
	switch {
	case t.PublicKey != v.before.PublicKey:
		v.say("its public key was %s and is %s", v.before.PublicKey, t.PublicKey)
	case !t.Recoverable:
		v.say("its key is lost: no share that is held signs with the vendor's active share set %s", t.ActiveShareSet)
	case !t.CanSign && !v.recorded.Drift:
		v.say("it cannot sign: vendor %s, co-signer %s", t.ActiveShareSet, t.CosignerShareSet)
	}
}

// chain: the history is whole, and leads from the baseline to the active set.
func (v *verdict) chain() {
	if v.tampered != nil {
		v.say("its history does not verify: %v", v.tampered)
	}
	if len(v.history) == 0 || v.history[0].Outcome != store.Baseline {
		v.say("its history does not begin with a baseline: %s", v.outcomes())
		return
	}
	active, generation := v.history[0].ShareSet, int32(0)
	for _, r := range v.history[1:] {
		switch r.Outcome {
		case store.Activated, store.Reconciled:
			if r.Replaced != active || r.Generation != generation+1 {
				v.say("row %d of its history replaces %s by %s as generation %d; active was %s of generation %d",
					r.Seq, r.Replaced, r.ShareSet, r.Generation, active, generation)
			}
			active, generation = r.ShareSet, r.Generation
		case store.Baseline:
			v.say("row %d of its history is a second baseline", r.Seq)
		}
	}
	if active != v.recorded.Head || int(generation) != v.recorded.Generation {
		v.say("its history ends at %s of generation %d; the head on record is %s of generation %d",
			active, generation, v.recorded.Head, v.recorded.Generation)
	}
}

// settled: nothing is open, and so no old share signs.
func (v *verdict) settled() {
	if v.recorded.Open != "" {
		v.say("it is not settled: %s", v.recorded.Open)
		return
	}
	switch {
	case v.truth.OldShareSigns:
		v.say("an old share still signs, and no retirement is open")
	case v.truth.Retiring:
		v.say("the vendor still keeps old shares, and no retirement is open")
	}
}

// agree: exactly one active set, the same everywhere, under the same key.
func (v *verdict) agree() {
	coSigner := v.truth.CosignerShareSet
	if v.truth.Provider == coboName { // its parties are the vendor's and the TSS nodes
		coSigner = v.truth.ActiveShareSet
	}
	if v.recorded.Head != v.truth.ActiveShareSet || v.recorded.Active != v.recorded.Head || coSigner != v.recorded.Head {
		v.say("the active share set is %s at the vendor, %s at the co-signer, %s on record, %q in the view",
			v.truth.ActiveShareSet, coSigner, v.recorded.Head, v.recorded.Active)
	}
	if v.recorded.PublicKey != v.truth.PublicKey {
		v.say("the key on record is %s, it signs under %s", v.recorded.PublicKey, v.truth.PublicKey)
	}
	if v.recorded.Generation != v.truth.Generation && !v.lossy {
		v.say("the record counts %d swaps, the vendor %d", v.recorded.Generation, v.truth.Generation)
	}
}

// once: no share set was made active twice, and none that was given up ever.
// Where commits were lost, a swap may be missing on record if another followed.
func (v *verdict) once() {
	for set, p := range v.promotions {
		switch {
		case p.Effects > 1:
			v.say("share set %s was made active %d times", set, p.Effects)
		case p.Effects == 0:
		case v.has(set, store.Abandoned, store.Rejected) && !v.lossy:
			v.say("share set %s was made active, and had been given up on record", set)
		case !v.has(set, store.Activated, store.Reconciled) && !v.lossy:
			v.say("share set %s was made active, and the history does not tell: %s", set, v.outcomes())
		}
	}
}

// leftovers: what is pending at the vendor was given up on record, by its name
// or, where nobody ever learned it, without one; and the co-signer has no share
// that it would still make current. Where commits were lost nobody knows of
// attempts whose record went with them.
func (v *verdict) leftovers() {
	nameless := 0
	for _, r := range v.history {
		if r.ShareSet == "" && (r.Outcome == store.Abandoned || r.Outcome == store.Rejected) {
			nameless++
		}
	}
	var strange []string
	for _, set := range v.truth.PendingShareSets {
		if !v.has(set, store.Abandoned, store.Rejected) {
			strange = append(strange, set)
		}
	}
	if len(strange) > nameless {
		v.left("the vendor has pending %s, of which the history does not tell", strings.Join(strange, " and "))
	}
	for _, p := range v.held.Prepared {
		if p.State != cosigner.Aborted {
			v.left("the co-signer would still commit share set %s, which is %s there", p.ShareSetID, p.State)
		}
	}
}

func (v *verdict) left(format string, args ...any) {
	if v.lossy {
		v.unknown++
		return
	}
	v.say(format, args...)
}

func (v *verdict) has(shareSet string, outcomes ...store.Outcome) bool {
	return slices.ContainsFunc(v.history, func(r store.HistoryRow) bool {
		return r.ShareSet == shareSet && slices.Contains(outcomes, r.Outcome)
	})
}

func (v *verdict) outcomes() string {
	var all []string
	for _, r := range v.history {
		all = append(all, string(r.Outcome))
	}
	return strings.Join(all, " ")
}

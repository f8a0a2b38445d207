package torture

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
	"github.com/rotatord/rotatord/internal/store"
)

// says insists that a verdict names a violation, and how many there are of its
// kind.
func says(t *testing.T, v *verdict, want string) {
	t.Helper()
	if !slices.ContainsFunc(v.wrong, func(wrong string) bool { return strings.Contains(wrong, want) }) {
		t.Errorf("wallet %s: the judge does not say %q but %q", v.before.ID, want, v.wrong)
	}
}

// Each wallet but the last two is spoilt in a way of its own, in the real
// world, and the judge finds that very wallet.
func TestJudgeFindsWhatIsPlanted(t *testing.T) {
	w := newWorld(t, 5, 1)
	w.rotate()
	for _, v := range w.verdicts() {
		if len(v.wrong) > 0 {
			t.Fatalf("wallet %s: nothing is planted yet, and the judge says %q", v.before.ID, v.wrong)
		}
	}
	good := w.verdicts()

	// The head is flipped.
	w.exec(`UPDATE wallet_state SET active_share_set = 'flipped' WHERE wallet_id = $1`, good[0].recorded.ID)
	// A row of the history is rewritten.
	w.exec(`ALTER TABLE share_set_history DISABLE TRIGGER USER`)
	w.exec(`UPDATE share_set_history SET actor = 'eve' WHERE wallet_id = $1 AND seq = 1`, good[1].recorded.ID)
	// The co-signer loses the share that is current.
	w.loseShares(good[2].before.ID)
	// The sandbox was never told of a wallet's swap: it is promoted by hand.
	byHand := w.elsewhere()
	byHand.exec(`DELETE FROM wallets WHERE external_id NOT IN ($1, $2)`, good[3].before.ID, good[5].before.ID)
	byHand.rotate()

	got := w.verdicts()
	says(t, got[0], "flipped on record")
	says(t, got[0], "the head on record is flipped")
	says(t, got[1], "does not verify")
	says(t, got[2], "its key is lost")
	for _, i := range []int{3, 5} { // at either vendor
		says(t, got[i], "was made active, and the history does not tell")
		says(t, got[i], "the active share set is "+got[i].truth.ActiveShareSet+" at the vendor")
		says(t, got[i], "the record counts 1 swaps, the vendor 2")
	}
	if wrong := got[4].wrong; len(wrong) > 0 {
		t.Errorf("wallet %s is whole, and the judge says %q", got[4].before.ID, wrong)
	}
}

// loseShares removes everything that the co-signer holds of a wallet.
func (w *world) loseShares(id string) {
	w.t.Helper()
	journals, err := filepath.Glob(filepath.Join(w.dir, "wallets", "*", "wallet.json"))
	w.must(err)
	lost := 0
	for _, journal := range journals {
		text, err := os.ReadFile(journal)
		w.must(err)
		if !bytes.Contains(text, []byte(id)) {
			continue
		}
		shares, err := filepath.Glob(filepath.Join(filepath.Dir(journal), "*.share"))
		w.must(err)
		for _, share := range shares {
			w.must(os.Remove(share))
			lost++
		}
	}
	if lost == 0 {
		w.t.Fatalf("the co-signer had nothing of wallet %s", id)
	}
}

// What cannot be planted easily in the world is planted in the evidence.
func TestJudge(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.rotate()
	w.rotate()
	all, err := w.collect(t.Context(), w.before)
	w.must(err)
	const dynamic, cobo = 0, 1
	abandoned := store.HistoryRow{Outcome: store.Abandoned, ShareSet: "given-up"}
	for name, c := range map[string]struct {
		of    int
		plant func(*evidence)
		want  string // empty: nothing
	}{
		"nothing":                          {dynamic, func(*evidence) {}, ""},
		"nothing at Cobo":                  {cobo, func(*evidence) {}, ""},
		"another public key":               {dynamic, func(e *evidence) { e.truth.PublicKey = "other" }, "its public key was"},
		"it cannot sign":                   {dynamic, func(e *evidence) { e.truth.CanSign = false }, "it cannot sign"},
		"it is lost":                       {cobo, func(e *evidence) { e.truth.Recoverable = false }, "its key is lost"},
		"lost, and adrift":                 {dynamic, func(e *evidence) { adrift(e); e.truth.Recoverable = false }, "its key is lost"},
		"adrift, where commits are lost":   {dynamic, adrift, ""},
		"adrift, where none is lost":       {dynamic, func(e *evidence) { adrift(e); e.lossy = false }, "it is not settled: rotation in failed drift"},
		"the chain is broken":              {dynamic, func(e *evidence) { e.tampered = errors.New("row 2") }, "does not verify: row 2"},
		"no baseline":                      {dynamic, func(e *evidence) { e.history = e.history[1:] }, "does not begin with a baseline"},
		"two baselines":                    {dynamic, func(e *evidence) { e.history = append(e.history, store.HistoryRow{Seq: 9, Outcome: store.Baseline}) }, "row 9 of its history is a second baseline"},
		"a swap is missing":                {dynamic, func(e *evidence) { e.history = slices.Delete(e.history, 1, 2) }, "row 3 of its history replaces"},
		"the last swap is missing":         {dynamic, func(e *evidence) { e.history = e.history[:2] }, "its history ends at"},
		"the view has none":                {dynamic, func(e *evidence) { e.recorded.Active = "" }, `"" in the view`},
		"the co-signer has another":        {dynamic, func(e *evidence) { e.truth.CosignerShareSet = "x" }, "x at the co-signer"},
		"the record has another key":       {cobo, func(e *evidence) { e.recorded.PublicKey = "x" }, "the key on record is x"},
		"a rotation is open":               {dynamic, func(e *evidence) { e.recorded.Open = "rotation in prepared" }, "not settled: rotation in prepared"},
		"an old share signs":               {dynamic, func(e *evidence) { e.truth.OldShareSigns = true }, "an old share still signs"},
		"the vendor keeps one":             {cobo, func(e *evidence) { e.truth.Retiring = true }, "still keeps old shares"},
		"twice":                            {cobo, func(e *evidence) { effects(e, e.truth.ActiveShareSet, 2) }, "was made active 2 times"},
		"twice, where commits are lost":    {cobo, func(e *evidence) { e.lossy = true; effects(e, e.truth.ActiveShareSet, 2) }, "was made active 2 times"},
		"given up and promoted":            {dynamic, func(e *evidence) { e.history = append(e.history, abandoned); effects(e, "given-up", 1) }, "had been given up on record"},
		"promoted by nobody":               {dynamic, func(e *evidence) { effects(e, "stray", 1) }, "share set stray was made active, and the history does not tell"},
		"the same, where commits are lost": {dynamic, func(e *evidence) { e.lossy = true; effects(e, "stray", 1) }, ""},
		"pending":                          {dynamic, func(e *evidence) { e.truth.PendingShareSets = []string{"stray"} }, "the vendor has pending stray"},
		"pending, and given up by name": {dynamic, func(e *evidence) {
			e.history = append(e.history, abandoned)
			e.truth.PendingShareSets = []string{"given-up"}
		}, ""},
		"pending, and one without a name given up": {dynamic, func(e *evidence) {
			e.history = append(e.history, store.HistoryRow{Outcome: store.Abandoned})
			e.truth.PendingShareSets = []string{"stray"}
		}, ""},
		"two pending, and one without a name given up": {dynamic, func(e *evidence) {
			e.history = append(e.history, store.HistoryRow{Outcome: store.Abandoned})
			e.truth.PendingShareSets = []string{"stray", "other"}
		}, "the vendor has pending stray and other"},
		"prepared at the co-signer": {dynamic, func(e *evidence) {
			e.held.Prepared = []cosigner.PreparedShare{{ShareSetID: "stray", State: cosigner.Prepared}}
		}, "the co-signer would still commit share set stray"},
		"aborted at the co-signer": {dynamic, func(e *evidence) {
			e.held.Prepared = []cosigner.PreparedShare{{ShareSetID: "stray", State: cosigner.Aborted}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := all[c.of]
			e.history = slices.Clone(e.history)
			c.plant(&e)
			v := judge(e)
			if c.want == "" && len(v.wrong) > 0 {
				t.Errorf("the judge says %q", v.wrong)
			}
			if c.want != "" {
				says(t, v, c.want)
			}
		})
	}
}

// adrift is how a wallet is left to a person after commits were lost.
func adrift(e *evidence) {
	e.lossy, e.recorded.Drift, e.recorded.Open = true, true, "rotation in failed drift"
	e.truth.ActiveShareSet, e.truth.CanSign = "another", false
}

func effects(e *evidence, set string, n int) {
	e.promotions = map[string]tally.Promotion{set: {Calls: n, Effects: n}}
}

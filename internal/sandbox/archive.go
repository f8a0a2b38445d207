package sandbox

import (
	"sync"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// archive remembers every client share that was ever seen, as a thief would:
// the co-signer may drop its old ones, the question whether they still sign
// stays.
type archive struct {
	mu      sync.Mutex
	wallets map[string]map[string]clientShare // wallet → fingerprint
	// verdicts on pairs with a retired share, and on pairs of groups. Shares
	// never change, so trying each once is enough.
	verdicts map[[2]string]bool
}

type clientShare struct {
	shareSetID string
	share      mpc.Share
}

func newArchive() *archive {
	return &archive{wallets: make(map[string]map[string]clientShare), verdicts: make(map[[2]string]bool)}
}

func (a *archive) keep(wallet, shareSetID string, share mpc.Share) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shares := a.wallets[wallet]
	if shares == nil {
		shares = make(map[string]clientShare)
		a.wallets[wallet] = shares
	}
	shares[share.Fingerprint()] = clientShare{shareSetID, share}
}

// of returns the client shares of a wallet that belong to one of these sets.
func (a *archive) of(wallet string, sets map[string]bool) []mpc.Share {
	a.mu.Lock()
	defer a.mu.Unlock()
	var shares []mpc.Share
	for _, c := range a.wallets[wallet] {
		if sets[c.shareSetID] {
			shares = append(shares, c.share)
		}
	}
	return shares
}

// anySign says whether any share of one list signs with any of the other.
func (a *archive) anySign(retired, live []mpc.Share) bool {
	for _, r := range retired {
		for _, l := range live {
			if !l.IsZero() && a.signs(r, l) {
				return true
			}
		}
	}
	return false
}

func (a *archive) signs(x, y mpc.Share) bool {
	return a.verdict([2]string{x.Fingerprint(), y.Fingerprint()}, func() bool { return mpc.CanSign(x, y) })
}

// verdict of a trial, or of the same one before.
func (a *archive) verdict(pair [2]string, try func() bool) bool {
	a.mu.Lock()
	verdict, known := a.verdicts[pair]
	a.mu.Unlock()
	if known {
		return verdict
	}
	verdict = try()
	a.mu.Lock()
	a.verdicts[pair] = verdict
	a.mu.Unlock()
	return verdict
}

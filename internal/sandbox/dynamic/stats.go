package dynamic

import "github.com/rotatord/rotatord/internal/sandbox/tally"

// Stats is what the vendor counted. Tests prove limits and "never twice" by it,
// instead of by what the daemon says of itself.
type Stats struct {
	// Requests received by operation, those that a fault swallowed included.
	Requests   map[string]int         `json:"requests"`
	Ceremonies CeremonyStats          `json:"ceremonies"` // rooms
	Wallets    map[string]WalletStats `json:"wallets"`
}

// CeremonyStats counts rooms over all wallets.
type CeremonyStats = tally.Ceremonies

// WalletStats counts for one wallet.
type WalletStats struct {
	Refreshes      int                  `json:"refreshes"` // rooms opened
	PeakCeremonies int                  `json:"peak_ceremonies"`
	Promotions     map[string]Promotion `json:"promotions"` // by share set
}

// Promotion counts the locations calls that named a share set, and how often
// that made it active.
type Promotion = tally.Promotion

// Stats returns a copy of the counters.
func (v *Vendor) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	stats := Stats{
		Requests:   v.requests.All(),
		Ceremonies: v.load.Ceremonies,
		Wallets:    make(map[string]WalletStats, len(v.wallets)),
	}
	for _, w := range v.wallets {
		stats.Wallets[w.id] = WalletStats{Refreshes: w.refreshes, PeakCeremonies: w.peak, Promotions: w.promotions.All()}
	}
	return stats
}

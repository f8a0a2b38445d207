package dynamic

import (
	"maps"
	"sync"
	"time"
)

// Stats is what the vendor counted. Tests prove limits and "never twice" by it,
// instead of by what the daemon says of itself.
type Stats struct {
	// Requests received by operation, those that a fault swallowed included.
	Requests   map[string]int         `json:"requests"`
	Ceremonies CeremonyStats          `json:"ceremonies"`
	Wallets    map[string]WalletStats `json:"wallets"`
}

// CeremonyStats counts rooms over all wallets.
type CeremonyStats struct {
	Opened        int `json:"opened"`
	Running       int `json:"running"`
	Peak          int `json:"peak"`            // most at the same time
	PeakPerMinute int `json:"peak_per_minute"` // most opened within any 60 s
}

// WalletStats counts for one wallet.
type WalletStats struct {
	Refreshes      int                  `json:"refreshes"` // rooms opened
	PeakCeremonies int                  `json:"peak_ceremonies"`
	Promotions     map[string]Promotion `json:"promotions"` // by share set
}

// Promotion counts the locations calls that named a share set, and how often
// that made it active.
type Promotion struct {
	Calls   int `json:"calls"`
	Effects int `json:"effects"`
}

// promotion of a share set; the caller holds mu.
func (w *wallet) promotion(id string) *Promotion {
	p := w.promotions[id]
	if p == nil {
		p = &Promotion{}
		w.promotions[id] = p
	}
	return p
}

// load is the running count behind CeremonyStats.
type load struct {
	CeremonyStats
	lastMinute []time.Time
}

func (l *load) open(now time.Time) {
	l.Opened++
	l.Running++
	l.Peak = max(l.Peak, l.Running)
	l.lastMinute = append(l.lastMinute, now)
	for now.Sub(l.lastMinute[0]) >= time.Minute {
		l.lastMinute = l.lastMinute[1:]
	}
	l.PeakPerMinute = max(l.PeakPerMinute, len(l.lastMinute))
}

// Stats returns a copy of the counters.
func (v *Vendor) Stats() Stats {
	v.mu.Lock()
	defer v.mu.Unlock()
	stats := Stats{
		Requests:   v.requests.all(),
		Ceremonies: v.load.CeremonyStats,
		Wallets:    make(map[string]WalletStats, len(v.wallets)),
	}
	for _, w := range v.wallets {
		promotions := make(map[string]Promotion, len(w.promotions))
		for id, p := range w.promotions {
			promotions[id] = *p
		}
		stats.Wallets[w.id] = WalletStats{Refreshes: w.refreshes, PeakCeremonies: w.peak, Promotions: promotions}
	}
	return stats
}

// counter counts requests by operation.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

func newCounter() *counter { return &counter{counts: make(map[string]int)} }

func (c *counter) add(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[operation]++
}

func (c *counter) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

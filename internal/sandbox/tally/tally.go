package tally

import (
	"maps"
	"sync"
	"time"
)

// Requests counts requests by operation, those that a fault swallowed included.
// It is safe for concurrent use; the zero value is ready.
type Requests struct {
	mu     sync.Mutex
	counts map[string]int
}

// Add counts one.
func (r *Requests) Add(operation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]int)
	}
	r.counts[operation]++
}

// All returns a copy of the counts.
func (r *Requests) All() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]int, len(r.counts))
	maps.Copy(all, r.counts)
	return all
}

// Ceremonies counts over all wallets of a vendor.
type Ceremonies struct {
	Opened        int `json:"opened"`
	Running       int `json:"running"`
	Peak          int `json:"peak"`            // most at the same time
	PeakPerMinute int `json:"peak_per_minute"` // most opened within any 60 s
}

// Load is the running count behind Ceremonies. Whoever holds it guards it.
type Load struct {
	Ceremonies
	lastMinute []time.Time
}

// Open counts a ceremony that begins now.
func (l *Load) Open(now time.Time) {
	l.Opened++
	l.Running++
	l.Peak = max(l.Peak, l.Running)
	l.lastMinute = append(l.lastMinute, now)
	for now.Sub(l.lastMinute[0]) >= time.Minute {
		l.lastMinute = l.lastMinute[1:]
	}
	l.PeakPerMinute = max(l.PeakPerMinute, len(l.lastMinute))
}

// End counts one that ended.
func (l *Load) End() { l.Running-- }

// Promotion counts the calls that asked to make a share set the active one, and
// how often that made it so.
type Promotion struct {
	Calls   int `json:"calls"`
	Effects int `json:"effects"`
}

// Promotions counts by share set. Whoever holds it guards it.
type Promotions map[string]*Promotion

// Of a share set; from zero if it was never named before.
func (p Promotions) Of(shareSet string) *Promotion {
	if p[shareSet] == nil {
		p[shareSet] = &Promotion{}
	}
	return p[shareSet]
}

// All returns a copy.
func (p Promotions) All() map[string]Promotion {
	all := make(map[string]Promotion, len(p))
	for id, promotion := range p {
		all[id] = *promotion
	}
	return all
}

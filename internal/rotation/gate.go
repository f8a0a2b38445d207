package rotation

import (
	"sync"
	"time"
)

// gateMemory is how long a failed commit keeps further promotions away from a
// co-signer. Commits are retried within it, so a co-signer that is still down
// renews it, and one that is back ends it. Without news (another replica has
// the commits in hand) one promotion may then find out for all.
const gateMemory = 15 * time.Second

// gate remembers which co-signers fail to commit (rule 6). Each replica has
// its own: it knows what its own commits met with.
type gate struct {
	mu  sync.Mutex
	bad map[string]*failingSince
}

type failingSince struct{ since, last time.Time }

func newGate() *gate { return &gate{bad: map[string]*failingSince{}} }

func (g *gate) failed(coSigner string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.bad[coSigner]
	if f == nil {
		f = &failingSince{since: time.Now()}
		g.bad[coSigner] = f
	}
	f.last = time.Now()
}

func (g *gate) succeeded(coSigner string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.bad, coSigner)
}

// failing says since when commits at the co-signer fail. Once in gateMemory it
// lets one caller through, whose commit tells the rest.
func (g *gate) failing(coSigner string) (since time.Time, failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.bad[coSigner]
	if f == nil {
		return time.Time{}, false
	}
	if time.Since(f.last) > gateMemory {
		f.last = time.Now()
		return time.Time{}, false
	}
	return f.since, true
}

package rotation

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// closed says which co-signers get no promotions from here now.
func (g *gate) closed() (names []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, f := range g.bad {
		if time.Since(f.last) <= gateMemory {
			names = append(names, name)
		}
	}
	return names
}

// gateMetric shows at each scrape what the gate of the running engine does.
type gateMetric struct {
	desc  *prometheus.Desc
	names []string // start at 0
	gate  atomic.Pointer[gate]
}

func newGateMetric(names []string) *gateMetric {
	return &gateMetric{names: names, desc: prometheus.NewDesc("rotatord_cosigner_circuit_open",
		"Whether this replica promotes nothing through the co-signer, because commits fail there (1), or does (0).",
		[]string{"cosigner"}, nil)}
}

func (m *gateMetric) watch(g *gate) { m.gate.Store(g) }

// Describe implements prometheus.Collector.
func (m *gateMetric) Describe(out chan<- *prometheus.Desc) { out <- m.desc }

// Collect implements prometheus.Collector.
func (m *gateMetric) Collect(out chan<- prometheus.Metric) {
	open := map[string]float64{}
	for _, name := range m.names {
		open[name] = 0
	}
	if g := m.gate.Load(); g != nil {
		for _, name := range g.closed() {
			open[name] = 1
		}
	}
	for name, v := range open {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, v, name)
	}
}

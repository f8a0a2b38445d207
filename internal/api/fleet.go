package api

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/store"
)

// scrapeTimeout bounds the queries of one scrape. It is below Prometheus' own
// default of 10 s, so that a slow database costs these metrics and no others.
const scrapeTimeout = 5 * time.Second

// FleetOptions of NewFleet. All are required.
type FleetOptions struct {
	Store *store.Store
	// Providers and CoSigners are the names in the configuration: their series
	// start at 0.
	Providers, CoSigners []string
	// Results are what a comparison of a wallet may find: their series, too.
	Results []string
	// CoSignerOf is the co-signer of a wallet; named is the wallet's own choice
	// and may be empty.
	CoSignerOf func(provider, named string) string
	Log        *slog.Logger
}

// fleet reads the state of the fleet from the database at each scrape: every
// replica shows the same, and nothing has to be counted twice.
type fleet struct {
	FleetOptions
	errors  prometheus.Counter
	failing atomic.Bool
}

// RegisterFleet registers the metrics that are read from the database at each
// scrape. When that fails they are missing from it, everything else is there,
// and rotatord_fleet_scrape_errors_total and the log say so.
func RegisterFleet(reg prometheus.Registerer, o FleetOptions) error {
	f := &fleet{FleetOptions: o, errors: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "rotatord_fleet_scrape_errors_total",
		Help: "Scrapes that lack the metrics of the fleet, because the database could not be read.",
	})}
	if err := reg.Register(f); err != nil {
		return err
	}
	return reg.Register(f.errors)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rotatord_"+name, help, labels, nil)
}

var (
	inProgress = desc("rotations_in_progress", "Open rotations, by the state they are in. Failed ones are not counted: they wait for a tick or a person.", "provider", "state")
	wallets    = desc("wallets", "Wallets, each in exactly one state; the sum is the fleet. Those without a policy are paused, with an empty policy.", "policy", "state")
	ageMax     = desc("share_age_max_seconds", "Age of the oldest share set that the policy is to replace, by the tick that it satisfied; 0 without wallets.", "policy")
	ageLimit   = desc("share_age_limit_seconds", "The promised max_share_age; missing when the policy promises none.", "policy")
	success    = desc("policy_last_success_timestamp_seconds", "When a cycle of the policy was last completed, as Unix time; 0: never.", "policy")
	nextRun    = desc("policy_next_run_timestamp_seconds", "The next tick of the policy, as Unix time; missing when it is paused, by hand only, or was never valid.", "policy")
	policies   = desc("policies", "Policies by state: active, paused (by a person), or quarantined: their row is refused and the last good version, if any, goes on.", "state")
	cycle      = desc("cycle_wallets", "Wallets of the policy's latest cycle: total when it started, and those that have succeeded and failed.", "policy", "state")
	commits    = desc("commits_pending", "Rotations that the vendor has swapped and the co-signer has not committed; signing may fail for them.", "cosigner")
	circuit    = desc("provider_circuit_open", "Whether the provider's circuit is open (1), on all replicas: no attempt begins there, but for one probe at a time.", "provider")
	oldest     = desc("commit_pending_oldest_timestamp_seconds", "When the oldest of them was swapped, as Unix time; 0: there is none.", "cosigner")
	verified   = desc("history_verified_timestamp_seconds", "When all histories were last verified in the background, whole or broken, as Unix time; 0: never.")
	broken     = desc("history_broken", "Wallets whose history does not verify, by the last verification in the background or so far by the one under way.")
)

var (
	progressStates = []store.State{store.Waiting, store.Opening, store.Ceremony, store.Prepared, store.Promoted}
	cycleStates    = []string{"total", "succeeded", "failed"}
)

// Describe implements prometheus.Collector.
func (f *fleet) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{inProgress, wallets, ageMax, ageLimit, success, nextRun, policies, cycle, commits, circuit, oldest, compared, lastRun, verified, broken} {
		out <- d
	}
}

// Collect implements prometheus.Collector. It sends all or nothing: half a
// fleet looks like a fleet that shrank.
func (f *fleet) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	read, err := f.read(ctx)
	if err != nil {
		f.errors.Inc()
		if !f.failing.Swap(true) {
			f.Log.Error("scrapes lack the metrics of the fleet", "error", err)
		}
		return
	}
	if f.failing.Swap(false) {
		f.Log.Info("scrapes have the metrics of the fleet again")
	}
	f.policies(out, read)
	f.rotations(out, read.open)
	f.commits(out, read.pending)
	f.circuits(out, read.circuits)
	f.compared(out, read.walked)
	gauge(out, verified, unix(read.verified))
	gauge(out, broken, float64(read.broken))
}

// reading is what one scrape found.
type reading struct {
	policies   []store.PolicyFleet
	unassigned int64
	open       []store.OpenCount
	pending    []store.PendingCommits
	circuits   map[string]store.Circuit
	verified   time.Time
	broken     int64
	walked     store.Walked
}

func (f *fleet) read(ctx context.Context) (r reading, err error) {
	if r.policies, err = f.Store.Fleet(ctx); err != nil {
		return r, err
	}
	if r.unassigned, err = f.Store.Unassigned(ctx); err != nil {
		return r, err
	}
	if r.open, err = f.Store.OpenRotations(ctx); err != nil {
		return r, err
	}
	if r.pending, err = f.Store.PendingCommits(ctx); err != nil {
		return r, err
	}
	if r.circuits, err = f.Store.Circuits(ctx); err != nil {
		return r, err
	}
	if r.walked, err = f.Store.Walked(ctx); err != nil {
		return r, err
	}
	r.verified, r.broken, err = f.Store.HistoryVerified(ctx)
	return r, err
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// unix is 0 for a time that never was.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

func (f *fleet) policies(out chan<- prometheus.Metric, r reading) {
	now := f.Store.Now()
	states := map[string]int{"active": 0, "paused": 0, "quarantined": 0}
	for _, p := range r.policies {
		states[policyState(p)]++
		for state, n := range map[string]int64{"fresh": p.Fresh(), "due": p.Due, "overdue": p.Overdue, "in_doubt": p.InDoubt,
			"attention": p.Attention, "paused": p.Paused, "never": p.Never} {
			gauge(out, wallets, float64(n), p.Policy, state)
		}
		age := time.Duration(0)
		if !p.OldestCycleAt.IsZero() {
			age = max(0, now.Sub(p.OldestCycleAt))
		}
		gauge(out, ageMax, age.Seconds(), p.Policy)
		if p.MaxShareAge > 0 {
			gauge(out, ageLimit, p.MaxShareAge.Seconds(), p.Policy)
		}
		gauge(out, success, unix(p.LastSuccess), p.Policy)
		if p.Enabled && !p.NextRun.IsZero() {
			gauge(out, nextRun, unix(p.NextRun), p.Policy)
		}
		for _, state := range cycleStates {
			gauge(out, cycle, float64(p.Cycle[state]), p.Policy, state)
		}
	}
	if r.unassigned > 0 {
		gauge(out, wallets, float64(r.unassigned), "", "paused")
	}
	for state, n := range states {
		gauge(out, policies, float64(n), state)
	}
}

// policyState: a row that is refused is shown as such although it is paused
// too, because somebody thinks it says something else than what runs.
func policyState(p store.PolicyFleet) string {
	switch {
	case !p.Valid:
		return "quarantined"
	case !p.Enabled:
		return "paused"
	}
	return "active"
}

func (f *fleet) rotations(out chan<- prometheus.Metric, open []store.OpenCount) {
	type key struct {
		provider string
		state    store.State
	}
	counts := map[key]int64{}
	for _, p := range f.Providers {
		for _, s := range progressStates {
			counts[key{p, s}] = 0
		}
	}
	for _, o := range open {
		if o.State != store.Failed {
			counts[key{o.Provider, o.State}] = o.Count
		}
	}
	for k, n := range counts {
		gauge(out, inProgress, float64(n), k.provider, string(k.state))
	}
}

func (f *fleet) circuits(out chan<- prometheus.Metric, open map[string]store.Circuit) {
	for _, name := range f.Providers {
		v := 0.0
		if _, is := open[name]; is {
			v = 1
		}
		gauge(out, circuit, v, name)
	}
}

func (f *fleet) commits(out chan<- prometheus.Metric, pending []store.PendingCommits) {
	type waiting struct {
		count  int64
		oldest time.Time
	}
	by := map[string]waiting{}
	for _, c := range f.CoSigners {
		by[c] = waiting{}
	}
	// A co-signer may be the default of several providers, and named as well.
	for _, p := range pending {
		name := f.CoSignerOf(p.Provider, p.CoSigner)
		w := by[name]
		if w.oldest.IsZero() || p.Oldest.Before(w.oldest) {
			w.oldest = p.Oldest
		}
		w.count += p.Count
		by[name] = w
	}
	for name, w := range by {
		gauge(out, commits, float64(w.count), name)
		gauge(out, oldest, unix(w.oldest), name)
	}
}

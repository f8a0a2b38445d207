package scheduler

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Skip says why a due wallet was passed over; it is the value of the label
// reason of rotations_skipped_total.
type Skip string

const (
	SkipPaused       Skip = "paused"
	SkipWindow       Skip = "window"
	SkipLimit        Skip = "limit"
	SkipBreaker      Skip = "breaker"
	SkipBudget       Skip = "budget"
	SkipCanary       Skip = "canary"
	SkipMissedWindow Skip = "missed_window"
)

var skips = []Skip{SkipPaused, SkipWindow, SkipLimit, SkipBreaker, SkipBudget, SkipCanary, SkipMissedWindow}

// Metrics of the scheduler.
type Metrics struct {
	skipped   *prometheus.CounterVec
	lastTick  prometheus.Gauge
	takeovers prometheus.Counter
	skew      prometheus.Gauge
	reloadOK  prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rotatord_rotations_skipped_total",
			Help: "Due wallets that a look passed over, by reason. A wallet that waits is counted again about once a minute.",
		}, []string{"policy", "reason"}),
		lastTick: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rotatord_scheduler_last_tick_timestamp_seconds",
			Help: "When the scheduler last completed a look at all policies, as Unix time.",
		}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rotatord_replica_takeovers_total",
			Help: "Replicas that this one gave up for dead.",
		}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rotatord_db_clock_skew_seconds",
			Help: "How far this machine's clock is ahead of the database's.",
		}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "rotatord_policy_reload_successful",
			Help: "Whether the last reading of the policies succeeded (1) or failed (0).",
		}),
	}
	reg.MustRegister(m.skipped, m.lastTick, m.takeovers, m.skew, m.reloadOK)
	return m
}

// policy starts the counters of a policy at 0.
func (m *Metrics) policy(name string) {
	for _, s := range skips {
		m.skipped.WithLabelValues(name, string(s))
	}
}

func (m *Metrics) skip(policy string, why Skip, n int) {
	if n > 0 {
		m.skipped.WithLabelValues(policy, string(why)).Add(float64(n))
	}
}

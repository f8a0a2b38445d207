package rotation

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// Metrics of rotations. None carries a wallet.
type Metrics struct {
	rotations *prometheus.CounterVec
	failures  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	delay     *prometheus.HistogramVec
	coSigners *gateMetric
}

// NewMetrics registers the metrics, with every reason of every provider and
// every co-signer at 0.
func NewMetrics(reg prometheus.Registerer, providers []string, coSigners ...string) *Metrics {
	m := &Metrics{
		coSigners: newGateMetric(coSigners),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rotatord_rotations_total",
			Help: "Rotations that ended, by result. reconciled: the record followed a share set that was activated without it.",
		}, []string{"provider", "policy", "result", "trigger"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rotatord_rotation_failures_total",
			Help: "Steps of rotations that failed, by reason. Most are retried.",
		}, []string{"provider", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rotatord_rotation_duration_seconds",
			Help:    "Time taken by the phases of a rotation; total is from the claim to the co-signer's commit.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3 * 3600},
		}, []string{"provider", "phase"}),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rotatord_rotation_delay_seconds",
			Help:    "From a tick to the opening of the rotations that satisfy it.",
			Buckets: []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600},
		}, []string{"policy"}),
	}
	reg.MustRegister(m.rotations, m.failures, m.duration, m.delay, m.coSigners)
	for _, p := range providers {
		for _, r := range provider.Reasons {
			m.failures.WithLabelValues(p, string(r))
		}
		for _, phase := range []string{"open", "ceremony", "promote", "commit", "total"} {
			m.duration.WithLabelValues(p, phase)
		}
	}
	return m
}

// Policy starts the counters of a policy at 0.
func (m *Metrics) Policy(provider, policy string) {
	for _, result := range []string{"succeeded", "failed", "aborted", "reconciled"} {
		for _, t := range []store.Trigger{store.Schedule, store.CatchUp, store.Emergency, store.Manual} {
			m.rotations.WithLabelValues(provider, policy, result, string(t))
		}
	}
	m.delay.WithLabelValues(policy)
}

func (m *Metrics) result(r *store.Rotation, result string) {
	m.rotations.WithLabelValues(r.Wallet.Provider, r.Policy, result, string(r.Trigger)).Inc()
}

func (m *Metrics) failure(r *store.Rotation, reason provider.Reason) {
	m.failures.WithLabelValues(r.Wallet.Provider, string(reason)).Inc()
}

func (m *Metrics) phase(r *store.Rotation, phase string, started time.Time) {
	m.duration.WithLabelValues(r.Wallet.Provider, phase).Observe(time.Since(started).Seconds())
}

// begun is told of the first attempt of a rotation.
func (m *Metrics) begun(r *store.Rotation) {
	if r.Trigger == store.Schedule || r.Trigger == store.CatchUp {
		m.delay.WithLabelValues(r.Policy).Observe(r.OpenedAt.Sub(r.Tick).Seconds())
	}
}

func (m *Metrics) succeeded(r *store.Rotation, now time.Time) {
	m.result(r, "succeeded")
	m.duration.WithLabelValues(r.Wallet.Provider, "total").Observe(now.Sub(r.ClaimedAt).Seconds())
}

package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestMetrics count what is sent to vendors.
type requestMetrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newRequestMetrics(reg prometheus.Registerer) *requestMetrics {
	m := &requestMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rotatord_provider_requests_total",
			Help: "Requests sent to a vendor, by the status of the answer, or timeout or network where there was none.",
		}, []string{"provider", "operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rotatord_provider_request_duration_seconds",
			Help:    "Time that a vendor took to answer; for a ceremony, until its first event.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"provider", "operation"}),
	}
	reg.MustRegister(m.requests, m.duration)
	return m
}

// troubles are the codes that alerts look for; others appear when they happen.
var troubles = []string{"401", "403", "429", "500", "502", "503", "timeout", "network"}

// observer counts the requests of one provider, each of its operations from 0.
// It is nil when nobody counts.
func (m *requestMetrics) observer(provider string, operations []string) func(operation, code string, d time.Duration) {
	if m == nil {
		return nil
	}
	for _, operation := range operations {
		m.duration.WithLabelValues(provider, operation)
		for _, code := range troubles {
			m.requests.WithLabelValues(provider, operation, code)
		}
	}
	return func(operation, code string, d time.Duration) {
		m.requests.WithLabelValues(provider, operation, code).Inc()
		m.duration.WithLabelValues(provider, operation).Observe(d.Seconds())
	}
}

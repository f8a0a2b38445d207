package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/store"
)

var (
	compared = desc("reconcile_wallets", "Wallets by what the last complete comparison of all of them in the background found.", "provider", "result")
	lastRun  = desc("reconcile_last_run_timestamp_seconds", "When that comparison came to its end, as Unix time; 0: never.")
)

func (f *fleet) compared(out chan<- prometheus.Metric, w store.Walked) {
	counts := store.Counts{}
	for _, provider := range f.Providers {
		for _, result := range f.Results {
			counts.Add(provider, result, 0)
		}
	}
	for provider, by := range w.Results {
		for result, n := range by {
			counts.Add(provider, result, n)
		}
	}
	for provider, by := range counts {
		for result, n := range by {
			gauge(out, compared, float64(n), provider, result)
		}
	}
	gauge(out, lastRun, unix(w.CompletedAt))
}

package app

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

// fixedMetrics are the names and labels that dashboards, alerts and people rely
// on: the list of the design, section 9. Changing one breaks somebody.
var fixedMetrics = map[string]string{
	"build_info":                              "branch goarch goos goversion revision tags version",
	"rotations_total":                         "policy provider result trigger",
	"rotation_failures_total":                 "provider reason",
	"rotation_duration_seconds":               "phase provider",
	"rotation_delay_seconds":                  "policy",
	"rotations_skipped_total":                 "policy reason",
	"rotations_in_progress":                   "provider state",
	"wallets":                                 "policy state",
	"share_age_max_seconds":                   "policy",
	"share_age_limit_seconds":                 "policy",
	"policy_last_success_timestamp_seconds":   "policy",
	"policy_next_run_timestamp_seconds":       "policy",
	"policies":                                "state",
	"policy_reload_successful":                "",
	"cycle_wallets":                           "policy state",
	"provider_requests_total":                 "code operation provider",
	"provider_request_duration_seconds":       "operation provider",
	"provider_circuit_open":                   "provider",
	"cosigner_circuit_open":                   "cosigner",
	"commits_pending":                         "cosigner",
	"commit_pending_oldest_timestamp_seconds": "cosigner",
	"scheduler_last_tick_timestamp_seconds":   "",
	"replica_takeovers_total":                 "",
	"history_verified_timestamp_seconds":      "",
	"db_clock_skew_seconds":                   "",
}

// furtherMetrics are ours beyond the list.
var furtherMetrics = map[string]string{"fleet_scrape_errors_total": "", "history_broken": "",
	"reconcile_wallets": "provider result", "reconcile_last_run_timestamp_seconds": "", "webhooks_total": "provider result"}

// gather runs a daemon until it has rotated, and returns what it shows.
func gather(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	r := newRig(t, 2).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule, max_share_age) VALUES ('treasury', '@every 1s', '1 hour')`)
	r.enrol("treasury")
	eventually(t, "rotations succeed", func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > 0 })
	eventually(t, "the next run is announced", func() bool {
		return ask[bool](r, `SELECT cardinality(next_runs) > 0 FROM policy_status`)
	})
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestMetrics(t *testing.T) {
	families := gather(t)

	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "rotatord_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}

	got := map[string]string{}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "rotatord_")
		if !ours {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName())
				if strings.Contains(l.GetName(), "wallet") || l.GetName() == "external_id" || l.GetName() == "address" {
					t.Errorf("%s has the label %s: a fleet of millions would break Prometheus", name, l.GetName())
				}
			}
			got[name] = strings.Join(labels, " ")
		}
	}
	want := maps.Clone(fixedMetrics)
	maps.Copy(want, furtherMetrics)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if labels, ok := got[name]; !ok || labels != want[name] {
			t.Errorf("rotatord_%s has the labels %q (there: %v), want %q", name, labels, ok, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("rotatord_%s is not on any list: add it to the design, or to furtherMetrics", name)
		}
	}
}

// TestKnownValuesStartAtZero: an alert on an increase sees the first one.
func TestKnownValuesStartAtZero(t *testing.T) {
	want := map[string][]string{
		"rotations_total":                   {"aborted dynamic emergency treasury", "failed dynamic schedule treasury", "manual reconciled dynamic treasury", "catchup dynamic succeeded treasury"},
		"rotation_failures_total":           {"auth dynamic", "cosigner dynamic", "internal dynamic", "invalid_state dynamic", "party_unavailable dynamic", "provider_error dynamic", "rate_limited dynamic", "timeout dynamic", "verification dynamic"},
		"rotations_skipped_total":           {"breaker treasury", "budget treasury", "canary treasury", "limit treasury", "missed_window treasury", "paused treasury", "treasury window"},
		"provider_requests_total":           {"429 dynamic refresh", "dynamic network wallet", "dynamic locations timeout", "401 authenticate dynamic", "503 dynamic locations", "429 cobo upgrade_group", "cobo delete_group timeout"},
		"provider_request_duration_seconds": {"authenticate dynamic", "dynamic locations", "dynamic refresh", "dynamic wallet"},
		"rotation_duration_seconds":         {"ceremony dynamic", "commit dynamic", "dynamic open", "dynamic promote", "dynamic total"},
		"rotation_delay_seconds":            {"treasury"},
		"commits_pending":                   {"vault"},
		"reconcile_wallets":                 {"agree cobo", "drift dynamic", "dynamic reconcilable", "cobo unreachable"},
		"webhooks_total":                    {"accepted cobo", "cobo failed", "cobo refused", "cobo repeated"},
	}
	got := map[string]map[string]bool{}
	for _, f := range gather(t) {
		series := map[string]bool{}
		for _, m := range f.Metric {
			var values []string
			for _, l := range m.Label {
				values = append(values, l.GetValue())
			}
			slices.Sort(values)
			series[strings.Join(values, " ")] = true
		}
		got[strings.TrimPrefix(f.GetName(), "rotatord_")] = series
	}
	for name, all := range want {
		for _, values := range all {
			sorted := strings.Fields(values)
			slices.Sort(sorted)
			if !got[name][strings.Join(sorted, " ")] {
				t.Errorf("rotatord_%s has no series with %q", name, values)
			}
		}
	}
}

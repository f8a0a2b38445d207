package rotation

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// count adds up a counter, or the observations of a histogram, over all
// series that have the labels (name, value, name, value, …).
func (r *rig) count(t *testing.T, metric string, labels ...string) (sum float64) {
	t.Helper()
	families, err := r.registry.Gather()
	r.must(err)
	for _, f := range families {
		if f.GetName() != metric {
			continue
		}
		for _, m := range f.GetMetric() {
			if has(m, labels) {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(labels); i += 2 {
		if have[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

func TestMetricsAreClean(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg, []string{"dynamic"})
	m.Policy("dynamic", "treasury")
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			series[f.GetName()]++
			if s.GetCounter().GetValue() != 0 || s.GetHistogram().GetSampleCount() != 0 {
				t.Errorf("%s does not start at 0: %v", f.GetName(), s)
			}
			for _, l := range s.GetLabel() {
				if strings.Contains(l.GetName(), "wallet") {
					t.Errorf("%s has label %s", f.GetName(), l.GetName())
				}
			}
		}
	}
	for name, want := range map[string]int{
		"rotatord_rotations_total":           4 * 4, // results by triggers
		"rotatord_rotation_failures_total":   len(provider.Reasons),
		"rotatord_rotation_duration_seconds": 5, // phases
		"rotatord_rotation_delay_seconds":    1,
	} {
		if series[name] != want {
			t.Errorf("%s starts with %d series, want %d", name, series[name], want)
		}
	}
}

func TestMetricsTellTheStory(t *testing.T) {
	r := newRig(t, sandbox.Options{})
	x := r.replica()
	r.breaks(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1},
		faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 504, Times: 1},
		faults.Fault{Operation: "dynamic.locations", Kind: faults.LostRequest, Times: 1},
		faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503, Times: 1})
	x.claim()
	x.settled()
	r.mended()
	r.byHand(hand{swap: true, commit: true})
	x.claim()
	x.settled()
	r.healthy()
	const (
		rotations = "rotatord_rotations_total"
		failures  = "rotatord_rotation_failures_total"
		duration  = "rotatord_rotation_duration_seconds"
	)
	for _, tt := range []struct {
		metric string
		labels []string
		want   float64
	}{
		{rotations, []string{"result", "succeeded", "trigger", "schedule", "policy", "treasury", "provider", "dynamic"}, 2},
		{rotations, []string{"result", "reconciled"}, 1},
		{rotations, nil, 3},
		{failures, []string{"reason", "timeout"}, 1},        // the look
		{failures, []string{"reason", "provider_error"}, 2}, // the room, and the swap of unknown outcome
		{failures, []string{"reason", "cosigner"}, 1},       // the commit
		{failures, nil, 4},
		{duration, []string{"phase", "open"}, 3},
		{duration, []string{"phase", "ceremony"}, 2},
		{duration, []string{"phase", "commit"}, 2},
		{duration, []string{"phase", "total"}, 2},
		{"rotatord_rotation_delay_seconds", []string{"policy", "treasury"}, 2},
	} {
		if got := r.count(t, tt.metric, tt.labels...); got != tt.want {
			t.Errorf("%s%v is %v, want %v", tt.metric, tt.labels, got, tt.want)
		}
	}
}

// The co-signers that get no promotions from this replica show as open, those of
// the configuration from the start.
func TestCoSignerCircuitMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := NewMetrics(reg, nil, "lisbon", "porto")
		want := func(lisbon, porto int) {
			t.Helper()
			if err := testutil.GatherAndCompare(reg, strings.NewReader(fmt.Sprintf(`
# HELP rotatord_cosigner_circuit_open Whether this replica promotes nothing through the co-signer, because commits fail there (1), or does (0).
# TYPE rotatord_cosigner_circuit_open gauge
rotatord_cosigner_circuit_open{cosigner="lisbon"} %d
rotatord_cosigner_circuit_open{cosigner="porto"} %d
`, lisbon, porto)), "rotatord_cosigner_circuit_open"); err != nil {
				t.Error(err)
			}
		}
		want(0, 0)
		g := newGate()
		m.coSigners.watch(g)
		g.failed("porto")
		want(0, 1)
		pause(t.Context(), gateMemory+time.Second) // without news one may find out
		want(0, 0)
		g.failed("porto")
		g.failed("lisbon")
		want(1, 1)
		g.succeeded("porto")
		want(1, 0)
	})
}

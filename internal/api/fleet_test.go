package api

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/store"
)

// scene is a database with a fleet in it, and a site that shows it.
type scene struct {
	*site
	admin *pgx.Conn
}

func newScene(t *testing.T) *scene {
	t.Helper()
	dsn := pgtest.New(t)
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close(context.Background()) })
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", "rotatord_app") // a right that is missing fails here
	u.RawQuery = q.Encode()
	s, err := store.Open(t.Context(), store.Options{DSN: u.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	site := newSite(t, func(o *Options) {
		o.Ready = s.Ready
		if err := RegisterFleet(o.Registry, FleetOptions{
			Store: s, Providers: []string{"dynamic"}, CoSigners: []string{"vault", "spare"}, Results: []string{"agree", "drift"}, Log: slog.New(slog.DiscardHandler),
			CoSignerOf: func(_, named string) string {
				if named != "" {
					return named
				}
				return "vault"
			},
		}); err != nil {
			t.Fatal(err)
		}
		o.Registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "rotatord_something_else", Help: "Of another package."}))
	})
	return &scene{site, admin}
}

func (s *scene) exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.admin.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// scrape reads /metrics as Prometheus would: each series by its text.
func (s *scene) scrape() map[string]float64 {
	s.t.Helper()
	r := s.get("/metrics")
	if r.status != 200 {
		s.t.Fatalf("scraping: %d %s", r.status, r.body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(r.body))
	if err != nil {
		s.t.Fatal(err)
	}
	series := map[string]float64{}
	for name, family := range families {
		for _, m := range family.Metric {
			labels := []string{}
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			series[name+"{"+strings.Join(labels, ",")+"}"] = value(m)
		}
	}
	return series
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.GetUntyped().GetValue()
}

func (s *scene) want(want map[string]float64) {
	s.t.Helper()
	got := s.scrape()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok || v != want[name] {
			s.t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want[name])
		}
	}
}

// A circuit shows as open until a success has closed it, its pause over or not;
// failures that have not opened it do not show.
func TestCircuitMetric(t *testing.T) {
	s := newScene(t)
	s.want(map[string]float64{"rotatord_provider_circuit_open{dynamic}": 0})
	s.exec(`INSERT INTO provider_state (provider, failures) VALUES ('dynamic', 4)`)
	s.want(map[string]float64{"rotatord_provider_circuit_open{dynamic}": 0})
	s.exec(`UPDATE provider_state SET failures = 0, openings = 1, opened_at = now(), open_until = now() - interval '1 minute'`)
	s.want(map[string]float64{"rotatord_provider_circuit_open{dynamic}": 1})
	s.exec(`UPDATE provider_state SET openings = 0, opened_at = NULL, open_until = NULL`)
	s.want(map[string]float64{"rotatord_provider_circuit_open{dynamic}": 0})
}

// TestEmptyFleetStartsAtZero: an alert must be able to tell "none" from "not
// measured".
func TestEmptyFleetStartsAtZero(t *testing.T) {
	s := newScene(t)
	want := map[string]float64{
		"rotatord_policies{active}": 0, "rotatord_policies{paused}": 0, "rotatord_policies{quarantined}": 0,
		"rotatord_commits_pending{vault}": 0, "rotatord_commits_pending{spare}": 0,
		"rotatord_commit_pending_oldest_timestamp_seconds{vault}": 0,
		"rotatord_reconcile_wallets{dynamic,agree}":               0,
		"rotatord_reconcile_wallets{dynamic,drift}":               0,
		"rotatord_reconcile_last_run_timestamp_seconds{}":         0,
		"rotatord_fleet_scrape_errors_total{}":                    0,
	}
	for _, state := range []string{"waiting", "opening", "ceremony", "prepared", "promoted"} {
		want["rotatord_rotations_in_progress{dynamic,"+state+"}"] = 0
	}
	s.want(want)

	s.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@daily')`)
	want = map[string]float64{"rotatord_policies{quarantined}": 1, // nobody has looked at it yet
		"rotatord_share_age_max_seconds{treasury}": 0, "rotatord_policy_last_success_timestamp_seconds{treasury}": 0}
	for _, state := range []string{"fresh", "due", "overdue", "in_doubt", "attention", "paused", "never"} {
		want["rotatord_wallets{treasury,"+state+"}"] = 0
	}
	for _, state := range []string{"total", "succeeded", "failed"} {
		want["rotatord_cycle_wallets{treasury,"+state+"}"] = 0
	}
	s.want(want)
	for _, absent := range []string{"rotatord_share_age_limit_seconds{treasury}", "rotatord_policy_next_run_timestamp_seconds{treasury}"} {
		if v, ok := s.scrape()[absent]; ok {
			t.Errorf("%s is %v, want it missing: there is nothing to compare with", absent, v)
		}
	}
}

// TestFleet puts wallets into every state; each is in exactly one.
func TestFleet(t *testing.T) {
	s := newScene(t)
	s.exec(`INSERT INTO rotation_policies (name, schedule, max_share_age) VALUES ('treasury', '@daily', '30 days'), ('cold', '@daily', NULL)`)
	s.exec(`UPDATE rotation_policies SET paused_reason = 'audit' WHERE name = 'cold'`)
	s.exec(`UPDATE policy_state SET valid = true, running_version = 1, judged_version = 1, tick = '2026-03-01T00:00:00Z',
		next_runs = ARRAY['2036-03-02T00:00:00Z'::timestamptz]`)
	s.exec(`INSERT INTO wallets (provider, external_id, policy_id)
		SELECT 'dynamic', 'w' || n, (SELECT id FROM rotation_policies WHERE name = 'treasury') FROM generate_series(1, 10) n`)
	s.exec(`INSERT INTO wallets (provider, external_id, policy_id)
		SELECT 'dynamic', 'c' || n, (SELECT id FROM rotation_policies WHERE name = 'cold') FROM generate_series(1, 2) n`)
	s.exec(`INSERT INTO wallets (provider, external_id) VALUES ('dynamic', 'stray')`)
	s.exec(`UPDATE wallets SET paused_reason = 'lost device' WHERE external_id = 'w1'`)
	// w2 never rotated, w3 to w6 fresh, w7 due for the tick, w8 overdue.
	s.exec(`UPDATE wallet_state s SET generation = 3, eligible_after = '2020-01-01', cycle_at = CASE w.external_id
			WHEN 'w7' THEN now() - interval '20 days' WHEN 'w8' THEN now() - interval '31 days' ELSE now() END
		FROM wallets w WHERE w.id = s.wallet_id AND w.external_id ~ '^w([3-9]|10)$'`)
	s.exec(`UPDATE policy_state SET tick = now() - interval '10 days' WHERE policy_id = (SELECT id FROM rotation_policies WHERE name = 'treasury')`)
	open := func(wallet, state, rest string) {
		s.exec(`INSERT INTO rotations (wallet_id, rotation_id, attempt_id, policy_id, tick, trigger, claimed_at, old_share_set)
			SELECT id, gen_random_uuid(), gen_random_uuid(), policy_id, now(), 'schedule', now(), 'old' FROM wallets WHERE external_id = $1`, wallet)
		for _, step := range []string{"opening", "ceremony", "prepared", "promoted"} {
			if state == "waiting" {
				break
			}
			s.exec(`UPDATE rotations SET state = $2, pending_share_set = CASE WHEN $2 = 'opening' THEN NULL ELSE 'new' END
				WHERE wallet_id = (SELECT id FROM wallets WHERE external_id = $1)`, wallet, step)
			if step == state {
				break
			}
		}
		s.exec(`UPDATE rotations SET `+rest+` WHERE wallet_id = (SELECT id FROM wallets WHERE external_id = $1)`, wallet)
	}
	open("w7", "ceremony", `next_check = now()`)
	open("w9", "prepared", `in_doubt_since = now()`)
	open("w10", "promoted", `attention = 'commit_pending', attention_since = now(), promoted_at = '2026-03-01T12:00:00Z'`)
	s.exec(`UPDATE wallets SET cosigner = 'spare' WHERE external_id = 'w10'`)

	s.want(map[string]float64{
		"rotatord_wallets{treasury,paused}": 1, "rotatord_wallets{treasury,never}": 1, "rotatord_wallets{treasury,fresh}": 4,
		"rotatord_wallets{treasury,due}": 1, "rotatord_wallets{treasury,overdue}": 1,
		"rotatord_wallets{treasury,in_doubt}": 1, "rotatord_wallets{treasury,attention}": 1,
		"rotatord_wallets{cold,paused}": 2, "rotatord_wallets{cold,never}": 0, "rotatord_wallets{,paused}": 1,
		"rotatord_rotations_in_progress{dynamic,waiting}": 0, "rotatord_rotations_in_progress{dynamic,ceremony}": 1,
		"rotatord_rotations_in_progress{dynamic,prepared}": 1, "rotatord_rotations_in_progress{dynamic,promoted}": 1,
		"rotatord_share_age_limit_seconds{treasury}": 30 * 86400,
		"rotatord_policies{active}":                  1, "rotatord_policies{quarantined}": 0, "rotatord_policies{paused}": 1,
		"rotatord_policy_next_run_timestamp_seconds{treasury}":    2088028800,
		"rotatord_commits_pending{vault}":                         0,
		"rotatord_commits_pending{spare}":                         1,
		"rotatord_commit_pending_oldest_timestamp_seconds{spare}": 1772366400,
	})
	got := s.scrape()
	var fleet float64
	for name, v := range got {
		if strings.HasPrefix(name, "rotatord_wallets{") {
			fleet += v
		}
	}
	if fleet != 13 {
		t.Errorf("the states sum up to %v wallets, want the 13 there are", fleet)
	}
	if age := got["rotatord_share_age_max_seconds{treasury}"]; age < 31*86400 || age > 31*86400+600 {
		t.Errorf("the oldest share set is %v seconds old, want 31 days", age)
	}
	if v, ok := got["rotatord_policy_next_run_timestamp_seconds{cold}"]; ok {
		t.Errorf("a paused policy announces a run at %v", v)
	}
}

// TestFailedScrapeBreaksNothingElse: the fleet is missing, the rest is there,
// and a counter says so.
func TestFailedScrapeBreaksNothingElse(t *testing.T) {
	s := newScene(t)
	s.exec(`ALTER TABLE rotations RENAME TO rotations_away`)
	s.scrape() // its own failure shows in the next one at the latest
	got := s.scrape()
	if got["rotatord_fleet_scrape_errors_total{}"] < 1 {
		t.Error("the error is not counted")
	}
	if _, ok := got["rotatord_something_else{}"]; !ok {
		t.Error("the metrics of others are gone")
	}
	for name := range got {
		if strings.HasPrefix(name, "rotatord_policies") || strings.HasPrefix(name, "rotatord_wallets") {
			t.Errorf("%s is there although the fleet could not be read as a whole", name)
		}
	}
	s.exec(`ALTER TABLE rotations_away RENAME TO rotations`)
	s.want(map[string]float64{"rotatord_policies{active}": 0})
}

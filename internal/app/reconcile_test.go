package app

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// backup is a copy of the database as it is now. The daemon must be stopped.
func (r *rig) backup() (dsn string) {
	r.t.Helper()
	u, err := url.Parse(r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	server := *u
	server.Path = "/postgres"
	exec := func(sql string) {
		r.t.Helper()
		conn, err := pgx.Connect(context.Background(), server.String())
		if err != nil {
			r.t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			r.t.Errorf("%s: %v", sql, err)
		}
	}
	r.people.Close(r.t.Context()) // a database that is in use cannot be copied
	exec(`CREATE DATABASE "` + name + `_backup" TEMPLATE "` + name + `"`)
	r.t.Cleanup(func() { exec(`DROP DATABASE "` + name + `_backup" WITH (FORCE)`) })
	r.work(r.dsn)
	u.Path += "_backup"
	return u.String()
}

// work makes a database the one that daemon and people work with.
func (r *rig) work(dsn string) {
	r.t.Helper()
	r.dsn = dsn
	r.cfg.Database.URL, r.cfg.Database.MigrateURL = config.NewSecret(login(r.t, dsn, "rotatord_app")), config.NewSecret(dsn)
	var err error
	if r.people, err = pgx.Connect(r.t.Context(), login(r.t, dsn, "rotatord_operator")); err != nil {
		r.t.Fatal(err)
	}
	people := r.people
	r.t.Cleanup(func() { people.Close(context.Background()) })
}

// rotateAll has every wallet rotate once more, and waits for the last clean-up.
func (r *rig) rotateAll() {
	r.t.Helper()
	before := ask[int64](r, `SELECT min(generation) FROM wallet_status`)
	r.exec(`INSERT INTO rotation_requests (action, policy_id) SELECT 'run_policy', id FROM rotation_policies`)
	eventually(r.t, "every wallet rotates once more", func() bool {
		if n := ask[int64](r, `SELECT count(*) FROM attention`); n > 0 {
			r.t.Fatalf("%d wallets wait for a person: %s", n, ask[string](r, `SELECT string_agg(reason || ' ' || detail, '; ') FROM attention`))
		}
		return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > before &&
			ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state IS NOT NULL`) == 0
	})
	eventually(r.t, "the old groups are deleted", func() bool {
		for _, w := range r.sandbox.State() {
			if w.Retiring {
				return false
			}
		}
		return true
	})
}

// restored is a rig with wallets and vaults that were rotated once, then twice
// more, and a database that knows of the first time alone.
func restored(t *testing.T) *rig {
	t.Helper()
	r := newRigWith(t, sandbox.Options{Wallets: 4, Vaults: 3, CoboPace: 20 * time.Millisecond}).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', null)`)
	r.enrol("treasury")
	r.rotateAll()
	r.stop()
	old := r.backup()
	r.start()
	r.rotateAll()
	r.rotateAll()
	r.stop()
	r.work(old)
	return r
}

// reconcile runs the command's part, and returns what it said of each wallet.
func (r *rig) reconcile(o ReconcileOptions) (sum *Reconciliation, first, again []rotation.Comparison) {
	r.t.Helper()
	o.Found = func(second bool, page []rotation.Comparison) error {
		if second {
			again = append(again, page...)
		} else {
			first = append(first, page...)
		}
		return nil
	}
	sum, err := Reconcile(r.t.Context(), r.cfg, o)
	if err != nil {
		r.t.Fatal(err)
	}
	return sum, first, again
}

func (r *rig) wantResults(sum *Reconciliation, want store.Counts) {
	r.t.Helper()
	for provider, by := range want {
		for _, result := range rotation.Results {
			if got := sum.Results[provider][string(result)]; got != by[string(result)] {
				r.t.Errorf("%s: %d wallets %s, want %d", provider, got, result, by[string(result)])
			}
		}
	}
}

// TestReconcileAfterARestore: before a daemon runs it is seen what differs, and
// requests can be left for it; then every wallet is on record as it is, signs,
// and rotates.
func TestReconcileAfterARestore(t *testing.T) {
	t.Parallel()
	r := restored(t)
	before := r.sandbox.State()
	sum, _, _ := r.reconcile(ReconcileOptions{})
	r.wantResults(sum, store.Counts{"dynamic": {"reconcilable": 4}, "cobo": {"reconcilable": 3}})
	if sum.Differ != 7 || sum.Wallets != 7 || sum.Requests != 0 || sum.Next != 0 {
		t.Errorf("%+v", sum)
	}
	if n := ask[int64](r, `SELECT count(*) FROM rotation_requests WHERE action = 'reconcile'`); n != 0 {
		t.Errorf("%d requests were made without being asked to", n)
	}
	sum, _, _ = r.reconcile(ReconcileOptions{Apply: true, Actor: "alice", Reason: "restored"})
	if sum.Requests != 7 {
		t.Errorf("%+v", sum)
	}
	r.exec(`UPDATE rotation_control SET paused = true, reason = 'restored'`)
	r.start()
	eventually(t, "the record follows", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'reconciled' AND actor = 'alice'`) == 7
	})
	eventually(t, "nothing is open", func() bool {
		return ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state IS NOT NULL`) == 0
	})
	sum, _, _ = r.reconcile(ReconcileOptions{})
	r.wantResults(sum, store.Counts{"dynamic": {"agree": 4}, "cobo": {"agree": 3}})
	r.wantAgreement()
	for i, w := range r.sandbox.State() {
		if w.Generation != before[i].Generation || w.ActiveShareSet != before[i].ActiveShareSet {
			t.Errorf("wallet %s was rotated: %+v", w.ID, w)
		}
	}
	r.exec(`UPDATE rotation_control SET paused = false`)
	r.rotateAll()
	r.stop()
	r.wantAgreement()
	s, err := store.Open(t.Context(), store.Options{DSN: r.cfg.Database.URL.Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for id := range int64(7) {
		if err := s.VerifyWallet(t.Context(), id+1); err != nil {
			t.Error(err)
		}
	}
}

// TestReconcileWaits for a daemon that runs, and says what has become of the
// wallets, those of one policy, provider or id alone.
func TestReconcileWaits(t *testing.T) {
	t.Parallel()
	r := restored(t)
	r.start()
	o := ReconcileOptions{Apply: true, Actor: "alice", Reason: "restored", Wait: patience}
	one := o
	one.WalletID = 1
	sum, first, again := r.reconcile(one)
	if len(first) != 1 || len(again) != 1 || first[0].Result != rotation.Reconcilable || again[0].Result != rotation.Agree || sum.Differ != 0 || sum.Open != 0 {
		t.Errorf("%+v, %+v, then %+v", sum, first, again)
	}
	vaults := o
	vaults.Provider, vaults.Policy = "cobo", "treasury"
	sum, first, again = r.reconcile(vaults)
	r.wantResults(sum, store.Counts{"cobo": {"agree": 3}})
	if len(first) != 3 || len(again) != 3 {
		t.Errorf("%+v, then %+v", first, again)
	}
	rest := o
	rest.From = 2
	sum, first, _ = r.reconcile(rest)
	r.wantResults(sum, store.Counts{"dynamic": {"agree": 3}, "cobo": {"agree": 3}})
	if len(first) != 6 || sum.Requests != 3 {
		t.Errorf("%+v, %+v", sum, first)
	}
	r.stop()
	r.wantAgreement()

	for name, c := range map[string]struct {
		o    ReconcileOptions
		want error
	}{
		"no such provider": {ReconcileOptions{Provider: "none"}, ErrNoProvider},
		"no such policy":   {ReconcileOptions{Policy: "none"}, store.ErrNoPolicy},
		"no such wallet":   {ReconcileOptions{WalletID: 99}, ErrNoWallet},
		"not of it":        {ReconcileOptions{WalletID: 1, Provider: "cobo"}, ErrNoWallet},
	} {
		c.o.Found = func(bool, []rotation.Comparison) error { return nil }
		if _, err := Reconcile(t.Context(), r.cfg, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReconcileByItself: two daemons on a restored database do it without
// anybody, once, and show it.
func TestReconcileByItself(t *testing.T) {
	t.Parallel()
	r := restored(t)
	r.cfg.Reconcile = config.Reconcile{Schedule: "@every 24h", LimitShare: 100}
	people, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer people.Close(context.Background())
	// The backup is from before the last tick.
	if _, err := people.Exec(t.Context(), `UPDATE reconcile_state SET tick = '2026-01-01'`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	second, err := New(ctx, r.cfg, Options{Version: "test", Log: slog.New(slog.NewJSONHandler(r.log, nil)), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	r.start()
	eventually(t, "the record follows", func() bool {
		return ask[int64](r, `SELECT count(*) FROM share_set_history WHERE outcome = 'reconciled' AND actor = 'rotatord'`) == 7 &&
			ask[int64](r, `SELECT count(*) FROM wallet_status WHERE rotation_state IS NOT NULL`) == 0
	})
	eventually(t, "it is over", func() bool { return ask[bool](r, `SELECT completed_at IS NOT NULL FROM reconcile_state`) })
	if n := ask[int64](r, `SELECT count(*) FROM rotation_requests WHERE action = 'reconcile'`); n != 7 {
		t.Errorf("%d requests were made, want one for each wallet", n)
	}
	_, body := r.get("/metrics")
	for _, want := range []string{`rotatord_reconcile_wallets{provider="dynamic",result="reconcilable"} 4`, `rotatord_reconcile_wallets{provider="cobo",result="reconcilable"} 3`,
		`rotatord_reconcile_wallets{provider="cobo",result="agree"} 0`} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if n := strings.Count(r.log.String(), `"all wallets compared"`); n != 1 {
		t.Errorf("they were compared %d times", n)
	}
	r.stop()
	r.wantAgreement()
}

// TestReconcileOfASilentVendor says so, and asks nothing of anybody.
func TestReconcileOfASilentVendor(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, sandbox.Options{Wallets: 2, Vaults: 2, CoboPace: 20 * time.Millisecond}).start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', null)`)
	r.enrol("treasury")
	sum, _, _ := r.reconcile(ReconcileOptions{})
	r.wantResults(sum, store.Counts{"dynamic": {"no_baseline": 2}, "cobo": {"no_baseline": 2}})
	r.rotateAll()
	r.fault(faults.Fault{Operation: "dynamic.wallet", Kind: faults.Status, Status: 503})
	sum, _, _ = r.reconcile(ReconcileOptions{Apply: true, Actor: "alice", Reason: "why not"})
	r.wantResults(sum, store.Counts{"dynamic": {"unreachable": 2}, "cobo": {"agree": 2}})
	if sum.Differ != 2 || sum.Requests != 0 {
		t.Errorf("%+v", sum)
	}
}

// TestLooksPerSecond holds config.example.yaml to its word.
func TestLooksPerSecond(t *testing.T) {
	documented := []config.RateLimit{{Requests: 60, Per: 10 * time.Second}, {Requests: 250, Per: time.Minute}, {Requests: 500, Per: 5 * time.Minute}}
	for name, c := range map[string]struct {
		p     config.Provider
		share int
		want  float64 // a minute
	}{
		"a quarter of Dynamic's": {config.Provider{Dynamic: &config.Dynamic{RateLimits: documented}}, 25, 12.5},
		"a quarter of Cobo's":    {config.Provider{Cobo: &config.Cobo{RateLimits: []config.RateLimit{{Requests: 600, Per: time.Minute}}}}, 25, 75},
		"no limit":               {config.Provider{Cobo: &config.Cobo{}}, 25, 600},
	} {
		if got := looksPerSecond(c.p, c.share) * 60; got < c.want-.001 || got > c.want+.001 {
			t.Errorf("%s: %v looks a minute, want %v", name, got, c.want)
		}
	}
}

func TestReconcileScheduleIsChecked(t *testing.T) {
	r := newRig(t, 1)
	r.cfg.Reconcile.Schedule = "0 0 30 2 *"
	if err := Check(r.cfg); err == nil || !strings.Contains(err.Error(), "reconcile.schedule: ") {
		t.Errorf("checking gives %v", err)
	}
	if _, err := New(t.Context(), r.cfg, Options{}); err == nil || !strings.Contains(err.Error(), "reconcile.schedule: ") {
		t.Errorf("starting gives %v", err)
	}
}

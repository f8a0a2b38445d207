package rotation

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// patience is far above what anything here takes.
const patience = 20 * time.Second

// rig is the whole world of a rotation: a real database, the sandbox with its
// co-signer, and engines that work under registered epochs.
type rig struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	info    sandbox.Info
	db      *pgx.Conn
	store   *store.Store
	options Options
	// wrap stands between the engine and the real provider, to see or change
	// what passes.
	policyID int32
}

func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	if o.Wallets == 0 {
		o.Wallets = 1
	}
	o.CeremonyTimeout = 2 * time.Second
	r := &rig{t: t}
	var err error
	if r.sandbox, err = sandbox.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	url, err := r.sandbox.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.info = r.sandbox.Info(url)
	dsn := pgtest.New(t)
	if r.db, err = pgx.Connect(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close(context.Background()) })
	if r.store, err = store.Open(t.Context(), store.Options{DSN: dsn}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.store.Close)

	vendor, err := dynamic.New(dynamic.Options{Name: "dynamic", BaseURL: r.info.Dynamic.BaseURL,
		EnvironmentID: r.info.Dynamic.EnvironmentID, APIToken: func() (string, error) { return r.info.Dynamic.APIToken, nil },
		Auth: dynamic.AuthTokenExchange, RateLimits: []dynamic.RateLimit{}, CallTimeout: 2 * time.Second, CeremonyTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := any(vendor).(interface{ Close() }); ok {
		t.Cleanup(c.Close)
	}
	signer, err := cosigner.New(cosigner.Options{Name: "default", URL: r.info.Cosigner.URL, Timeout: 2 * time.Second,
		Token: func() string { return r.info.Cosigner.Token }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(signer.Close)
	r.options = Options{
		Store:     r.store,
		Providers: map[string]provider.Provider{"dynamic": vendor},
		CoSigner: func(_, named string) *cosigner.Client {
			if named == "" || named == "default" {
				return signer
			}
			return nil
		},
		Timing: Timing{Call: 2 * time.Second, Ceremony: 4 * time.Second, Approval: time.Hour, Quiet: 50 * time.Millisecond,
			CommitAttention: 300 * time.Millisecond, BackoffInitial: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond},
		Held:    func(*store.Rotation) time.Time { return time.Time{} },
		Metrics: NewMetrics(prometheus.NewRegistry(), []string{"dynamic"}),
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	r.must(r.db.QueryRow(t.Context(), `INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@daily') RETURNING id`).Scan(&r.policyID))
	for _, w := range r.sandbox.State() {
		r.exec(`INSERT INTO wallets (provider, external_id, policy_id, address, chain) VALUES ('dynamic', $1, $2, $3, $4)`,
			w.ID, r.policyID, w.Address, w.Chain)
	}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	_, err := r.db.Exec(r.t.Context(), sql, args...)
	r.must(err)
}

// value reads one value of any type.
func value[T any](r *rig, sql string, args ...any) (v T) {
	r.t.Helper()
	r.must(r.db.QueryRow(r.t.Context(), sql, args...).Scan(&v))
	return v
}

func (r *rig) breaks(list ...faults.Fault) {
	r.t.Helper()
	r.must(r.sandbox.SetFaults(list...))
}

// testLease is a lease that ends when the test says so.
type testLease struct {
	epoch int64
	mu    sync.Mutex
	until time.Time
}

func (l *testLease) Epoch() int64 { return l.epoch }
func (l *testLease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// replica is an engine with an epoch of its own.
type replica struct {
	*Engine
	rig   *rig
	lease *testLease
}

func (r *rig) replica() *replica {
	r.t.Helper()
	epoch, err := r.store.Register(r.t.Context(), "test", "test")
	r.must(err)
	l := &testLease{epoch: epoch, until: time.Now().Add(time.Hour)}
	o := r.options
	o.Lease = l
	o.Providers = maps.Clone(o.Providers)
	e := New(context.Background(), o)
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		e.Stop(ctx)
	})
	return &replica{e, r, l}
}

// claim claims all due wallets for a tick a moment ago, and submits them.
func (x *replica) claim() {
	r := x.rig
	r.t.Helper()
	tick := r.store.Now().Add(time.Millisecond)
	r.exec(`UPDATE policy_state SET tick = $1`, tick)
	claimed, err := r.store.Claim(r.t.Context(), store.Claim{Owner: x.lease.epoch, PolicyID: r.policyID, Tick: tick, Before: tick,
		Trigger: store.Schedule, WalletIDs: r.walletIDs()})
	r.must(err)
	for _, c := range claimed.Rotations {
		x.Submit(c)
	}
}

func (r *rig) walletIDs() []int64 {
	r.t.Helper()
	return value[[]int64](r, `SELECT array_agg(id ORDER BY id) FROM wallets`)
}

// resume takes whatever is parked and due.
func (x *replica) resume() {
	r := x.rig
	r.t.Helper()
	for _, take := range []func() ([]*store.Rotation, error){
		func() ([]*store.Rotation, error) { return r.store.TakeUnderWay(r.t.Context(), x.lease.epoch, 100) },
		func() ([]*store.Rotation, error) {
			return r.store.TakeWaiting(r.t.Context(), x.lease.epoch, r.policyID, 0, 100)
		},
	} {
		rotations, err := take()
		r.must(err)
		for _, c := range rotations {
			x.Submit(c)
		}
	}
}

// until resumes parked rotations until what is asked for holds.
func (x *replica) until(what string, holds func() bool) {
	x.rig.t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			x.rig.t.Fatalf("timed out waiting until %s", what)
		}
		x.resume()
		select {
		case <-x.Idle():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settled waits until nothing is in hand and no rotation is open.
func (x *replica) settled() {
	x.rig.t.Helper()
	x.until("all rotations are closed", func() bool {
		return x.InHand() == 0 && value[int](x.rig, `SELECT count(*) FROM rotations`) == 0
	})
}

// attention waits until a rotation waits for a person, and returns why.
func (x *replica) attention() (reason, class string) {
	x.rig.t.Helper()
	x.until("a person is needed", func() bool {
		return x.InHand() == 0 && value[int](x.rig, `SELECT count(*) FROM attention`) > 0
	})
	return value[string](x.rig, `SELECT reason FROM attention`), value[string](x.rig, `SELECT coalesce(error_class, '') FROM rotations`)
}

// healthy asserts the truth of every wallet: the sandbox says that it signs
// under its first key, that no old share does, and that database, vendor and
// co-signer use the same share set.
func (r *rig) healthy() {
	r.t.Helper()
	for _, w := range r.sandbox.State() {
		active := value[string](r, `SELECT provider_ref FROM share_sets WHERE external_id = $1 AND state = 'active'`, w.ID)
		if !w.CanSign || w.OldShareSigns || active != w.ActiveShareSet || active != w.CosignerShareSet {
			r.t.Errorf("wallet %s: database says active %s, truth is %+v", w.ID, active, w)
		}
	}
	for _, id := range r.walletIDs() {
		r.must(r.store.VerifyWallet(r.t.Context(), id))
	}
}

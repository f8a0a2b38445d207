package rotation

import (
	"context"
	"flag"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
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

func TestMain(m *testing.M) {
	// The tests wait most of the time, each in a world of its own.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(pgtest.Around(m))
}

// patience is far above what anything here takes.
const patience = 30 * time.Second

// rig is the whole world of a rotation: a real database, the sandbox with its
// co-signer, and engines that work under registered epochs.
type rig struct {
	t        *testing.T
	sandbox  *sandbox.Sandbox
	info     sandbox.Info
	dsn      string
	db       *pgxpool.Pool
	store    *store.Store
	vendor   *dynamic.Provider
	spy      *spy   // what engines take for the vendor
	front    *front // what engines take for the co-signer
	signer   *cosigner.Client
	registry *prometheus.Registry
	options  Options
	pace     pace
	policyID int32
}

func newRig(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	t.Parallel()
	if o.Wallets == 0 {
		o.Wallets = 1
	}
	if o.CeremonyTimeout == 0 {
		o.CeremonyTimeout = 10 * time.Second
	}
	r := &rig{t: t, registry: prometheus.NewRegistry(), pace: pace{min: 20 * time.Millisecond, max: 200 * time.Millisecond, commit: 100 * time.Millisecond}}
	r.openSandbox(o)
	r.openDatabase()
	r.must(r.db.QueryRow(t.Context(), `INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@daily') RETURNING id`).Scan(&r.policyID))
	for _, w := range r.sandbox.State() {
		r.exec(`INSERT INTO wallets (provider, external_id, policy_id, address, chain) VALUES ('dynamic', $1, $2, $3, $4)`,
			w.ID, r.policyID, w.Address, w.Chain)
	}
	r.options = Options{
		Store:     r.store,
		Providers: map[string]provider.Provider{"dynamic": r.spy},
		CoSigner: func(_, named string) *cosigner.Client {
			if named == "" || named == "default" {
				return r.signer
			}
			return nil
		},
		// Nothing here is to run out of time because the machine is busy.
		Timing: Timing{Call: 10 * time.Second, Ceremony: 20 * time.Second, Approval: time.Hour, Quiet: 50 * time.Millisecond,
			CommitAttention: 300 * time.Millisecond, BackoffInitial: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond},
		Held:     func(*store.Rotation) time.Time { return time.Time{} },
		Interval: func(*store.Rotation) time.Duration { return time.Hour },
		Metrics:  NewMetrics(r.registry, []string{"dynamic"}),
		Log:      slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	return r
}

func (r *rig) openSandbox(o sandbox.Options) {
	t := r.t
	t.Helper()
	var err error
	r.sandbox, err = sandbox.New(o)
	r.must(err)
	t.Cleanup(func() {
		if err := r.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	url, err := r.sandbox.Listen("127.0.0.1:0")
	r.must(err)
	r.info = r.sandbox.Info(url)
	r.vendor, err = dynamic.New(dynamic.Options{Name: "dynamic", BaseURL: r.info.Dynamic.BaseURL,
		EnvironmentID: r.info.Dynamic.EnvironmentID, APIToken: func() (string, error) { return r.info.Dynamic.APIToken, nil },
		Auth: dynamic.AuthTokenExchange, RateLimits: []dynamic.RateLimit{}, CallTimeout: 10 * time.Second, CeremonyTimeout: 15 * time.Second})
	r.must(err)
	t.Cleanup(r.vendor.Close)
	r.spy = &spy{Provider: r.vendor, before: map[string]hook{}}
	r.front = newFront(t, r.info.Cosigner.URL)
	r.signer, err = cosigner.New(cosigner.Options{Name: "default", URL: r.front.server.URL, Timeout: 10 * time.Second,
		Token: func() string { return r.info.Cosigner.Token }})
	r.must(err)
	t.Cleanup(r.signer.Close)
}

func (r *rig) openDatabase() {
	t := r.t
	t.Helper()
	r.dsn = database(t)
	var err error
	r.db, err = pgxpool.New(t.Context(), r.dsn)
	r.must(err)
	t.Cleanup(r.db.Close)
	r.reopen()
}

// reopen gives the rig, not its engines, a store with fresh connections.
func (r *rig) reopen() {
	r.t.Helper()
	var err error
	r.store, err = store.Open(r.t.Context(), store.Options{DSN: r.dsn})
	r.must(err)
	r.t.Cleanup(r.store.Close)
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

func (r *rig) mended() {
	r.t.Helper()
	r.must(r.sandbox.SetFaults())
}

// truth of the only wallet, or of the i-th.
func (r *rig) truth(i int) sandbox.WalletState { return r.sandbox.State()[i] }

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

func (l *testLease) set(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = until
}

// replica is an engine with an epoch of its own.
type replica struct {
	*Engine
	rig   *rig
	lease *testLease
	lose  context.CancelCauseFunc
}

func (r *rig) replica() *replica {
	r.t.Helper()
	epoch, err := r.store.Register(r.t.Context(), "test", "test")
	r.must(err)
	l := &testLease{epoch: epoch, until: time.Now().Add(time.Hour)}
	o := r.options
	o.Lease = l
	ctx, lose := context.WithCancelCause(context.Background())
	e := New(ctx, o)
	e.pace = r.pace
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		e.Stop(ctx)
		lose(nil)
	})
	return &replica{e, r, l, lose}
}

// claim claims the wallets, or all of them, for a tick a moment ago, and
// submits them.
func (x *replica) claim(walletIDs ...int64) {
	x.rig.t.Helper()
	for _, c := range x.claimed(walletIDs...) {
		x.Submit(c)
	}
}

func (x *replica) claimed(walletIDs ...int64) []*store.Rotation {
	r := x.rig
	r.t.Helper()
	if len(walletIDs) == 0 {
		walletIDs = r.walletIDs()
	}
	// Behind the enrolment and every tick before, whatever the load does to this
	// process's idea of the database's clock.
	tick := value[time.Time](r, `
		SELECT greatest(clock_timestamp(), max(cycle_at), max(eligible_after), max(tick)) + interval '1 millisecond' FROM wallet_state, policy_state`)
	r.exec(`UPDATE policy_state SET tick = $1`, tick)
	claimed, err := r.store.Claim(r.t.Context(), store.Claim{Owner: x.lease.epoch, PolicyID: r.policyID, Tick: tick, Before: tick,
		Trigger: store.Schedule, WalletIDs: walletIDs})
	r.must(err)
	return claimed.Rotations
}

func (r *rig) walletIDs() []int64 {
	r.t.Helper()
	return value[[]int64](r, `SELECT array_agg(id ORDER BY id) FROM wallets`)
}

// resume takes whatever is parked and due, and what is this replica's and in
// nobody's hands.
func (x *replica) resume() {
	r := x.rig
	r.t.Helper()
	owned, err := r.store.Owned(r.t.Context(), x.lease.epoch)
	r.must(err)
	owned = slices.DeleteFunc(owned, x.Has)
	for _, take := range []func() ([]*store.Rotation, error){
		func() ([]*store.Rotation, error) { return r.store.Load(r.t.Context(), x.lease.epoch, owned) },
		func() ([]*store.Rotation, error) { return r.store.TakeUnderWay(r.t.Context(), x.lease.epoch, 100) },
		func() ([]*store.Rotation, error) {
			return r.store.TakeWaiting(r.t.Context(), x.lease.epoch, r.policyID, 0, 100)
		},
		func() ([]*store.Rotation, error) { return r.store.TakeWaiting(r.t.Context(), x.lease.epoch, 0, 0, 100) },
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
			x.rig.t.Fatalf("timed out waiting until %s; rotations: %s", what,
				value[string](x.rig, `SELECT coalesce(json_agg(r)::text, '') FROM rotations r`))
		}
		x.resume()
		select {
		case <-x.Idle():
		case <-time.After(10 * time.Millisecond):
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

// needs insists on why a person is needed.
func (x *replica) needs(want store.Attention, wantClass provider.Class) {
	x.rig.t.Helper()
	reason, class := x.attention()
	if reason != string(want) || class != string(wantClass) {
		x.rig.t.Fatalf("attention %s, class %s; want %s, %s; %s", reason, class, want, wantClass,
			value[string](x.rig, `SELECT coalesce(error, '') FROM rotations`))
	}
}

// quiet lets everything that is due have its turn a few times, and insists that
// nothing is taken up.
func (x *replica) quiet() {
	x.rig.t.Helper()
	for range 3 {
		x.resume()
		if n := x.InHand(); n != 0 {
			x.rig.t.Fatalf("%d rotations are worked on that wait for a person", n)
		}
	}
}

// ask is a person's request, answered; it returns whether it was refused.
func (r *rig) ask(action string) (refused bool) {
	r.t.Helper()
	for _, id := range r.walletIDs() {
		r.exec(`INSERT INTO rotation_requests (action, wallet_id, actor, reason) VALUES ($1, $2, 'ann', 'checked at the vendor')`, action, id)
	}
	requests, err := r.store.OpenRequests(r.t.Context(), 100)
	r.must(err)
	for _, q := range requests {
		_, no, err := r.store.Answer(r.t.Context(), q)
		r.must(err)
		refused = refused || no
	}
	return refused
}

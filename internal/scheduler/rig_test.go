package scheduler

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/dynamic"
	"github.com/rotatord/rotatord/internal/rotation"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

func TestMain(m *testing.M) {
	// Most of these tests wait for a tick most of the time.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(pgtest.Around(m))
}

// patience is far above what anything here takes, on a busy machine too. So are
// the timeouts of a rig, but for those that a test is about.
const (
	patience = 2 * time.Minute
	ample    = 30 * time.Second
)

// rig is a real database and the sandbox, for schedulers to run against.
type rig struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	info    sandbox.Info
	vendor  *dynamic.Provider
	signer  *cosigner.Client
	dsn     string
	db      *pgx.Conn             // as the owner: people, and the test's stagehands
	unused  []sandbox.WalletState // not in the database yet
	running []*replica
}

// newRig has a sandbox with so many wallets, and none in the database.
func newRig(t *testing.T, wallets int) *rig {
	t.Helper()
	r := &rig{t: t, dsn: pgtest.New(t)}
	var err error
	r.sandbox, err = sandbox.New(sandbox.Options{Wallets: wallets, CeremonyTimeout: ample})
	r.must(err)
	t.Cleanup(func() {
		if err := r.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := r.sandbox.Listen("127.0.0.1:0")
	r.must(err)
	r.info = r.sandbox.Info(base)
	r.vendor = r.newVendor(ample)
	r.signer, err = cosigner.New(cosigner.Options{Name: "default", URL: r.info.Cosigner.URL, Timeout: ample,
		Token: func() string { return r.info.Cosigner.Token }})
	r.must(err)
	t.Cleanup(r.signer.Close)
	r.db, err = pgx.Connect(t.Context(), r.dsn)
	r.must(err)
	t.Cleanup(func() { r.db.Close(context.Background()) })
	r.unused = r.sandbox.State()
	return r
}

// newVendor is a client of the sandbox that gives each call so much time.
func (r *rig) newVendor(callTimeout time.Duration) *dynamic.Provider {
	r.t.Helper()
	v, err := dynamic.New(dynamic.Options{Name: "dynamic", BaseURL: r.info.Dynamic.BaseURL,
		EnvironmentID: r.info.Dynamic.EnvironmentID, APIToken: func() (string, error) { return r.info.Dynamic.APIToken, nil },
		Auth: dynamic.AuthTokenExchange, RateLimits: []dynamic.RateLimit{}, CallTimeout: callTimeout, CeremonyTimeout: ample})
	r.must(err)
	r.t.Cleanup(v.Close)
	return v
}

// policy inserts a policy: name, schedule and further columns with values.
func (r *rig) policy(name, schedule string, more ...any) int32 {
	r.t.Helper()
	columns, values, args := "name, schedule", "$1, nullif($2, '')", []any{name, schedule}
	for i := 0; i < len(more); i += 2 {
		args = append(args, more[i+1])
		columns += ", " + more[i].(string)
		values += fmt.Sprintf(", $%d", len(args))
	}
	return value[int32](r, `INSERT INTO rotation_policies (`+columns+`) VALUES (`+values+`) RETURNING id`, args...)
}

// wallets takes n of the sandbox's wallets into the database, under ids from
// the given one on with so much between them, and returns the ids.
func (r *rig) wallets(policyID int32, n int, from, step int64) []int64 {
	r.t.Helper()
	var ids []int64
	for i := range int64(n) {
		w := r.unused[0]
		r.unused = r.unused[1:]
		r.exec(`INSERT INTO wallets (id, provider, external_id, policy_id, address, chain) VALUES ($1, 'dynamic', $2, nullif($3, 0), $4, $5)`,
			from+i*step, w.ID, policyID, w.Address, w.Chain)
		ids = append(ids, from+i*step)
	}
	return ids
}

// ticked makes an "@every" policy one that a daemon knows and that ticked so
// long ago for the last time; its wallets satisfied a tick long before that.
func (r *rig) ticked(policyID int32, every, ago time.Duration) {
	r.t.Helper()
	o := r.options(r.dsn)
	d := newDispatcher(New(o), &lease{}, r.t.Context())
	r.must(d.read(r.t.Context()))
	d.engine.Stop(r.t.Context())
	r.exec(`UPDATE policy_state SET schedule_since = clock_timestamp() - $2::interval WHERE policy_id = $1`, policyID, every+ago)
	r.exec(`UPDATE wallet_state SET cycle_at = now() - $2::interval, eligible_after = now() - $2::interval WHERE policy_id = $1`, policyID, 2*every+ago)
}

// cycles are the states of all cycles.
func (r *rig) cycles() string {
	r.t.Helper()
	return value[string](r, `SELECT coalesce(string_agg(state, ',' ORDER BY tick), '') FROM rotation_cycles`)
}

// generations is how often each wallet was rotated, by its id.
func (r *rig) generations() map[int64]int {
	r.t.Helper()
	return value[map[int64]int](r, `SELECT coalesce(jsonb_object_agg(wallet_id, generation), '{}') FROM wallet_state`)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// value reads one value of any type.
func value[T any](r *rig, sql string, args ...any) (v T) {
	r.t.Helper()
	if err := r.db.QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (r *rig) breaks(list ...faults.Fault) {
	r.t.Helper()
	r.must(r.sandbox.SetFaults(list...))
}

// eventually looks until it is so.
func (r *rig) eventually(what string, so func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !so() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within %s: %s", patience, what)
		}
		<-look.C
	}
}

// never looks until something else has come true, and insists that it is not so
// at any of these looks.
func (r *rig) never(what string, so func() bool, until string, end func() bool) {
	r.t.Helper()
	r.eventually(until, func() bool {
		if so() {
			r.t.Fatal(what)
		}
		return end()
	})
}

// rotated waits until all wallets have been rotated n times or more.
func (r *rig) rotated(n int, ids ...int64) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d wallets are rotated %d times", len(ids), n), func() bool {
		return value[int](r, `SELECT count(*) FROM wallet_state WHERE wallet_id = ANY($1) AND generation >= $2`, ids, n) == len(ids)
	})
}

// settled waits until no rotation is open.
func (r *rig) settled() {
	r.t.Helper()
	r.eventually("all rotations are closed", func() bool { return value[int](r, `SELECT count(*) FROM rotations`) == 0 })
}

// healthy asserts the truth of every wallet in the database: the sandbox says
// that it signs under its first key, that no old share does, and that database,
// vendor and co-signer use the same share set.
func (r *rig) healthy() {
	r.t.Helper()
	known := value[map[string]string](r, `SELECT coalesce(jsonb_object_agg(external_id, active_share_set), '{}')
		FROM wallets w JOIN wallet_state s ON s.wallet_id = w.id WHERE active_share_set IS NOT NULL`)
	for _, w := range r.sandbox.State() {
		active, ok := known[w.ID]
		if ok && (!w.CanSign || w.OldShareSigns || active != w.ActiveShareSet || active != w.CosignerShareSet) {
			r.t.Errorf("wallet %s: database says active %s, truth is %+v", w.ID, active, w)
		}
	}
	s := r.open(r.dsn)
	for _, id := range value[[]int64](r, `SELECT coalesce(array_agg(id), '{}') FROM wallets`) {
		r.must(s.VerifyWallet(r.t.Context(), id))
	}
}

// oncePerTick asserts by the history that no wallet was rotated twice for the
// same tick of a policy.
func (r *rig) oncePerTick() {
	r.t.Helper()
	if n := value[int](r, `SELECT count(*) FROM (SELECT FROM share_set_history WHERE outcome = 'activated'
		GROUP BY wallet_id, policy_id, tick HAVING count(*) > 1) x`); n > 0 {
		r.t.Errorf("%d times a wallet was rotated twice for a tick", n)
	}
}

// open is the store of another process of the daemon, in the daemon's role.
func (r *rig) open(dsn string) *store.Store {
	r.t.Helper()
	u, err := url.Parse(dsn)
	r.must(err)
	q := u.Query()
	q.Set("role", "rotatord_app")
	u.RawQuery = q.Encode()
	s, err := store.Open(r.t.Context(), store.Options{DSN: u.String(), MaxConns: 8})
	r.must(err)
	r.t.Cleanup(s.Close)
	return s
}

// options of a scheduler that is quick in everything.
func (r *rig) options(dsn string) Options {
	r.t.Helper()
	registry := prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(r.t.Output(), nil))
	return Options{
		Store: r.open(dsn), ReplicaID: "test", Version: "test", Log: log, Metrics: NewMetrics(registry),
		Config: Config{MinInterval: 100 * time.Millisecond,
			PollInterval: time.Hour, // what is found sooner was announced

			HeartbeatInterval: 200 * time.Millisecond, HeartbeatTimeout: ample, CallTimeout: ample,
			LookAhead: 100, Workers: 16, ShutdownGrace: ample},
		Rotation: rotation.Options{
			Providers: map[string]provider.Provider{"dynamic": r.vendor},
			CoSigner:  func(_, _ string) *cosigner.Client { return r.signer },
			Timing: rotation.Timing{Call: ample, Ceremony: ample, Approval: time.Hour, Quiet: 50 * time.Millisecond,
				CommitAttention: ample, BackoffInitial: 20 * time.Millisecond, BackoffMax: 200 * time.Millisecond},
			Metrics: rotation.NewMetrics(registry, []string{"dynamic"}),
			// Its lines are many, and belong to tests of its own.
			Log: slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		},
	}
}

// replica is a running scheduler.
type replica struct {
	*Scheduler
	r      *rig
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
}

// start runs a scheduler until stop, or the end of the test.
func (r *rig) start(edits ...func(*Options)) *replica {
	r.t.Helper()
	o := r.options(r.dsn)
	for _, edit := range edits {
		edit(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &replica{Scheduler: New(o), r: r, cancel: cancel, done: make(chan error, 1)}
	go func() { x.done <- x.Run(ctx) }()
	r.t.Cleanup(x.stop)
	r.running = append(r.running, x)
	return x
}

// stop stops all schedulers, so that nothing moves any more.
func (r *rig) stop() {
	r.t.Helper()
	for _, x := range r.running {
		x.stop()
	}
}

func (x *replica) stop() {
	x.once.Do(func() {
		x.cancel()
		select {
		case err := <-x.done:
			if err != nil {
				x.r.t.Errorf("running ended with %v", err)
			}
		case <-time.After(patience):
			x.r.t.Error("the scheduler does not stop")
		}
	})
}

// skipped reads rotations_skipped_total.
func (x *replica) skipped(policy string, why Skip) int {
	return int(testutil.ToFloat64(x.Metrics.skipped.WithLabelValues(policy, string(why))))
}

// heard collects what a scheduler logs, for tests that wait for a line.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

//go:build trouble

package trouble

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/line"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// newLine takes the place of whoever is at a URL, and returns its own.
func newLine(t *testing.T, at string) (*line.Line, string) {
	t.Helper()
	l, through, err := line.To(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, through
}

// patience is far above what anything here takes on a busy machine.
const patience = 2 * time.Minute

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// safeBuffer takes a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// rig is a daemon with a proxy between it and everybody else.
type rig struct {
	t       *testing.T
	box     *sandbox.Sandbox
	dsn     string // of the owner, without a proxy
	people  *pgx.Conn
	cfg     *config.Config
	log     *safeBuffer
	reg     *prometheus.Registry
	url     string
	browser *http.Client

	database, vendor, cosigner *line.Line

	before int    // goroutines before there was a daemon
	stop   func() // ends the daemon and waits for it
}

// newRig makes everything and starts nothing, on the database at dsn, which has
// the schema. The times are those of the configuration's default divided by ten
// or so: the same proportions in a shorter test.
func newRig(t *testing.T, dsn string, o sandbox.Options) *rig {
	t.Helper()
	r := &rig{t: t, dsn: dsn, log: &safeBuffer{}}
	r.browser = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	o.Seed, o.CoboPace = 7, 50*time.Millisecond
	// A party that waits in a room in vain goes soon: it is of this process, too.
	o.CeremonyTimeout = 2 * time.Second
	var err error
	if r.box, err = sandbox.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.box.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := r.box.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.connect()
	t.Cleanup(func() { r.people.Close(context.Background()) })

	var databaseURL, vendorURL, cosignerURL string
	r.database, databaseURL = newLine(t, login(t, dsn, "rotatord_app"))
	r.vendor, vendorURL = newLine(t, base)
	info := r.box.Info(base)
	r.cosigner, cosignerURL = newLine(t, info.Cosigner.URL)
	info = r.box.Info(vendorURL)

	c := config.Default()
	c.Database.URL = config.NewSecret(databaseURL)
	c.HTTP.Listen = "127.0.0.1:0"
	s := &c.Scheduler
	s.MinInterval, s.Workers, s.ShutdownGrace = time.Second, 16, patience
	s.HeartbeatInterval, s.HeartbeatTimeout = 500*time.Millisecond, 3*time.Second
	c.Rotation.CallTimeout, c.Rotation.CeremonyTimeout, c.Rotation.QuietTime = time.Second, 10*time.Second, time.Second
	c.Rotation.Backoff = config.Backoff{Initial: 500 * time.Millisecond, Max: 2 * time.Second}
	c.Rotation.Circuit.Failures = 1000 // calls are to hang time and again, and an open circuit would spare them
	c.Providers = []config.Provider{{Name: "dynamic", Type: config.TypeDynamic, Dynamic: &config.Dynamic{
		BaseURL: info.Dynamic.BaseURL, EnvironmentID: info.Dynamic.EnvironmentID,
		APIToken: config.NewSecret(info.Dynamic.APIToken), Auth: config.AuthTokenExchange, CoSigner: "vault",
	}}, {Name: "cobo", Type: config.TypeCobo, Cobo: &config.Cobo{
		BaseURL: info.Cobo.BaseURL, APISecret: config.NewSecret(info.Cobo.APISecret), ResponsePublicKey: info.Cobo.ResponsePublicKey,
		TSSNodes: info.Cobo.TSSNodes, OriginalMainGroupHandling: config.ConvertToSigningGroup, ApprovalAttention: 10 * time.Minute,
	}}}
	c.CoSigners = []config.CoSigner{{Name: "vault", URL: cosignerURL, Token: config.NewSecret(info.Cosigner.Token)}}
	r.cfg = c
	return r
}

// login is dsn in another role.
func login(t *testing.T, dsn, role string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

// connect lets people in, without a proxy, as the owner: they ask for more than
// an operator may see.
func (r *rig) connect() {
	r.t.Helper()
	var err error
	if r.people, err = pgx.Connect(r.t.Context(), r.dsn); err != nil {
		r.t.Fatal(err)
	}
}

// start runs the daemon until the test ends or stop.
func (r *rig) start() *rig {
	r.t.Helper()
	r.before = goroutines()
	r.reg = prometheus.NewRegistry()
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := app.New(r.t.Context(), r.cfg, app.Options{Version: "test", Log: log, Registry: r.reg})
	if err != nil {
		r.t.Fatal(err)
	}
	r.url = "http://" + a.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the daemon ended with: %v", err)
		}
		if r.t.Failed() {
			r.t.Log("the daemon's log:\n" + tail(r.log.String()))
		}
	})
	r.t.Cleanup(r.stop)
	return r
}

// tail keeps a log readable.
func tail(text string) string {
	const most = 20_000
	return text[max(0, len(text)-most):]
}

// rotating has the whole fleet rotate once a second, without limits but the
// daemon's own, and waits until each wallet has.
func (r *rig) rotating() *rig {
	r.t.Helper()
	r.exec(`INSERT INTO rotation_policies (name, schedule, max_concurrent, failure_budget) VALUES ('treasury', '@every 1s', 10000, 0)`)
	for _, w := range r.box.State() {
		r.exec(`INSERT INTO wallets (provider, external_id, address, chain, policy_id)
			SELECT $1, $2, nullif($3, ''), nullif($4, ''), id FROM rotation_policies`, w.Provider, w.ID, w.Address, w.Chain)
	}
	r.further(1, "the fleet rotates")
	return r
}

// further waits until every wallet has rotated n times more.
func (r *rig) further(n int64, what string) {
	r.t.Helper()
	want := map[int64]int64{}
	for id, generation := range r.generations() {
		want[id] = generation + n
	}
	eventually(r.t, what, func() bool {
		for id, generation := range r.generations() {
			if generation >= want[id] {
				delete(want, id)
			}
		}
		return len(want) == 0
	})
}

func (r *rig) generations() map[int64]int64 {
	r.t.Helper()
	rows, err := r.people.Query(r.t.Context(), `SELECT id, coalesce(generation, 0) FROM wallets LEFT JOIN wallet_status s ON s.wallet_id = id`)
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[int64]int64{}
	var id, generation int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &generation}, func() error { all[id] = generation; return nil }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.people.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// ask reads one value.
func ask[T any](r *rig, sql string, args ...any) (v T) {
	r.t.Helper()
	if err := r.people.QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (r *rig) get(path string) (status int, body string) {
	r.t.Helper()
	response, err := r.browser.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// wantWhole ends the policy and the daemon, and then asks everybody: vendor,
// co-signer (where there is one) and record name the same active share set,
// every wallet signs and no old share does, every history is whole, and nobody
// is called for.
func (r *rig) wantWhole() {
	r.t.Helper()
	r.exec(`UPDATE rotation_policies SET enabled = false`)
	eventually(r.t, "the last rotations end", func() bool {
		return ask[int64](r, `SELECT count(*) FROM rotations WHERE state NOT IN ('waiting', 'failed')`) == 0
	})
	eventually(r.t, "old share sets are retired", func() bool { return ask[int64](r, `SELECT count(*) FROM retirements`) == 0 })
	if why := ask[string](r, `SELECT coalesce(string_agg(reason || ': ' || detail, '; '), '') FROM attention WHERE reason <> 'attempts_used_up'`); why != "" {
		r.t.Errorf("people are called for: %s", why)
	}
	r.stop()
	reader, err := store.Open(r.t.Context(), store.Options{DSN: r.dsn})
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	for _, w := range r.box.State() {
		active := ask[string](r, `SELECT coalesce(string_agg(provider_ref, ' and '), 'none') FROM share_sets WHERE external_id = $1 AND state = 'active'`, w.ID)
		if active != w.ActiveShareSet || active != w.CosignerShareSet && w.Provider != "cobo" {
			r.t.Errorf("wallet %s: record %s, vendor %s, co-signer %s", w.ID, active, w.ActiveShareSet, w.CosignerShareSet)
		}
		if !w.CanSign || w.OldShareSigns {
			r.t.Errorf("wallet %s: can sign: %v, old share signs: %v", w.ID, w.CanSign, w.OldShareSigns)
		}
		if err := reader.VerifyWallet(r.t.Context(), ask[int64](r, `SELECT id FROM wallets WHERE external_id = $1`, w.ID)); err != nil {
			r.t.Errorf("wallet %s: %v", w.ID, err)
		}
	}
}

// wantSigning asks the sandbox in the middle of it all. Each wallet has shares
// that sign under its key. Those that the vendor swapped in the moment when the
// trouble began wait for their commit at the co-signer: no more than were in hand.
func (r *rig) wantSigning() {
	r.t.Helper()
	waiting := 0
	for _, w := range r.box.State() {
		if !w.Recoverable {
			r.t.Errorf("wallet %s has no shares that sign: %+v", w.ID, w)
		}
		if !w.CanSign {
			waiting++
		}
	}
	if most := r.cfg.Scheduler.Workers; waiting > most {
		r.t.Errorf("%d wallets wait for their commit, want at most %d", waiting, most)
	}
}

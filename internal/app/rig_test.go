package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

// patience is far above what anything here takes.
const patience = 30 * time.Second

// eventually polls until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
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

// rig is a daemon with its database and a sandbox.
type rig struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	info    sandbox.Info
	dsn     string // of the owner
	people  *pgx.Conn
	cfg     *config.Config
	log     *safeBuffer
	reg     *prometheus.Registry
	url     string
	stop    func() // ends the daemon and waits for it
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

// newRig has n wallets and no vaults.
func newRig(t *testing.T, n int) *rig {
	t.Helper()
	return newRigWith(t, sandbox.Options{Wallets: n})
}

// newRigWith makes everything and starts nothing. The daemon will work as
// rotatord_app and people as rotatord_operator: a right that is missing fails
// the test that needs it.
func newRigWith(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	r := &rig{t: t, dsn: pgtest.New(t), log: &safeBuffer{}}
	o.Seed = 7
	var err error
	if r.sandbox, err = sandbox.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := r.sandbox.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.info = r.sandbox.Info(base)
	if r.people, err = pgx.Connect(t.Context(), login(t, r.dsn, "rotatord_operator")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.people.Close(context.Background()) })

	c := config.Default()
	c.Database.URL = config.NewSecret(login(t, r.dsn, "rotatord_app"))
	c.Database.MigrateURL = config.NewSecret(r.dsn)
	c.HTTP.Listen = "127.0.0.1:0"
	c.Scheduler.MinInterval = time.Second
	c.Scheduler.ShutdownGrace = patience
	c.Providers = []config.Provider{{Name: "dynamic", Type: config.TypeDynamic, Dynamic: &config.Dynamic{
		BaseURL: r.info.Dynamic.BaseURL, EnvironmentID: r.info.Dynamic.EnvironmentID,
		APIToken: config.NewSecret(r.info.Dynamic.APIToken), Auth: config.AuthTokenExchange, CoSigner: "vault",
	}}, {Name: "cobo", Type: config.TypeCobo, Cobo: &config.Cobo{
		BaseURL: r.info.Cobo.BaseURL, APISecret: config.NewSecret(r.info.Cobo.APISecret), ResponsePublicKey: r.info.Cobo.ResponsePublicKey,
		TSSNodes: r.info.Cobo.TSSNodes, OriginalMainGroupHandling: config.ConvertToSigningGroup, ApprovalAttention: 10 * time.Minute,
	}}}
	c.CoSigners = []config.CoSigner{{Name: "vault", URL: r.info.Cosigner.URL, Token: config.NewSecret(r.info.Cosigner.Token)}}
	r.cfg = c
	return r
}

// start runs the daemon until the test ends or stop.
func (r *rig) start() *rig {
	r.t.Helper()
	r.reg = prometheus.NewRegistry()
	log := slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := New(r.t.Context(), r.cfg, Options{Version: "test", Log: log, Registry: r.reg})
	if err != nil {
		r.t.Fatal(err)
	}
	r.url = "http://" + a.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				r.t.Errorf("the daemon ended with: %v", err)
			}
			if r.t.Failed() {
				r.t.Log("the daemon's log:\n" + r.log.String())
			}
		})
	}
	r.t.Cleanup(r.stop)
	return r
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.people.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// ask reads one value as an operator.
func ask[T any](r *rig, sql string, args ...any) (v T) {
	r.t.Helper()
	if err := r.people.QueryRow(r.t.Context(), sql, args...).Scan(&v); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// enrol puts all wallets and vaults of the sandbox under a policy.
func (r *rig) enrol(policy string) {
	r.t.Helper()
	for _, w := range r.sandbox.State() {
		r.exec(`INSERT INTO wallets (provider, external_id, address, chain, policy_id)
			SELECT $1, $2, nullif($3, ''), nullif($4, ''), id FROM rotation_policies WHERE name = $5`, w.Provider, w.ID, w.Address, w.Chain, policy)
	}
}

func (r *rig) get(path string) (status int, body string) {
	r.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(r.url + path)
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

// wantAgreement: vendor, co-signer (where there is one) and record name the same
// active share set for every wallet, all wallets sign and no old share does.
func (r *rig) wantAgreement() {
	r.t.Helper()
	for _, w := range r.sandbox.State() {
		active := ask[string](r, `SELECT coalesce(string_agg(provider_ref, ' and '), 'none') FROM share_sets WHERE external_id = $1 AND state = 'active'`, w.ID)
		if active != w.ActiveShareSet || active != w.CosignerShareSet && w.Provider != "cobo" {
			r.t.Errorf("wallet %s: record %s, vendor %s, co-signer %s", w.ID, active, w.ActiveShareSet, w.CosignerShareSet)
		}
		if !w.CanSign || w.OldShareSigns {
			r.t.Errorf("wallet %s: can sign: %v, old share signs: %v", w.ID, w.CanSign, w.OldShareSigns)
		}
	}
}

func (r *rig) wantLogged(text string) {
	r.t.Helper()
	if !strings.Contains(r.log.String(), text) {
		r.t.Errorf("the log does not say %q:\n%s", text, r.log.String())
	}
}

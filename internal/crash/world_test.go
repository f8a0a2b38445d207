//go:build crash

package crash

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// The two vendors, as the configuration and the sandbox name them.
const (
	atDynamic = "dynamic"
	atCobo    = "cobo"
)

// settings of a daemon: as short as the configuration allows without a busy
// machine being taken for a dead replica. A dead one's work is taken over after
// heartbeat_timeout and call_timeout.
const settings = `
database:
  url: %s
http:
  listen: 127.0.0.1:0
log:
  level: info
scheduler:
  min_interval: 1s
  heartbeat_interval: 300ms
  heartbeat_timeout: 3s
  shutdown_grace: 30s
rotation:
  call_timeout: 2500ms
  ceremony_timeout: 10s
  commit_attention_after: 2s
  quiet_time: 2500ms
  approval_timeout: 1m
  backoff: {initial: 200ms, max: 1s}
  circuit: {pause: 1s, max_pause: 1s}
history:
  verify_interval: 0s
providers:
  - name: dynamic
    type: dynamic
    base_url: %s
    environment_id: %s
    api_token: %s
    rate_limits: []
  - name: cobo
    type: cobo
    base_url: %s
    api_secret: %s
    response_public_key: %s
    tss_nodes: [%s]
    retire_grace: %s
    approval_attention: 30s
    rate_limits: []
cosigners:
  - name: vault
    url: %s
    token: %s
`

// world is one database, one sandbox and the daemons that work on them. It has
// wallets of one vendor, all of one policy that runs by hand.
type world struct {
	t       *testing.T
	vendor  string
	box     *sandbox.Sandbox
	info    sandbox.Info
	signer  *cosigner.Client
	dsn     string
	db      *pgxpool.Pool // as the owner
	store   *store.Store  // for reading
	dir     string
	config  string // path
	grace   time.Duration
	daemons int // started so far
	// person is asked again and again while the test waits for something, and
	// does what a person does about the rotation; nil: nobody is there.
	person func()
}

// options of a world.
type options struct {
	wallets     int           // 0: one
	maxAttempts int           // 0: many
	grace       time.Duration // before an old group at Cobo is deleted; 0: a second
	sandbox     sandbox.Options
}

func newWorld(t *testing.T, vendor string, o options) *world {
	t.Helper()
	w := &world{t: t, vendor: vendor, dir: t.TempDir(), grace: cmp.Or(o.grace, time.Second)}
	o.wallets = max(o.wallets, 1)
	if vendor == atCobo {
		o.sandbox.Vaults = o.wallets
	} else {
		o.sandbox.Wallets = o.wallets
	}
	o.sandbox.Seed = 11
	o.sandbox.CeremonyTimeout = 5 * time.Second
	o.sandbox.CoboPace = 50 * time.Millisecond
	var err error
	w.box, err = sandbox.New(o.sandbox)
	w.must(err)
	t.Cleanup(func() {
		if err := w.box.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := w.box.Listen("127.0.0.1:0")
	w.must(err)
	info := w.box.Info(base)
	w.signer, err = cosigner.New(cosigner.Options{Name: "vault", URL: info.Cosigner.URL, Token: func() string { return info.Cosigner.Token }})
	w.must(err)
	t.Cleanup(w.signer.Close)

	w.info = info
	w.openDatabase(o.maxAttempts)
	return w
}

// elsewhere is the same wallets with another database: what a daemon does there
// is what somebody does by hand, or what was done before a backup was restored.
func (w *world) elsewhere() *world {
	w.t.Helper()
	other := *w
	other.dir = w.t.TempDir()
	other.openDatabase(0)
	return &other
}

// openDatabase makes the database with its wallets, and the file of a daemon
// that works on it.
func (w *world) openDatabase(maxAttempts int) {
	w.t.Helper()
	w.dsn = pgtest.New(w.t)
	c, err := pgxpool.ParseConfig(w.dsn)
	w.must(err)
	c.MaxConns = 2 // there are many worlds
	w.db, err = pgxpool.NewWithConfig(w.t.Context(), c)
	w.must(err)
	w.t.Cleanup(w.db.Close)
	w.store, err = store.Open(w.t.Context(), store.Options{DSN: w.dsn})
	w.must(err)
	w.t.Cleanup(w.store.Close)
	w.configure()
	if maxAttempts == 0 {
		maxAttempts = 20
	}
	w.exec(`INSERT INTO rotation_policies (name, max_attempts) VALUES ('by-hand', $1)`, maxAttempts)
	for _, s := range w.box.State() {
		w.exec(`INSERT INTO wallets (provider, external_id, policy_id, address, chain)
			SELECT $1, $2, id, nullif($3, ''), nullif($4, '') FROM rotation_policies`, s.Provider, s.ID, s.Address, s.Chain)
	}
}

// configure writes the file of a daemon that works as the role that operators
// give it.
func (w *world) configure() {
	w.t.Helper()
	u, err := url.Parse(w.dsn)
	w.must(err)
	q := u.Query()
	q.Set("role", "rotatord_app")
	u.RawQuery = q.Encode()
	info := w.info
	w.config = filepath.Join(w.dir, "rotatord.yaml")
	w.must(os.WriteFile(w.config, fmt.Appendf(nil, settings, u.String(),
		info.Dynamic.BaseURL, info.Dynamic.EnvironmentID, info.Dynamic.APIToken,
		info.Cobo.BaseURL, info.Cobo.APISecret, info.Cobo.ResponsePublicKey, strings.Join(info.Cobo.TSSNodes, ", "), w.grace,
		info.Cosigner.URL, info.Cosigner.Token), 0o600))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(context.WithoutCancel(w.t.Context()), sql, args...)
	w.must(err)
}

// ask reads one value.
func ask[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	w.must(w.db.QueryRow(w.t.Context(), sql, args...).Scan(&v))
	return v
}

func (w *world) breaks(list ...faults.Fault) {
	w.t.Helper()
	w.must(w.box.SetFaults(list...))
}

func (w *world) mended() {
	w.t.Helper()
	w.must(w.box.SetFaults())
}

// rotate asks for one rotation of every wallet, the way a schedule would: as a
// cycle of the policy.
func (w *world) rotate() {
	w.t.Helper()
	w.exec(`INSERT INTO rotation_requests (action, policy_id, actor, reason) SELECT 'run_policy', id, 'ann', 'a test' FROM rotation_policies`)
}

// request is what a person asks for about the only wallet.
func (w *world) request(action string) {
	w.t.Helper()
	w.exec(`INSERT INTO rotation_requests (action, wallet_id, actor, reason) SELECT $1, id, 'ann', 'checked at the vendor' FROM wallets`, action)
}

// open is what is not settled yet: what was asked for and not answered, cycles,
// rotations that go on by themselves, and retirements.
const open = `
	SELECT coalesce(string_agg(what, '; '), '') FROM (
		SELECT 'request ' || action AS what FROM rotation_requests q WHERE NOT EXISTS (SELECT FROM request_status a WHERE a.request_id = q.id)
		UNION ALL SELECT 'cycle' FROM rotation_cycles WHERE state = 'running'
		UNION ALL SELECT concat_ws(' ', 'rotation in', state, 'attempt', attempt::text, attention, error) FROM rotations WHERE state <> 'failed'
		UNION ALL SELECT concat_ws(' ', 'retirement', attention, error) FROM retirements) x`

// settles waits until everything that was asked for is through.
func (w *world) settles() {
	w.t.Helper()
	still := ""
	defer func() {
		if w.t.Failed() {
			w.t.Log("still open: " + still)
		}
	}()
	w.until("everything is settled", func() bool {
		if still = ask[string](w, open); still == "" && w.person != nil {
			// It may have come to where a person acts a moment ago.
			w.person()
			still = ask[string](w, open)
		}
		return still == ""
	})
}

// becomes waits until the only rotation is in a state; an attention may be
// asked for as well.
func (w *world) becomes(state store.State, attention store.Attention) {
	w.t.Helper()
	w.until(fmt.Sprintf("the rotation is in %s %s", state, attention), func() bool {
		return ask[bool](w, `SELECT EXISTS (SELECT FROM rotations WHERE state = $1 AND ($2 = '' OR attention = $2))`, string(state), string(attention))
	})
}

// until waits for something, while people do what they do.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	eventually(w.t, what, func() bool {
		if w.person != nil {
			w.person()
		}
		return done()
	})
}

// everything that is on record of rotations, as text.
func (w *world) everything() string {
	w.t.Helper()
	return ask[string](w, `SELECT concat_ws(E'\n',
		(SELECT json_agg(r)::text FROM rotations r), (SELECT json_agg(s ORDER BY wallet_id)::text FROM wallet_state s),
		(SELECT json_agg(h ORDER BY wallet_id, seq)::text FROM share_set_history h), (SELECT json_agg(x)::text FROM retirements x),
		(SELECT json_agg(c ORDER BY owner, tick)::text FROM cycle_counters c))`)
}

// frozen insists that the only rotation waits for a person for this reason, and
// that nothing but a person will move it.
func (w *world) frozen(state store.State, why store.Attention) {
	w.t.Helper()
	w.becomes(state, why)
	if !ask[bool](w, `SELECT next_check IS NULL AND owner IS NULL FROM rotations`) {
		w.t.Errorf("a rotation that waits for a person (%s) goes on by itself", why)
	}
}

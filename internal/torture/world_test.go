package torture

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/app"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/store"
)

// world is a sandbox and a database in which nothing is broken, but what a
// test breaks by hand.
type world struct {
	*witness
	t      *testing.T
	dir    string // of the co-signer
	door   *door
	before []sandbox.WalletState
	dsn    string
}

func newWorld(t *testing.T, wallets, vaults int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), witness: &witness{}}
	var err error
	w.box, err = sandbox.New(sandbox.Options{Wallets: wallets, Vaults: vaults, Seed: 5, CosignerDir: w.dir, CoboPace: 20 * time.Millisecond})
	w.must(err)
	t.Cleanup(func() { w.must(w.box.Close()) })
	w.before = w.box.State()
	w.door, err = newDoor(w.box.Handler())
	w.must(err)
	t.Cleanup(w.door.close)
	info := w.box.Info(w.door.url())
	w.signer, err = cosigner.New(cosigner.Options{Name: coSignerName, URL: info.Cosigner.URL, Token: func() string { return info.Cosigner.Token }})
	w.must(err)
	t.Cleanup(w.signer.Close)
	w.open()
	return w
}

// elsewhere is the same wallets with another database: what is done there is
// done by hand, as far as this one knows.
func (w *world) elsewhere() *world {
	w.t.Helper()
	other := *w
	other.witness = &witness{box: w.box, signer: w.signer}
	other.before = w.box.State()
	other.open()
	return &other
}

// open makes the database with its policies and wallets.
func (w *world) open() {
	w.t.Helper()
	w.dsn = pgtest.New(w.t)
	var err error
	w.db, err = pgxpool.New(w.t.Context(), w.dsn)
	w.must(err)
	w.t.Cleanup(w.db.Close)
	w.store, err = store.Open(w.t.Context(), store.Options{DSN: w.dsn})
	w.must(err)
	w.t.Cleanup(w.store.Close)
	w.must(enrol(w.t.Context(), w.db, w.before, time.Minute))
	w.exec(`UPDATE rotation_policies SET schedule = NULL, max_share_age = NULL, spread = '0'`)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), sql, args...)
	w.must(err)
}

// rotate every wallet once, by a daemon that comes and goes.
func (w *world) rotate() {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "rotatord.yaml")
	w.must(writeConfig(path, w.dsn, w.box.Info(w.door.url())))
	cfg, err := config.Load(path)
	w.must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	a, err := app.New(w.t.Context(), cfg, app.Options{Version: "test", Log: app.NewLog(io.Discard, cfg.Log), Listener: l})
	w.must(err)
	ctx, stop := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	eventually(w.t, "the daemon has read the policies", func() (read bool) {
		w.must(w.db.QueryRow(w.t.Context(), `SELECT bool_and(valid) FROM policy_status`).Scan(&read))
		return read
	})
	w.exec(`INSERT INTO rotation_requests (action, policy_id, actor, reason) SELECT 'run_policy', id, 'ann', 'a test' FROM rotation_policies`)
	still := ""
	eventually(w.t, "every wallet is rotated", func() bool {
		w.must(w.db.QueryRow(w.t.Context(), unsettled, []int64{}).Scan(&still))
		return still == ""
	})
	stop()
	w.must(<-ended)
	refused := ""
	w.must(w.db.QueryRow(w.t.Context(), `SELECT coalesce(string_agg(state || ': ' || detail, '; '), '') FROM request_status WHERE state <> 'done'`).Scan(&refused))
	if refused != "" {
		w.t.Fatal(refused)
	}
}

// verdicts on every wallet, in the order of before.
func (w *world) verdicts() []*verdict {
	w.t.Helper()
	all, err := w.collect(w.t.Context(), w.before)
	w.must(err)
	out := make([]*verdict, len(all))
	for i, e := range all {
		out[i] = judge(e)
	}
	return out
}

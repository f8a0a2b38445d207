package history

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Around(m)) }

const publicKey = "02a1b2c3"

var exportedAt = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// fleet is a fresh database with histories in it. It is written by its owner,
// who may do anything, and read as rotatord_readonly.
type fleet struct {
	t     testing.TB
	dsn   string
	owner *pgx.Conn
	*store.Reader
	heads map[int64]store.Head
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{t: t, dsn: pgtest.New(t), heads: map[int64]store.Head{}}
	var err error
	if f.owner, err = pgx.Connect(t.Context(), f.dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.owner.Close(context.Background()) })
	f.Reader = f.reader()
	return f
}

// reader is a login that may only look.
func (f *fleet) reader() *store.Reader {
	f.t.Helper()
	r, err := store.ConnectReader(f.t.Context(), f.as("rotatord_readonly"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// as is the DSN in a role.
func (f *fleet) as(role string) string {
	f.t.Helper()
	u, err := url.Parse(f.dsn)
	if err != nil {
		f.t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	return u.String()
}

func (f *fleet) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.owner.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](f *fleet, sql string, args ...any) (v T) {
	f.t.Helper()
	if err := f.owner.QueryRow(f.t.Context(), sql, args...).Scan(&v); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// enrol inserts wallets with these ids.
func (f *fleet) enrol(ids ...int64) {
	f.t.Helper()
	for _, id := range ids {
		f.exec(`INSERT INTO wallets (id, provider, external_id) VALUES ($1, 'dyn', 'w' || $1::bigint)`, id)
	}
}

// grow appends n rows to a wallet's history: a baseline first, then swaps.
func (f *fleet) grow(walletID int64, n int) {
	f.t.Helper()
	for range n {
		head := f.heads[walletID]
		at := time.Date(2026, 3, 1, 3, 0, int(head.Seq), 123_456_000, time.UTC)
		row := store.HistoryRow{WalletID: walletID, PolicyID: 3, Outcome: store.Baseline, DecidedAt: at, RotationID: uuid.New(),
			ShareSet: fmt.Sprintf("set-%d-%d", walletID, head.Seq), KeyFingerprint: store.KeyFingerprint(publicKey)}
		if head.Seq > 0 {
			row.Generation, row.Outcome, row.Trigger, row.Tick, row.OpenedAt = head.Generation+1, store.Activated, store.Schedule, at.Add(-time.Minute), at.Add(-time.Second)
			row.AttemptID, row.Replaced, row.Actor, row.VendorSaid = uuid.New(), head.ActiveShareSet, "alice", "it is <done>, \"zoë\"\n"
		}
		f.append(head, row)
	}
}

// append writes a row the way the daemon does.
func (f *fleet) append(head store.Head, row store.HistoryRow) {
	f.t.Helper()
	e := store.Follow(head, row)
	after := e.Head(head)
	f.insert(e.Row, after.Hash)
	f.exec(`UPDATE wallet_state SET seq = $2, hash = $3, generation = $4, active_share_set = nullif($5, ''), public_key = CASE WHEN $5 = '' THEN NULL ELSE $6 END
		WHERE wallet_id = $1`, row.WalletID, after.Seq, after.Hash, after.Generation, after.ActiveShareSet, publicKey)
	f.heads[row.WalletID] = after
}

func (f *fleet) insert(r store.HistoryRow, hash []byte) {
	f.t.Helper()
	l := lineOf(store.StoredRow{HistoryRow: r, Hash: hash}, nil)
	var fingerprint []byte
	if l.KeyFingerprint != nil {
		fingerprint = *l.KeyFingerprint
	}
	f.exec(`INSERT INTO share_set_history (wallet_id, seq, generation, policy_id, outcome, trigger, tick, opened_at, decided_at, rotation_id, attempt_id,
		share_set, replaced, key_fingerprint, actor, vendor_said, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		l.WalletID, l.Seq, l.Generation, l.PolicyID, l.Outcome, l.Trigger, (*time.Time)(l.Tick), (*time.Time)(l.OpenedAt), (*time.Time)(l.DecidedAt),
		l.RotationID, l.AttemptID, l.ShareSet, l.Replaced, fingerprint, l.Actor, l.VendorSaid, []byte(l.Hash))
}

// meddle lets the owner do what nobody should, and returns what takes it back.
func (f *fleet) meddle() (restore func()) {
	f.t.Helper()
	f.exec(`ALTER TABLE share_set_history DISABLE TRIGGER USER;
		ALTER TABLE share_set_history DROP CONSTRAINT share_set_history_pkey, DROP CONSTRAINT share_set_history_null_not_empty,
			DROP CONSTRAINT share_set_history_hash_is_sha256, DROP CONSTRAINT share_set_history_seq_positive,
			ALTER generation DROP NOT NULL, ALTER decided_at DROP NOT NULL, ALTER share_set DROP NOT NULL, ALTER hash DROP NOT NULL, ALTER outcome DROP NOT NULL;
		CREATE INDEX ON share_set_history (wallet_id, seq);
		CREATE TEMP TABLE kept_history AS SELECT * FROM share_set_history; CREATE TEMP TABLE kept_state AS SELECT * FROM wallet_state;
		CREATE TEMP TABLE kept_deleted AS SELECT * FROM deleted_wallets; CREATE TEMP TABLE kept_wallets AS SELECT * FROM wallets`)
	return func() {
		f.t.Helper()
		f.exec(`SET session_replication_role = replica; DELETE FROM share_set_history; INSERT INTO share_set_history SELECT * FROM kept_history;
			DELETE FROM wallet_state; INSERT INTO wallet_state SELECT * FROM kept_state; DELETE FROM deleted_wallets;
			INSERT INTO deleted_wallets SELECT * FROM kept_deleted; DELETE FROM wallets; INSERT INTO wallets OVERRIDING SYSTEM VALUE SELECT * FROM kept_wallets;
			SET session_replication_role = DEFAULT`)
	}
}

// small is a source with small pages.
type small struct {
	Source
	heads, rows int
}

func (s small) HistoryPage(ctx context.Context, span store.HistorySpan) (*store.HistoryPage, error) {
	span.Heads, span.Rows = s.heads, s.rows
	return s.Source.HistoryPage(ctx, span)
}

// verify walks over everything, and against a copy if there is one.
func (f *fleet) verify(s Source, outside []byte) (*Report, []Break) {
	f.t.Helper()
	var breaks []Break
	v := Verification{Source: s, Scope: All(), Broken: func(b Break) { breaks = append(breaks, b) }}
	if outside != nil {
		v.Copy = bytes.NewReader(outside)
	}
	r, err := v.Run(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if !r.Complete {
		f.t.Fatal("the walk did not come to its end")
	}
	return r, breaks
}

// export is a copy of everything.
func (f *fleet) export() []byte {
	f.t.Helper()
	var out bytes.Buffer
	r, err := Export{Source: f, Scope: All(), Format: JSONL, Schema: 7, Now: exportedAt}.Run(f.t.Context(), &out)
	if err != nil || !r.Complete {
		f.t.Fatalf("exporting: %v, %+v", err, r)
	}
	return out.Bytes()
}

// wantOnly: all breaks are of one wallet, and there is at least one.
func wantOnly(t *testing.T, what string, walletID int64, breaks []Break) {
	t.Helper()
	if len(breaks) == 0 {
		t.Errorf("%s: not found", what)
	}
	for _, b := range breaks {
		if b.WalletID != walletID {
			t.Errorf("%s: %v, want only wallet %d", what, b, walletID)
		}
	}
}

// sizes are pages that end at every place that a page can end at.
var sizes = []small{{heads: 1, rows: 1}, {heads: 2, rows: 3}, {heads: 100, rows: 2}, {heads: 1, rows: 100}, {heads: math.MaxInt32, rows: math.MaxInt32}}

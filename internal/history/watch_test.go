package history

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/store"
)

// safeBuffer takes a log that is read while it is written.
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

// watch runs a watch as the daemon would, until stop.
func (f *fleet) watch(every time.Duration) (log *safeBuffer, stop func()) {
	f.t.Helper()
	s, err := store.Open(f.t.Context(), store.Options{DSN: f.as("rotatord_app")})
	if err != nil {
		f.t.Fatal(err)
	}
	log = &safeBuffer{}
	w := &Watch{Store: s, Every: every, Log: slog.New(slog.NewTextHandler(log, nil))}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		s.Close()
	})
	f.t.Cleanup(stop)
	return log, stop
}

func (f *fleet) eventually(what, sql string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ask[bool](f, sql) {
		select {
		case <-look.C:
		case <-ctx.Done():
			f.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (f *fleet) wantLogged(log *safeBuffer, text string) {
	f.t.Helper()
	if !strings.Contains(log.String(), text) {
		f.t.Errorf("the log does not say %q:\n%s", text, log.String())
	}
}

// TestWatch verifies again and again, raises what it finds, and forgets what was
// mended.
func TestWatch(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3)
	f.grow(1, 3)
	f.grow(2, 2)
	whole, _ := f.verify(f, nil)
	log, stop := f.watch(20 * time.Millisecond)
	f.eventually("two verifications have come to their end", `SELECT count(*) >= 2 FROM history_verifications WHERE ended_at IS NOT NULL`)
	if digest := ask[[]byte](f, `SELECT digest FROM history_verifications ORDER BY id LIMIT 1`); !bytes.Equal(digest, whole.Digest[:]) {
		t.Errorf("the digest on record is %x, want %s", digest, whole.Digest)
	}
	f.wantLogged(log, `level=INFO msg="history verified" wallets=2 rows=5 digest=`+whole.Digest.String()+" broken=0")

	restore := f.meddle()
	f.exec(`UPDATE share_set_history SET actor = 'x' WHERE wallet_id = 1 AND seq IN (2, 3)`)
	f.eventually("it is raised", `SELECT count(*) = 1 FROM attention WHERE wallet_id = 1 AND reason = 'history_broken' AND detail LIKE 'row 2: %; 1 more'`)
	f.eventually("the verification has come to its end", `SELECT EXISTS (SELECT FROM history_verifications WHERE broken = 1 AND ended_at IS NOT NULL)`)
	f.wantLogged(log, `level=ERROR msg="the history of a wallet is broken" wallet_id=1 seq=2`)
	restore()
	f.eventually("it is mended", `SELECT count(*) = 0 FROM attention`)
	stop()
	f.wantLogged(log, `level=ERROR msg="history verified: it is broken"`)
}

// TestOneReplicaWatches: of several, one walks.
func TestOneReplicaWatches(t *testing.T) {
	f := newFleet(t)
	f.enrol(1)
	for range 4 {
		f.watch(time.Hour)
	}
	f.eventually("it has come to its end", `SELECT EXISTS (SELECT FROM history_verifications WHERE ended_at IS NOT NULL)`)
	if n := ask[int](f, `SELECT count(*) FROM history_verifications`); n != 1 {
		t.Errorf("%d verifications", n)
	}
}

// TestWatchGoesOn where a replica fell silent, with what that one had found.
func TestWatchGoesOn(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, 2, 3)
	f.grow(1, 3)
	f.grow(2, 2)
	f.grow(3, 1)
	whole, _ := f.verify(f, nil)
	half := NewWalk(small{f, 1, 100}, All())
	if _, err := half.Step(t.Context()); err != nil || half.NextWallet() != 2 {
		t.Fatalf("half a walk ends before wallet %d, %v", half.NextWallet(), err)
	}
	f.exec(`INSERT INTO history_verifications (owner, renewed_at, next_wallet, wallets, history_rows, broken, digest) VALUES ($1, now() - $2::interval, $3, $4, $5, 1, $6)`,
		uuid.New(), staleAfter, half.NextWallet(), half.Head.Wallets, half.Head.Rows, half.Head.Digest[:])
	f.exec(`INSERT INTO history_breaks SELECT 1, id, now(), 2, 'x', 1 FROM history_verifications`)
	f.meddle()
	f.exec(`UPDATE share_set_history SET actor = 'x' WHERE wallet_id = 2 AND seq = 1`)
	f.watch(time.Hour)
	f.eventually("it has come to its end", `SELECT ended_at IS NOT NULL FROM history_verifications`)
	if got := ask[string](f, `SELECT (wallets, history_rows, broken, encode(digest, 'hex'), next_wallet)::text FROM history_verifications`); got != "(3,6,2,"+whole.Digest.String()+",9223372036854775807)" {
		t.Errorf("the record is %s", got)
	}
	if got := ask[string](f, `SELECT string_agg(wallet_id::text, ' ' ORDER BY wallet_id) FROM attention`); got != "1 2" {
		t.Errorf("attention for wallets %s", got)
	}
}

// TestWatchRaisesOnTheWay: nobody waits for the end of a walk that takes hours.
// This one cannot get past its first page.
func TestWatchRaisesOnTheWay(t *testing.T) {
	f := newFleet(t)
	f.enrol(1)
	f.grow(1, 2)
	f.exec(`INSERT INTO wallets (id, provider, external_id) SELECT n, 'dyn', 'w' || n FROM generate_series(2, 1200) n`)
	f.meddle()
	f.exec(`UPDATE share_set_history SET actor = 'x' WHERE seq = 2;
		CREATE OR REPLACE VIEW history_heads AS SELECT wallet_id, CASE WHEN wallet_id <= 600 THEN seq ELSE 1 / (seq - seq) END AS seq, hash,
			generation, active_share_set, public_key, false AS deleted FROM wallet_state`)
	log, stop := f.watch(10 * time.Millisecond)
	f.eventually("it is raised", `SELECT count(*) = 1 FROM attention WHERE wallet_id = 1 AND reason = 'history_broken'`)
	if got := ask[string](f, `SELECT (ended_at IS NULL, wallets, broken, next_wallet)::text FROM history_verifications`); got != "(t,1,1,501)" {
		t.Errorf("the record is %s", got)
	}
	stop()
	f.wantLogged(log, "wallet_id=1 seq=2")
}

// TestWatchSurvivesAnOutage: a connection that is cut, and a table that is
// locked away, cost time and nothing else.
func TestWatchSurvivesAnOutage(t *testing.T) {
	f := newFleet(t)
	f.enrol(1)
	f.grow(1, 1)
	log, stop := f.watch(10 * time.Millisecond)
	f.eventually("it runs", `SELECT EXISTS (SELECT FROM history_verifications WHERE ended_at IS NOT NULL)`)
	f.exec(`ALTER TABLE share_set_history RENAME TO elsewhere`)
	f.eventually("one is under way", `SELECT EXISTS (SELECT FROM history_verifications WHERE ended_at IS NULL)`)
	f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'rotatord'`)
	f.exec(`ALTER TABLE elsewhere RENAME TO share_set_history`)
	f.exec(`CREATE TEMP TABLE so_far AS SELECT max(id) AS id FROM history_verifications`)
	f.eventually("it has come to its end, and a later one", `SELECT count(*) > 1 FROM history_verifications v, so_far s WHERE v.id >= s.id AND ended_at IS NOT NULL`)
	stop()
	f.wantLogged(log, "verifying the history was interrupted and goes on")
	if n := ask[int](f, `SELECT count(*) FROM history_verifications WHERE broken > 0`); n > 0 {
		t.Error("an outage was taken for a break")
	}
}

// TestRest: a fifth of the time at most, and never so long that others take the
// walk for abandoned.
func TestRest(t *testing.T) {
	for _, took := range []time.Duration{0, time.Microsecond, 20 * time.Millisecond, time.Second, pageTimeout, math.MaxInt64 / restFactor} {
		r := rest(took)
		if r < min(4*took, longestRest) || r > longestRest {
			t.Errorf("after %s it rests %s", took, r)
		}
		if took <= pageTimeout && 2*took+r >= staleAfter {
			t.Errorf("after %s and a rest of %s others take over", took, r)
		}
	}
}

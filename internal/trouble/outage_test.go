//go:build trouble

package trouble

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/pgdev"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/migrations"
)

var outage = flag.Duration("outage", 3*time.Second, "how long the database stays away in TestDatabaseDown after the lease is lost")

// ownServer starts a PostgreSQL that a test may stop, with the schema in its one
// database.
func ownServer(t *testing.T) (s *pgdev.Server, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := pgdev.Start(ctx, pgdev.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if dsn, err = s.CreateDatabase(ctx, "trouble", ""); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := migrations.Migrate(ctx, conn); err != nil {
		t.Fatal(err)
	}
	return s, dsn
}

// shutDown has PostgreSQL stop at once, in order, and waits until it has. Its
// Restart finds it stopped and starts it again.
func shutDown(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	var folder string
	if err := conn.QueryRow(t.Context(), `SHOW data_directory`).Scan(&folder); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	file := filepath.Join(folder, "postmaster.pid")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "PostgreSQL stops", func() bool {
		_, err := os.Stat(file)
		return errors.Is(err, os.ErrNotExist)
	})
}

// What may ask for a connection while there is no database, and how often.
const (
	recorders = 9  // of the engine, one kind of step each
	retiring  = 16 // clean-ups at a time
	// recordRetry and recordTimeout are the engine's: how often a step is tried
	// again, and for how long.
	recordRetry, recordTimeout = 100 * time.Millisecond, 20 * time.Second
	// loops try about once a second each: the dispatcher, which the ticks wake as
	// well, sign-on, notifications, clean-ups; and the probes of this test.
	loops = 6
	// dials is how often pgx tries an address, one time after the other.
	dials = 2
)

// TestDatabaseDown: PostgreSQL is stopped while both vendors' wallets rotate,
// stays away for longer than a lease lives, and comes back.
func TestDatabaseDown(t *testing.T) {
	server, dsn := ownServer(t)
	r := newRig(t, dsn, sandbox.Options{Wallets: 50, Vaults: 3}).start()
	idle, idleHeap := r.settled()
	r.rotating()
	r.wantReady()

	shutDown(t, dsn)
	r.wantUnready("the database does not answer")
	u := r.watch(idle, idleHeap)
	asked := r.asked()
	u.until("all work in hand has ended", func() bool { return strings.Contains(r.log.String(), "signing on failed") })
	took := u.seconds()
	tries := float64(r.database.Accepted() - u.connected)
	// Steps that were under way are tried for a while, the rest goes on at a calm
	// pace; heartbeats, and the search for dead replicas, at theirs.
	steps := (min(took, recordTimeout.Seconds()) + 1) * (recorders + retiring) / recordRetry.Seconds()
	beats := 2 * took / r.cfg.Scheduler.HeartbeatInterval.Seconds()
	most := dials * (steps + (took+1)*loops + beats)
	if tries > most {
		t.Errorf("%.0f connections were tried in %.1f s, want at most %.0f", tries, took, most)
	}
	t.Logf("%.0f connections were tried in %.1f s, allowed %.0f", tries, took, most)
	// From now on there is only the search for a database.
	calm := r.watch(idle, idleHeap)
	calm.until("it stays away", func() bool { return calm.seconds() > outage.Seconds() })
	r.wantUnready("the database does not answer")
	tries, most = float64(r.database.Accepted()-calm.connected), dials*(calm.seconds()+1)*2
	if tries > most {
		t.Errorf("%.0f connections were tried in %.1f s without work, want at most %.0f", tries, calm.seconds(), most)
	}
	u.wantSmall(3 * kept) // to the vendor, its event stream, and to the co-signer
	// Without a record nobody is asked for anything new: only what was under way
	// comes to its end.
	if n := r.asked() - asked; n > r.cfg.Scheduler.Workers*perAttempt {
		t.Errorf("%d calls without a record, want at most those of the rotations in hand", n)
	}
	if !strings.Contains(r.log.String(), "lease lost") {
		t.Error("the log does not say that the lease is lost")
	}
	r.wantSigning()

	r.people.Close(context.Background())
	if err := server.Restart(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	r.connect()
	eventually(t, "it is ready again", func() bool { status, _ := r.get("/readyz"); return status == 200 })
	r.further(1, "the fleet goes on by itself")
	r.wantWhole()
}

// perAttempt is the most calls that one attempt makes to vendor and co-signer.
const perAttempt = 12

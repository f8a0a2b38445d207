//go:build trouble

package trouble

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/pgdev/pgtest"
	"github.com/rotatord/rotatord/internal/sandbox"
)

// full is what PostgreSQL says when a table cannot grow (smgr, md.c), from a
// trigger, because a disk of a test's own takes root.
const full = `
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file "base/16384/%": No space left on device', TG_RELID
        USING ERRCODE = 'disk_full', HINT = 'Check free disk space.';
END $$`

// fill lets no table take a row any more that the daemon writes and that fits the
// condition.
func (r *rig) fill(which string) (free func()) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(r.t.Context()) })
	do := func(sql string) {
		r.t.Helper()
		if _, err := conn.Exec(r.t.Context(), sql); err != nil {
			r.t.Fatal(err)
		}
	}
	rows, err := conn.Query(r.t.Context(), `
		SELECT oid::regclass::text FROM pg_class
		 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND `+which+`
		   AND (has_table_privilege('rotatord_app', oid, 'INSERT') OR has_any_column_privilege('rotatord_app', oid, 'UPDATE'))`)
	if err != nil {
		r.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) == 0 {
		r.t.Fatal(tables, err)
	}
	do(full)
	// One by one: together they would wait for the daemon's transactions in
	// another order than those for each other.
	for _, table := range tables {
		do("CREATE TRIGGER a_full_disk BEFORE INSERT OR UPDATE ON " + table + " FOR EACH ROW EXECUTE FUNCTION disk_full()")
	}
	return func() {
		r.t.Helper()
		for _, table := range tables {
			do("DROP TRIGGER a_full_disk ON " + table)
		}
		do("DROP FUNCTION disk_full")
	}
}

// TestDiskFull: PostgreSQL answers and has no room for what it is given, while
// both vendors' wallets rotate.
func TestDiskFull(t *testing.T) {
	const history = "relname = 'share_set_history'"
	for name, which := range map[string]string{
		"nothing can be written": "true",
		// A row that is changed often finds room in its own page.
		"heartbeats find room": "relname <> 'replicas'",
		// And so may a whole rotation, but for its history, which only grows.
		"only the history is full": history,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, pgtest.New(t), sandbox.Options{Wallets: 30, Vaults: 2}).start()
			idle, idleHeap := r.settled()
			r.rotating()
			r.wantReady()

			free := r.fill(which)
			r.wantUnready("the database takes no writes")
			u := r.watch(idle, idleHeap)
			looked := r.metric("rotatord_scheduler_last_tick_timestamp_seconds")
			u.until("it lasts", func() bool { return u.seconds() > 2*orphanInterval.Seconds() })
			r.wantUnready("the database takes no writes")
			u.wantSmall(3 * kept)
			// What cannot be recorded is taken up again once in orphanInterval.
			again := float64(r.cfg.Scheduler.Workers) / orphanInterval.Seconds()
			u.wantCalm(again)
			if calls, most := float64(r.asked()-u.requests), (u.seconds()/orphanInterval.Seconds()+2)*float64(r.cfg.Scheduler.Workers*perAttempt); calls > most {
				t.Errorf("%.0f calls in %.1f s, want at most %.0f", calls, u.seconds(), most)
			}
			if at := r.metric("rotatord_scheduler_last_tick_timestamp_seconds"); at > looked+1 && which != history {
				t.Errorf("the scheduler says it completed a look at %f, after the disk was full", at)
			}
			if !strings.Contains(r.log.String(), "No space left on device") {
				t.Error("the log does not say why")
			}
			r.wantSigning()

			free()
			eventually(t, "it is ready again", func() bool { status, _ := r.get("/readyz"); return status == 200 })
			r.further(1, "the fleet goes on by itself")
			r.wantWhole()
		})
	}
}

package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestRefusedWrites: a database that answers and stores nothing is not ready,
// until a while after the last write that it refused; any other refusal is of no
// consequence.
func TestRefusedWrites(t *testing.T) {
	for name, c := range map[string]struct {
		sql     []string // the last of them fails
		refused bool
	}{
		"a full disk":   {[]string{`DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$`}, true},
		"a standby":     {[]string{`SET default_transaction_read_only = on`, `DELETE FROM replicas`}, true},
		"a constraint":  {[]string{`INSERT INTO rotation_control (id) VALUES (false)`}, false},
		"no such table": {[]string{`SELECT FROM nothing`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.ok(w.Ready(t.Context()))
			conn, err := w.pool.Acquire(t.Context())
			w.ok(err)
			for _, statement := range c.sql {
				w.ok(err)
				_, err = conn.Exec(t.Context(), statement)
			}
			if err == nil {
				t.Fatal("it was taken")
			}
			w.ok(conn.Conn().Close(t.Context())) // with its settings
			conn.Release()

			ready := w.Ready(t.Context())
			if errors.Is(ready, ErrNoWrites) != c.refused || !c.refused && ready != nil {
				t.Fatalf("after %v: ready: %v", err, ready)
			}
			if !c.refused {
				return
			}
			if !strings.Contains(ready.Error(), err.Error()[:20]) {
				t.Errorf("%v does not say why: %v", ready, err)
			}
			w.refusals.at = time.Now().Add(-refusalMemory)
			w.ok(w.Ready(t.Context()))
		})
	}
}

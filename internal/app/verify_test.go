package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestDaemonVerifiesItsHistory in the background, and shows what it finds where
// alerts and people look.
func TestDaemonVerifiesItsHistory(t *testing.T) {
	r := newRig(t, 2)
	r.cfg.History.VerifyInterval = 100 * time.Millisecond
	r.start()
	r.exec(`INSERT INTO rotation_policies (name, schedule) VALUES ('treasury', '@every 1s')`)
	r.enrol("treasury")
	eventually(t, "rotations succeed", func() bool { return ask[int64](r, `SELECT min(generation) FROM wallet_status`) > 0 })
	r.exec(`UPDATE rotation_control SET paused = true`)
	shows := func(text string) func() bool {
		return func() bool {
			_, body := r.get("/metrics")
			return strings.Contains(body, "\n"+text)
		}
	}
	eventually(t, "the history is verified", func() bool {
		_, body := r.get("/metrics")
		return strings.Contains(body, "\nrotatord_history_verified_timestamp_seconds 1.") && strings.Contains(body, "\nrotatord_history_broken 0\n")
	})

	owner, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	if _, err := owner.Exec(t.Context(), `ALTER TABLE share_set_history DISABLE TRIGGER USER;
		DELETE FROM share_set_history WHERE seq = 1 AND wallet_id = (SELECT min(id) FROM wallets)`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the metric shows the break", shows("rotatord_history_broken 1\n"))
	eventually(t, "attention shows it", func() bool {
		return ask[int64](r, `SELECT count(*) FROM attention WHERE reason = 'history_broken' AND policy = 'treasury' AND detail = 'row 1 is missing' AND next_step LIKE '%verify-history --against%'`) == 1
	})
	r.stop()
	r.wantLogged(`"msg":"the history of a wallet is broken"`)
}

// TestDaemonMayLeaveItsHistoryAlone.
func TestDaemonMayLeaveItsHistoryAlone(t *testing.T) {
	r := newRig(t, 0)
	r.cfg.History.VerifyInterval = 0
	r.start()
	eventually(t, "it is ready", func() bool { status, _ := r.get("/readyz"); return status == 200 })
	_, body := r.get("/metrics")
	if !strings.Contains(body, "\nrotatord_history_verified_timestamp_seconds 0\n") {
		t.Error("something was verified")
	}
	r.stop()
	if n := ask[int64](r, `SELECT count(*) FROM history_verifications`); n != 0 {
		t.Errorf("%d verifications", n)
	}
}

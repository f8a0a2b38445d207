package scheduler

import (
	"fmt"
	"testing"
	"time"
)

// TestBadEditsHarmNobody: whatever nonsense an edit writes into a row, the
// policy goes on as it was before, also after a restart, says why, and no
// other policy notices.
func TestBadEditsHarmNobody(t *testing.T) {
	t.Parallel()
	bad := []string{
		`schedule = 'TZ='`, `schedule = 'CRON_TZ=UTC'`, `schedule = '@every -5h'`, `schedule = '@every 1ms'`, `schedule = '0 0 30 2 *'`,
		`schedule = '*/100 * * * *'`, `schedule = 'whenever'`, `timezone = 'Mars/Olympus'`, `timezone = ''`, `timezone = '../../etc/passwd'`,
		`run_window = '2 hours'`, `spread = '3 hours'`, `max_share_age = '1 second'`,
	}
	r := newRig(t, len(bad)+1)
	good := r.policy("good", "@every 1s")
	all := r.wallets(good, 1, 1, 1)
	for i := range bad {
		id := r.policy(fmt.Sprintf("bad%d", i), "@every 3s")
		all = append(all, r.wallets(id, 1, int64(100+i), 1)...)
	}
	x := r.start()
	r.rotated(1, all...)
	for i, edit := range bad {
		r.exec(fmt.Sprintf(`UPDATE rotation_policies SET %s WHERE name = 'bad%d'`, edit, i))
	}
	r.eventually("every bad row is put aside", func() bool {
		return value[int](r, `SELECT count(*) FROM policy_status WHERE NOT valid AND error <> '' AND version = 2 AND running_version = 1 AND name LIKE 'bad%'
			AND EXISTS (SELECT FROM policy_state s JOIN rotation_policies p ON p.id = s.policy_id WHERE p.name = policy_status.name AND s.judged_version = 2)`) == len(bad)
	})
	beyond := func(what string) {
		t.Helper()
		was := r.generations()
		r.eventually(what, func() bool {
			now := r.generations()
			for _, id := range all {
				if now[id] <= was[id] {
					return false
				}
			}
			return true
		})
	}
	beyond("all go on with their last good version")
	x.stop()
	r.start()
	beyond("all go on after a restart")

	// A person can stop a policy whatever else its row says.
	r.exec(`UPDATE rotation_policies SET paused_reason = 'looking into it' WHERE name = 'bad0'`)
	r.exec(`UPDATE rotation_policies SET enabled = false WHERE name = 'bad1'`)
	r.eventually("they are seen", func() bool {
		return value[int](r, `SELECT count(*) FROM policy_state WHERE judged_version = 3`) == 2
	})
	r.eventually("what they had begun is over", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE wallet_id IN (100, 101) AND state <> 'waiting'`) == 0
	})
	stopped := r.generations()
	beyondOthers := value[int](r, `SELECT generation FROM wallet_state WHERE wallet_id = 102`) + 2
	r.eventually("another one goes on", func() bool {
		return value[int](r, `SELECT generation FROM wallet_state WHERE wallet_id = 102`) >= beyondOthers
	})
	now := r.generations()
	if now[100] != stopped[100] || now[101] != stopped[101] {
		t.Errorf("stopped policies went on: %v, then %v", stopped, now)
	}

	r.exec(`UPDATE rotation_policies SET schedule = '@every 1s', timezone = 'UTC', run_window = NULL, spread = '0', max_share_age = NULL,
		paused_reason = NULL, enabled = true WHERE name LIKE 'bad%'`)
	r.eventually("all are valid", func() bool { return value[int](r, `SELECT count(*) FROM policy_status WHERE NOT valid`) == 0 })
	beyond("all go on with the row as it was mended")
	r.stop()
	r.healthy()
	r.oncePerTick()
}

// A row that was never good never runs, and says why.
func TestPolicyThatWasNeverGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	good, bad := r.policy("good", "@every 1s"), r.policy("bad", "TZ=")
	wallets := r.wallets(good, 1, 1, 1)
	r.wallets(bad, 1, 2, 1)
	r.start()
	r.rotated(2, wallets...)
	if n := value[int](r, `SELECT count(*) FROM rotation_cycles WHERE policy_id = $1`, bad); n != 0 {
		t.Errorf("%d cycles of a policy that was never good", n)
	}
	if text := value[string](r, `SELECT error FROM policy_status WHERE name = 'bad'`); text == "" {
		t.Error("nobody says why")
	}
}

// A stored version that this build cannot read, as after a downgrade, is
// judged anew from the row.
func TestUnreadableStoredVersion(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.policy("treasury", "@every 1s")
	wallets := r.wallets(id, 1, 1, 1)
	x := r.start()
	r.rotated(1, wallets...)
	x.stop()
	r.exec(`UPDATE policy_state SET running_spec = running_spec || '{"spread": "a while"}'`)
	was := r.generations()[1]
	r.start()
	r.rotated(was+2, wallets...)
	if spread := value[string](r, `SELECT coalesce(running_spec->>'spread', '') FROM policy_state`); spread != "" {
		t.Errorf("stored spread is %s", spread)
	}
}

// Several ticks of an outage are caught up once, if the window of the last one
// is still open; else they are missed, and counted.
func TestOutageOfTheDaemon(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	caught := r.policy("caught-up", "@every 1h")
	missed := r.policy("missed", "@every 1h", "run_window", "10 minutes")
	up := r.wallets(caught, 2, 1, 1)
	r.wallets(missed, 2, 11, 1)
	r.ticked(caught, time.Hour, 20*time.Minute)
	r.ticked(missed, time.Hour, 20*time.Minute)
	r.exec(`UPDATE policy_state SET schedule_since = schedule_since - interval '30 hours'`)
	x := r.start()
	r.rotated(1, up...)
	r.settled()
	r.eventually("the cycle is over", func() bool {
		return value[string](r, `SELECT coalesce(string_agg(state || ' ' || trigger, ','), '') FROM rotation_cycles WHERE policy_id = $1`, caught) == "completed catchup"
	})
	if got := value[string](r, `SELECT coalesce(string_agg(state || ' ' || total, ','), '') FROM rotation_cycles WHERE policy_id = $1`, missed); got != "missed 2" {
		t.Errorf("cycle without a window left: %s", got)
	}
	if n := x.skipped("missed", SkipMissedWindow); n != 2 {
		t.Errorf("%d wallets counted as missed", n)
	}
	if got := value[string](r, `SELECT coalesce(string_agg(DISTINCT trigger, ','), '') FROM share_set_history WHERE outcome = 'activated'`); got != "catchup" {
		t.Errorf("triggers %s", got)
	}
	r.oncePerTick()
	r.healthy()
}

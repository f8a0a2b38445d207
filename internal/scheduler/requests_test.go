package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// ask inserts a request and returns the daemon's answer.
func (r *rig) ask(action string, walletID int64, policyID int32) (state, detail string) {
	r.t.Helper()
	id := value[int64](r, `INSERT INTO rotation_requests (action, wallet_id, policy_id, actor, reason)
		VALUES ($1, nullif($2, 0), nullif($3, 0), 'alice', 'a test') RETURNING id`, action, walletID, policyID)
	return r.answered(id)
}

func (r *rig) answered(id int64) (state, detail string) {
	r.t.Helper()
	r.eventually("the request is answered", func() bool {
		return value[int](r, `SELECT count(*) FROM request_status WHERE request_id = $1`, id) == 1
	})
	r.must(r.db.QueryRow(r.t.Context(), `SELECT state, detail FROM request_status WHERE request_id = $1`, id).Scan(&state, &detail))
	return state, detail
}

func (r *rig) refused(text, action string, walletID int64, policyID int32) {
	r.t.Helper()
	if state, detail := r.ask(action, walletID, policyID); state != "refused" || !strings.Contains(detail, text) {
		r.t.Errorf("%s: %s: %s; want a refusal with %q", action, state, detail, text)
	}
}

func (r *rig) done(action string, walletID int64, policyID int32) {
	r.t.Helper()
	if state, detail := r.ask(action, walletID, policyID); state != "done" {
		r.t.Errorf("%s: %s: %s", action, state, detail)
	}
}

func TestRequestedRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	id := r.policy("treasury", "@every 1h")
	w := r.wallets(id, 2, 1, 1)
	free := r.wallets(0, 1, 10, 1) // of no policy
	r.start()
	r.done("rotate", w[0], 0)
	r.done("rotate", free[0], 0)
	r.rotated(1, w[0], free[0])
	r.settled()
	r.healthy()
	if got := value[string](r, `SELECT coalesce(string_agg(DISTINCT trigger || ' by ' || actor, ','), '') FROM share_set_history WHERE outcome = 'activated'`); got != "manual by alice" {
		t.Errorf("history says %s", got)
	}
	r.refused("there is no wallet 99", "rotate", 99, 0)
	r.refused("has no open rotation", "discard", w[0], 0)
	r.refused("has no open rotation", "abort", w[0], 0)
	r.refused("has no rotation that waits", "retry", w[0], 0)
}

func TestRequestedCycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8)
	id := r.policy("by-hand", "", "canary", 2)
	wallets := r.wallets(id, 8, 1, 1)
	r.start()
	r.refused("there is no policy 99", "run_policy", 0, 99)
	r.refused("no version of policy never is valid", "run_policy", 0, r.policy("never", "TZ="))
	r.done("run_policy", 0, id)
	r.rotated(1, wallets...)
	r.settled()
	r.eventually("the cycle is completed", func() bool {
		return value[string](r, `SELECT coalesce(string_agg(state || ' ' || trigger, ','), '') FROM rotation_cycles`) == "completed manual"
	})
	r.exec(`UPDATE rotation_policies SET paused_reason = 'audit' WHERE id = $1`, id)
	r.refused("the policy is paused: audit", "run_policy", 0, id)
	r.exec(`UPDATE rotation_policies SET paused_reason = NULL WHERE id = $1`, id)
	r.done("run_policy", 0, id)
	r.rotated(2, wallets...)
	r.settled()
	r.healthy()
	r.oncePerTick()
	// A request from before the last tick is not answered with yes.
	old := value[int64](r, `INSERT INTO rotation_requests (action, policy_id, requested_at) VALUES ('run_policy', $1, now() - interval '1 hour') RETURNING id`, id)
	if state, detail := r.answered(old); state != "refused" || !strings.Contains(detail, "has started since") {
		t.Errorf("%s: %s", state, detail)
	}
}

// A request that comes together with the edit it needs is answered by that
// edit, also when nobody announced it.
func TestRequestAfterAnUnannouncedEdit(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	id := r.policy("by-hand", "", "paused_reason", "not yet")
	wallets := r.wallets(id, 1, 1, 1)
	r.start()
	r.refused("not yet", "run_policy", 0, id)
	r.exec(`ALTER TABLE rotation_policies DISABLE TRIGGER rotation_policies_record`)
	r.exec(`UPDATE rotation_policies SET paused_reason = NULL`)
	r.done("run_policy", 0, id)
	r.rotated(1, wallets...)
	r.settled()
	r.healthy()
}

func TestRequestsForAFailedRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	id := r.policy("treasury", "", "max_attempts", 1)
	w := r.wallets(id, 2, 1, 1)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 500})
	r.start()
	r.done("rotate", w[0], 0)
	r.done("rotate", w[1], 0)
	r.eventually("both failed", func() bool { return value[int](r, `SELECT count(*) FROM rotations WHERE state = 'failed'`) == 2 })
	r.breaks()
	r.done("retry", w[0], 0)
	r.done("abort", w[1], 0)
	r.rotated(1, w[0])
	r.settled()
	r.healthy()
	if n := r.generations()[w[1]]; n != 0 {
		t.Errorf("the aborted rotation was done %d times", n)
	}
}

// A rotation that waits in a paused policy can be aborted there.
func TestAbortInAPause(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	w := r.wallets(r.policy("treasury", "", "paused_reason", "audit"), 1, 1, 1)
	r.start()
	r.done("rotate", w[0], 0)
	r.eventually("it was put back", func() bool {
		return value[int](r, `SELECT count(*) FROM rotations WHERE owner IS NULL AND next_check > now()`) == 1
	})
	r.done("abort", w[0], 0)
	r.settled()
	if n := r.generations()[w[0]]; n != 0 {
		t.Errorf("it was rotated %d times in a pause", n)
	}
}

// What a person asks for does not wait until a large cycle is through.
func TestRequestPassesACycle(t *testing.T) {
	t.Parallel()
	r := newRig(t, 31)
	id := r.policy("large", "@every 1h", "max_concurrent", 100)
	r.wallets(id, 30, 1, 1)
	urgent := r.wallets(0, 1, 1000, 1)
	r.ticked(id, time.Hour, 10*time.Second)
	r.breaks(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Latency, Delay: 200 * time.Millisecond})
	r.start(func(o *Options) { o.Config.Workers = 1 })
	r.eventually("the cycle has begun", func() bool { return value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1`) > 0 })
	r.done("rotate", urgent[0], 0)
	r.rotated(1, urgent...)
	if n := value[int](r, `SELECT count(*) FROM wallet_state WHERE generation = 1`); n > 20 {
		t.Errorf("%d others came first", n)
	}
	r.stop()
	r.healthy()
}

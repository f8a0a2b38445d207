package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/provider"
)

// table reads rows of text, with the ids of this test's wallets left out.
func (w *world) table(sql string, args ...any) []string {
	w.t.Helper()
	rows, err := w.admin.Query(w.t.Context(), sql, args...)
	w.ok(err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	w.ok(err)
	return out
}

func (w *world) rows(want []string, sql string, args ...any) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.table(sql, args...)); diff != "" {
		w.t.Fatalf("%s (-want +got):\n%s", sql, diff)
	}
}

// oneOfEach insists that no wallet has two active or two pending share sets,
// and that none of its references is in two states at once.
func (w *world) oneOfEach() {
	w.t.Helper()
	w.rows(nil, `SELECT wallet_id || ' has ' || count(*) || ' ' || state FROM share_sets WHERE state IN ('active', 'pending') GROUP BY wallet_id, state HAVING count(*) > 1`)
	w.rows(nil, `SELECT wallet_id || ': ' || provider_ref || ' is ' || string_agg(DISTINCT state, ' and ') FROM share_sets
		WHERE provider_ref <> '' GROUP BY wallet_id, provider_ref HAVING count(DISTINCT state) > 1`)
}

// TestShareSets follows one wallet through an abandoned attempt, a rotation, a
// reconciliation with a set that was given up, and another pending one.
func TestShareSets(t *testing.T) {
	w, r := claimed(t)
	id := r.Wallet.ID
	sets := func(want ...string) {
		t.Helper()
		w.oneOfEach()
		w.rows(want, `SELECT concat_ws(' ', generation, replace(provider_ref, $1, ''), state, CASE WHEN opened_at IS NOT NULL THEN 'opened' END,
			CASE WHEN activated_at IS NOT NULL THEN 'activated' END, CASE WHEN retired_at IS NOT NULL THEN 'retired' END)
			FROM share_sets ORDER BY opened_at NULLS FIRST, activated_at`, fmt.Sprintf("set-%d-", id))
	}
	short := func(r *Rotation) string { return r.AttemptID.String() }
	sets()
	w.baseline(r)
	sets("0 0 active")
	w.opening(r)
	sets("0 0 active") // nobody knows a name yet
	w.ceremony(r)
	first := short(r)
	sets("0 0 active", "1 "+first+" pending opened")
	w.abandon(r)
	sets("0 0 active", "1 "+first+" abandoned opened")
	w.discarded(r)
	w.to(r, Prepared)
	second := short(r)
	sets("0 0 active", "1 "+first+" abandoned opened", "1 "+second+" pending opened")
	w.promoted(r, time.Time{})
	sets("0 0 retired retired", "1 "+first+" abandoned opened", "1 "+second+" active opened activated")
	w.committed(r)
	sets("0 0 retired retired", "1 "+first+" abandoned opened", "1 "+second+" active opened activated")

	// Somebody put the first one back at the vendor, by hand.
	tick := w.hoursAgo(0)
	w.exec(`UPDATE wallet_state SET cycle_at = '2020-01-01'`)
	w.tick(r.PolicyID, tick)
	r = w.claim(r.PolicyID, tick, id)[id]
	e := Follow(r.Head, HistoryRow{WalletID: id, Generation: r.Head.Generation + 1, Outcome: Reconciled, DecidedAt: w.Now(),
		RotationID: r.RotationID, ShareSet: fmt.Sprintf("set-%d-%s", id, first), Replaced: r.Head.ActiveShareSet})
	got, err := w.Reconcile(t.Context(), w.epoch, []ReconcileStep{{Entry: e}})
	w.taken(r, got, err)
	r.Head = e.Head(r.Head)
	sets("2 "+first+" active activated", "0 0 retired retired", "1 "+second+" retired opened activated retired")
	w.to(r, Ceremony)
	sets("2 "+first+" active activated", "0 0 retired retired", "1 "+second+" retired opened activated retired", "3 "+short(r)+" pending opened")
	w.exec(`UPDATE wallets SET labels = '{}'`)
	w.same(ask[string](w, `SELECT DISTINCT provider || ' ' || external_id FROM share_sets`), r.Wallet.Provider+" "+r.Wallet.ExternalID, "wallet")
}

func TestPolicyStatus(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.exec(`INSERT INTO rotation_policies (name, schedule, max_share_age) VALUES ('new', '@daily', NULL)`)
	w.rows([]string{"new: false, not looked at yet: is a daemon running?"}, `SELECT name || ': ' || valid || ', ' || error FROM policy_status`)
	w.exec(`DELETE FROM rotation_policies`)

	p := w.policy("treasury")
	w.exec(`UPDATE rotation_policies SET max_share_age = '10 days'`)
	w.judge(p)
	ids := w.wallets(p, 4)
	w.exec(`UPDATE wallet_state SET cycle_at = now() - interval '1 day' WHERE wallet_id = $1`, ids[3])
	tick := w.hoursAgo(1)
	w.tick(p, tick)
	claimed := w.claim(p, tick, ids[:3]...)
	w.rotate(claimed[ids[0]])
	w.ok(w.Fail(ctx, w.epoch, claimed[ids[1]], provider.Terminal, "x", NeedsPerson, w.Now()))
	runs := []time.Time{w.hoursAgo(-1)}
	w.ok(w.SetNextRuns(ctx, p, runs))
	w.rows([]string{"treasury t - 2 2 running total 4 succeeded 1 failed 1 open 1 overdue 2 next 1"}, `
		SELECT concat_ws(' ', name, valid, coalesce(error, '-'), version, running_version, cycle_state, 'total', total, 'succeeded', succeeded,
		'failed', failed, 'open', open, 'overdue', overdue, 'next', cardinality(next_runs)) FROM policy_status`)
	w.same(ask[time.Time](w, `SELECT tick FROM policy_status`).Equal(tick), true, "tick")
	w.same(ask[bool](w, `SELECT oldest_activated_at < now() - interval '29 days' FROM policy_status`), true, "oldest")
	w.exec(`UPDATE rotation_policies SET paused_reason = 'audit'`)
	w.rows([]string{"audit 0 f"}, `SELECT concat_ws(' ', paused_reason, cardinality(next_runs), valid) FROM policy_status`)
}

func TestWalletStatus(t *testing.T) {
	w, r := claimed(t)
	other := w.wallets(0, 1)[0]
	w.exec(`UPDATE wallets SET paused_reason = 'audit' WHERE id = $1`, other)
	w.to(r, Ceremony)
	w.park(r, ParkStep{NextCheck: w.Now(), Attention: WaitsForApproval, Error: "waits for bob"})
	w.rows([]string{
		fmt.Sprintf("dyn treasury 0 set-%d-0 ceremony 1 waits_for_approval waits for bob t", r.Wallet.ID),
		"dyn - 0 t audit",
	}, `SELECT concat_ws(' ', provider, coalesce(policy, '-'), generation, active_share_set, rotation_state, attempt, attention, error, enabled, paused_reason)
		FROM wallet_status ORDER BY wallet_id`)
}

func TestRotationLog(t *testing.T) {
	w, r := claimed(t)
	log := func(want ...string) {
		t.Helper()
		w.rows(want, `SELECT concat_ws(' ', policy, trigger, outcome, detail) FROM rotation_log ORDER BY decided_at NULLS LAST`)
	}
	log("treasury schedule waiting")
	w.to(r, Ceremony)
	w.abandon(r)
	log("treasury baseline", "treasury schedule abandoned the room closed", "treasury schedule waiting the room closed")
	w.discarded(r)
	w.rotate(r)
	log("treasury baseline", "treasury schedule abandoned the room closed", "treasury schedule activated")
	// A deleted wallet's rotations stay.
	w.exec(`DELETE FROM wallets`)
	log("treasury baseline", "treasury schedule abandoned the room closed", "treasury schedule activated")
}

// TestAttention: everything that waits for a person is there, with words that
// say what to do.
func TestAttention(t *testing.T) {
	reasons := []Attention{BaselineMismatch, Drift, KeyAtRisk, PreparedShareLost, PromoteRefused, DoubtRemains, CommitPending,
		AttemptsUsedUp, Mismatch, NeedsPerson, WaitsForApproval}
	w := newWorld(t)
	p := w.policy("treasury")
	ids := w.wallets(p, len(reasons))
	claimed := w.claim(p, w.hoursAgo(1), ids...)
	for i, id := range ids {
		w.to(claimed[id], Ceremony)
		w.park(claimed[id], ParkStep{Attention: reasons[i], Error: "detail of " + string(reasons[i])})
	}
	var got []string
	for _, row := range w.table(`SELECT reason || '|' || policy || '|' || detail || '|' || next_step FROM attention WHERE since <= now() + interval '1 second' ORDER BY wallet_id`) {
		reason, rest, _ := strings.Cut(row, "|")
		if !strings.HasPrefix(rest, "treasury|detail of "+reason+"|") || strings.HasSuffix(rest, "|") {
			t.Errorf("%s: %s", reason, rest)
		}
		got = append(got, reason)
	}
	w.same(got, reasons, "reasons")
	w.same(len(w.table(`SELECT DISTINCT next_step FROM attention`)), len(reasons)-1, "next steps: one each, but for the last resort") // verification and terminal share it
	w.exec(`UPDATE rotations SET attention = NULL, attention_since = NULL`)
	w.rows(nil, `SELECT reason FROM attention`)
}

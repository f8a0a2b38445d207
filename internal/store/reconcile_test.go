package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
)

// looks takes the only rotation that was opened to look.
func (w *world) looks() *Rotation {
	w.t.Helper()
	taken, err := w.TakeWaiting(w.t.Context(), w.epoch, 0, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].Wish, WishReconcile, "wish")
	return taken[0]
}

func TestRequestReconcile(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	id := w.wallets(p, 1)[0]
	w.exec(`UPDATE wallets SET paused_reason = 'restore'`) // opens nothing, so a pause does not matter
	w.answer(w.request("reconcile", id, "restored"), false)
	r := w.looks()
	w.same(r.PolicyID, 0, "policy: its failures are no failures of the policy")
	w.same(r.Policy, "treasury", "label")
	w.same(r.MaxAttempts, 3, "attempts")
	w.same(r.Actor+" "+r.WishActor, "alice alice", "who")
	if detail := w.answer(w.request("reconcile", id, ""), false); detail != "it is being compared already" {
		t.Error(detail)
	}
	if detail := w.answer(w.request("rotate", id, ""), true); !strings.Contains(detail, "disabled or paused") {
		t.Error(detail)
	}

	// Nothing can be opened under it, whatever the caller thinks.
	taken, err := w.Opening(t.Context(), w.epoch, []OpeningStep{{WalletID: id, AttemptID: r.RotationID, OldShareSet: "set-0", At: w.Now()}})
	w.ok(err)
	w.same(taken[id], false, "opened")

	eligible := ask[string](w, `SELECT eligible_after::text FROM wallet_state`)
	w.ok(w.Drop(t.Context(), w.epoch, r))
	w.same(ask[int](w, `SELECT count(*) FROM rotations`), 0, "open rotations")
	w.same(ask[string](w, `SELECT eligible_after::text FROM wallet_state`), eligible, "a comparison satisfies no tick and costs none")

	if detail := w.answer(w.request("reconcile", 999, ""), true); detail != "there is no wallet 999" {
		t.Error(detail)
	}
}

// A rotation that has failed ends with the look; one that waits looks by itself;
// one that is under way is left alone.
func TestRequestReconcileBesideARotation(t *testing.T) {
	w, r := claimed(t)
	if detail := w.answer(w.request("reconcile", r.Wallet.ID, ""), false); detail != "its open rotation compares before its next attempt" {
		t.Error(detail)
	}
	w.same(w.reload(r).Wish, "", "wish of a rotation that waits")

	w.ok(w.Fail(t.Context(), w.epoch, r, provider.Verification, "who did that?", Drift, w.Now()))
	w.answer(w.request("reconcile", r.Wallet.ID, ""), false)
	taken, err := w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].Wish, WishReconcile, "wish")
	w.same(string(taken[0].ErrorClass)+string(taken[0].Attention), "", "what it had failed with")
	w.ok(w.Drop(t.Context(), w.epoch, taken[0]))

	w2, r2 := claimed(t)
	w2.to(r2, Ceremony)
	if detail := w2.answer(w2.request("reconcile", r2.Wallet.ID, ""), true); !strings.Contains(detail, "is in ceremony and settles by itself") {
		t.Error(detail)
	}
	w2.same(w2.reload(r2).Wish, "", "wish")
}

func TestReconciling(t *testing.T) {
	w := newWorld(t)
	ids := w.wallets(w.policy("treasury"), 2)
	requests, err := w.AskReconcile(t.Context(), append(ids, 999), "rotatord", "a test")
	w.ok(err)
	w.same(len(requests), 3, "requests")
	state := func(wantUnanswered, wantLooking, wantRefused int) {
		t.Helper()
		unanswered, looking, refused, err := w.Reconciling(t.Context(), requests)
		w.ok(err)
		w.same([]int{int(unanswered), int(looking), len(refused)}, []int{wantUnanswered, wantLooking, wantRefused}, "unanswered, looking, refused")
	}
	state(3, 0, 0)
	open, err := w.OpenRequests(t.Context(), 10)
	w.ok(err)
	for _, q := range open {
		w.same(q.Actor+" "+q.Reason, "rotatord a test", "who and why")
		_, _, err := w.Answer(t.Context(), q)
		w.ok(err)
	}
	state(0, 2, 1)
	taken, err := w.TakeWaiting(t.Context(), w.epoch, 0, 0, 10)
	w.ok(err)
	w.ok(w.Drop(t.Context(), w.epoch, taken[0]))
	state(0, 1, 1)
	// One that waits for a person is looked at no more.
	w.ok(w.Fail(t.Context(), w.epoch, taken[1], provider.Verification, "who did that?", Drift, w.Now()))
	state(0, 0, 1)
}

func TestStandings(t *testing.T) {
	w := newWorld(t)
	a, b := w.policy("a"), w.policy("b")
	ids := append(w.wallets(a, 3), w.wallets(b, 2)...)
	w.exec(`INSERT INTO wallets (provider, external_id) VALUES ('other', 'x')`)
	walk := func(f StandingFilter, limit int) (seen []int64) {
		t.Helper()
		for after := int64(0); ; {
			page, err := w.Standings(t.Context(), f, after, limit)
			w.ok(err)
			for _, s := range page {
				seen = append(seen, s.Wallet.ID)
			}
			if len(page) < limit {
				return seen
			}
			after = page[len(page)-1].Wallet.ID
		}
	}
	w.same(len(walk(StandingFilter{}, 4)), 6, "all")
	w.same(walk(StandingFilter{Policy: "b"}, 1), ids[3:], "of a policy")
	w.same(len(walk(StandingFilter{Provider: "other"}, 1)), 1, "of a provider")
	w.same(len(walk(StandingFilter{Policy: "none"}, 1)), 0, "of no policy")
	w.exec(`UPDATE wallets SET enabled = false WHERE id = $1`, ids[4])
	w.exec(`UPDATE wallets SET paused_reason = 'audit' WHERE id = $1`, ids[3])
	w.same(walk(StandingFilter{Policy: "b"}, 1), ids[3:4], "less what is disabled")
	for name, want := range map[string]bool{"a": true, "none": false} {
		got, err := w.PolicyNamed(t.Context(), name)
		w.ok(err)
		w.same(got, want, "policy %s", name)
	}

	before, err := w.StandingsOf(t.Context(), ids[0], 999)
	w.ok(err)
	w.same(len(before), 1, "wallets that there are")
	w.same(before[0].Policy+" "+string(before[0].State), "a ", "policy and state")
	w.answer(w.request("rotate", ids[0], ""), false)
	after, err := w.StandingsOf(t.Context(), ids[0])
	w.ok(err)
	w.same(after[0].State, Waiting, "state")
	w.same(before[0].Moved(after[0]), true, "moved")
	w.same(after[0].Moved(after[0]), false, "moved from itself")
}

// TestWalk: one replica has it, the next one goes on where it left it, and who
// was given up for dead changes and asks nothing.
func TestWalk(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	id := w.wallets(w.policy("treasury"), 1)[0]
	w.exec(`UPDATE reconcile_state SET tick = '2026-01-01'`)
	tick := w.hoursAgo(1)
	other := w.register()

	x, mine, err := w.BeginWalk(ctx, w.epoch, tick)
	w.ok(err)
	w.same(mine, true, "begun")
	for _, again := range []int64{w.epoch, other} {
		_, mine, err := w.BeginWalk(ctx, again, tick)
		w.ok(err)
		w.same(mine, false, "begun twice")
	}
	_, mine, err = w.BeginWalk(ctx, other, w.Now())
	w.ok(err)
	w.same(mine, false, "begun beside another one")
	_, mine, err = w.TakeWalk(ctx, other)
	w.ok(err)
	w.same(mine, false, "taken from a living one")
	if detail := w.answer(w.request2(`INSERT INTO rotation_requests (action) VALUES ('reconcile') RETURNING id`), true); !strings.Contains(detail, "are being compared already") {
		t.Error(detail)
	}

	x.LastWallet = id
	x.Counts.Add("dyn", "drift", 1)
	w.ok(w.StepWalk(ctx, w.epoch, x, []int64{id}, "rotatord", "because"))
	w.same(ask[string](w, `SELECT actor || ': ' || reason FROM rotation_requests WHERE wallet_id IS NOT NULL`), "rotatord: because", "request")
	w.ok(w.Leave(ctx, w.epoch))
	for _, zombie := range []error{w.StepWalk(ctx, w.epoch, x, []int64{id}, "zombie", "late"), w.StepWalk(ctx, other, x, []int64{id}, "other", "none of its")} {
		if !errors.Is(zombie, ErrNotRecorded) {
			t.Errorf("a walk of another: %v", zombie)
		}
	}
	w.same(ask[int](w, `SELECT count(*) FROM rotation_requests WHERE wallet_id IS NOT NULL`), 1, "requests")

	y, mine, err := w.TakeWalk(ctx, other)
	w.ok(err)
	w.same(mine, true, "taken over")
	w.same(y.LastWallet, id, "last wallet")
	w.same(y.Counts["dyn"]["drift"], 1, "counted so far")
	w.same(y.Tick.Equal(tick), true, "tick")
	if err := w.EndWalk(ctx, w.epoch, y); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("a zombie ends it: %v", err)
	}
	w.ok(w.EndWalk(ctx, other, y))
	got, err := w.Walked(ctx)
	w.ok(err)
	w.same(got.Running, false, "running")
	w.same(got.CompletedAt.IsZero(), false, "never completed")
	w.same(got.Results["dyn"]["drift"], 1, "results")

	// By hand, outside every schedule; the results before stay until its end.
	w.answer(w.request2(`INSERT INTO rotation_requests (action) VALUES ('reconcile') RETURNING id`), false)
	z, mine, err := w.TakeWalk(ctx, other)
	w.ok(err)
	w.same(mine, true, "taken by hand")
	w.same(z.LastWallet, 0, "last wallet")
	w.same(z.Tick.After(tick), true, "a tick of its own")
	got, err = w.Walked(ctx)
	w.ok(err)
	w.same(got.Results["dyn"]["drift"], 1, "results while the next one runs")
}

// request2 inserts a request by a statement of its own and reads it back, past
// those that are still open.
func (w *world) request2(sql string) Request {
	w.t.Helper()
	w.exec(`INSERT INTO request_status (request_id, state, detail) SELECT id, 'done', '' FROM rotation_requests ON CONFLICT DO NOTHING`)
	id := ask[int64](w, sql)
	open, err := w.OpenRequests(w.t.Context(), 10)
	w.ok(err)
	w.same(len(open), 1, "open requests")
	w.same(open[0].ID, id, "request")
	return open[0]
}

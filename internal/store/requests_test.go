package store

import (
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/rotatord/rotatord/internal/provider"
)

// request inserts a request and reads it back the way a replica does.
func (w *world) request(action string, walletID int64, reason string) Request {
	w.t.Helper()
	id := ask[int64](w, `INSERT INTO rotation_requests (action, wallet_id, actor, reason) VALUES ($1, $2, 'alice', $3) RETURNING id`, action, walletID, reason)
	open, err := w.OpenRequests(w.t.Context(), 10)
	w.ok(err)
	w.same(len(open), 1, "open requests")
	w.same(open[0].ID, id, "request")
	return open[0]
}

// answer lets the daemon answer a request, and returns what it says.
func (w *world) answer(q Request, refused bool) string {
	w.t.Helper()
	mine, no, err := w.Answer(w.t.Context(), q)
	w.ok(err)
	detail := ask[string](w, `SELECT detail FROM request_status WHERE request_id = $1`, q.ID)
	w.same(mine, true, "answered here")
	w.same(no, refused, "refused (%s)", detail)
	w.same(ask[string](w, `SELECT state FROM request_status WHERE request_id = $1`, q.ID), map[bool]string{true: "refused", false: "done"}[refused], "status")
	open, err := w.OpenRequests(w.t.Context(), 10)
	w.ok(err)
	w.same(len(open), 0, "open requests")
	return detail
}

func TestRequestRotate(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	id := w.wallets(p, 1)[0]
	w.answer(w.request("rotate", id, "suspicion"), false)
	taken, err := w.TakeWaiting(t.Context(), w.epoch, p, 10, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	r := taken[0]
	w.same(r.Trigger, Manual, "trigger")
	w.same(r.Actor, "alice", "actor")
	w.same(r.Tick.Second(), 0, "seconds of the tick")
	if detail := w.answer(w.request("rotate", id, ""), true); !strings.Contains(detail, "is being rotated already") {
		t.Error(detail)
	}
	w.rotate(r)
	w.same(ask[string](w, `SELECT actor FROM share_set_history WHERE outcome = 'activated'`), "alice", "actor in the history")

	w.exec(`UPDATE wallets SET paused_reason = 'audit'`)
	if detail := w.answer(w.request("rotate", id, ""), true); !strings.Contains(detail, "disabled or paused") {
		t.Error(detail)
	}
	if detail := w.answer(w.request("rotate", 999, ""), true); detail != "there is no wallet 999" {
		t.Error(detail)
	}
}

// A wallet without a policy rotates by hand all the same.
func TestRequestRotateWithoutPolicy(t *testing.T) {
	w := newWorld(t)
	id := w.wallets(0, 1)[0]
	w.answer(w.request("rotate", id, ""), false)
	waiting, err := w.WaitingPolicies(t.Context())
	w.ok(err)
	w.same(waiting, []int32{0}, "policies with waiting rotations")
	taken, err := w.TakeWaiting(t.Context(), w.epoch, 0, 10, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.rotate(taken[0])
	w.same(ask[int](w, `SELECT count(*) FROM cycle_counters`), 0, "counters")
}

func TestRequestRetry(t *testing.T) {
	w, r := claimed(t)
	if detail := w.answer(w.request("retry", r.Wallet.ID, ""), true); !strings.Contains(detail, "has no rotation that waits") {
		t.Error(detail) // it is in hand
	}
	w.ok(w.Fail(t.Context(), w.epoch, r, provider.Terminal, "backups would be lost", NeedsPerson, w.Now()))
	w.answer(w.request("retry", r.Wallet.ID, ""), false)
	taken, err := w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
	w.ok(err)
	w.same(len(taken), 1, "taken")
	w.same(taken[0].ErrorClass, "", "class")
	w.same(taken[0].Attention, "", "attention")
	w.to(taken[0], Prepared)
	w.park(taken[0], ParkStep{Attention: PromoteRefused, Class: provider.Terminal, Error: "no"})
	w.same(ask[int](w, `SELECT count(*) FROM attention WHERE reason = 'promote_refused'`), 1, "attention")
	w.answer(w.request("retry", r.Wallet.ID, ""), false)
	again, err := w.TakeUnderWay(t.Context(), w.epoch, 10)
	w.ok(err)
	w.same(len(again), 1, "taken")
	w.same(again[0].State, Prepared, "state: retry starts nothing over")
}

// The attention view sends people here for clean-ups too.
func TestRequestRetryOfACleanUp(t *testing.T) {
	w, r := claimed(t)
	ctx := t.Context()
	w.to(r, Prepared)
	w.promoted(r, w.Now())
	w.committed(r)
	due, err := w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(due), 1, "due")
	w.ok(w.RetirementFailed(ctx, w.epoch, due[0], w.Now().AddDate(1, 0, 0), "the vendor said no", NeedsPerson))
	w.same(ask[string](w, `SELECT reason || ': ' || detail FROM attention`), "terminal: the vendor said no", "attention")
	none, err := w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(none), 0, "due before their time")
	w.answer(w.request("retry", r.Wallet.ID, ""), false)
	due, err = w.TakeRetirements(ctx, w.epoch, 10)
	w.ok(err)
	w.same(len(due), 1, "due after the request")
	w.same(due[0].Attempts, 1, "attempts")
	w.ok(w.RetirementDone(ctx, w.epoch, due[0], ""))
}

func TestRequestAbort(t *testing.T) {
	for _, state := range []State{Waiting, Opening, Ceremony} {
		t.Run(string(state), func(t *testing.T) {
			w, r := claimed(t)
			if state != Waiting {
				w.to(r, state)
			}
			w.answer(w.request("abort", r.Wallet.ID, ""), false)
			got := w.reload(r)
			w.same(got.Wish, WishAbort, "wish")
			w.same(got.WishActor, "alice", "who wished")
			// Nothing new is begun, and the commit point is not passed.
			opened, err := w.Opening(t.Context(), w.epoch, []OpeningStep{openingStep(w.Store, r)})
			w.ok(err)
			prepared, err := w.Prepared(t.Context(), w.epoch, []PreparedStep{preparedStep(w.Store, r)})
			w.ok(err)
			w.same(len(opened)+len(prepared), 0, "steps past an abort")
			if state != Waiting {
				w.abandon(r)
				w.same(w.reload(r).Wish, WishAbort, "wish after the attempt was abandoned")
				w.discarded(r)
			}
			w.ok(w.Drop(t.Context(), w.epoch, r))
		})
	}
	t.Run("failed", func(t *testing.T) {
		w, r := claimed(t)
		w.ok(w.Fail(t.Context(), w.epoch, r, provider.Terminal, "x", NeedsPerson, w.Now()))
		w.answer(w.request("abort", r.Wallet.ID, ""), false)
		taken, err := w.TakeWaiting(t.Context(), w.epoch, r.PolicyID, 0, 10)
		w.ok(err)
		w.same(len(taken), 1, "taken to be ended")
		w.same(taken[0].Wish, WishAbort, "wish")
	})
	for _, state := range []State{Prepared, Promoted} {
		t.Run(string(state), func(t *testing.T) {
			w, r := claimed(t)
			w.to(r, state)
			if detail := w.answer(w.request("abort", r.Wallet.ID, ""), true); !strings.Contains(detail, "it will roll forward") {
				t.Error(detail)
			}
		})
	}
}

func TestRequestDiscard(t *testing.T) {
	for _, state := range []State{Opening, Ceremony, Promoted} {
		t.Run(string(state), func(t *testing.T) {
			w, r := claimed(t)
			w.to(r, state)
			w.answer(w.request("discard", r.Wallet.ID, "checked at the vendor"), true)
			w.same(w.reload(r).Wish, "", "wish")
		})
	}
	t.Run("prepared", func(t *testing.T) {
		w, r := claimed(t)
		w.to(r, Prepared)
		w.answer(w.request("discard", r.Wallet.ID, "checked at the vendor"), false)
		w.same(w.reload(r).Wish, WishDiscard, "wish")
		w.abandon(r)
		w.same(w.reload(r).Wish, "", "wish after it was fulfilled")
	})
	t.Run("nothing open", func(t *testing.T) {
		w := newWorld(t)
		if detail := w.answer(w.request("discard", w.wallets(0, 1)[0], "checked"), true); !strings.Contains(detail, "has no open rotation") {
			t.Error(detail)
		}
	})
}

func TestRequestsAreAnsweredOnce(t *testing.T) {
	w := newWorld(t)
	id := w.wallets(w.policy("treasury"), 1)[0]
	q := w.request("rotate", id, "")
	const callers = 8
	answers := make([]bool, callers)
	var g errgroup.Group
	for i := range callers {
		g.Go(func() (err error) {
			answers[i], _, err = w.Answer(t.Context(), q)
			return err
		})
	}
	w.ok(g.Wait())
	n := 0
	for _, mine := range answers {
		if mine {
			n++
		}
	}
	w.same(n, 1, "callers that answered")
	w.same(ask[string](w, `SELECT state FROM request_status`), "done", "status")
}

func TestAnswersOfTheCaller(t *testing.T) {
	w := newWorld(t)
	p := w.policy("treasury")
	w.exec(`INSERT INTO rotation_requests (action, policy_id, actor) VALUES ('run_policy', $1, 'bob'), ('run_policy', 99, 'bob')`, p)
	w.exec(`INSERT INTO rotation_requests (action) VALUES ('reconcile')`)
	open, err := w.OpenRequests(t.Context(), 10)
	w.ok(err)
	w.same(len(open), 3, "open requests")
	w.same(open[0].PolicyID, p, "policy")
	for i, a := range []struct{ detail, refuse, want string }{
		{"a cycle was started", "", "done a cycle was started"},
		{"", "there is no policy 99", "refused there is no policy 99"},
	} {
		mine, err := w.AnswerWith(t.Context(), open[i], a.detail, a.refuse)
		w.ok(err)
		w.same(mine, true, "answered here")
		w.same(ask[string](w, `SELECT state || ' ' || detail FROM request_status WHERE request_id = $1`, open[i].ID), a.want, "answer")
		mine, err = w.AnswerWith(t.Context(), open[i], "again", "")
		w.ok(err)
		w.same(mine, false, "answered twice")
	}
	w.answer(open[2], false)
}

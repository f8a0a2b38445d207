package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

var fresh = Verification{NextWallet: -5, Digest: make([]byte, 32)}

func (w *world) take(owner uuid.UUID, every, stale time.Duration) *Verification {
	w.t.Helper()
	v, err := w.TakeVerification(w.t.Context(), owner, every, stale, fresh)
	w.ok(err)
	return v
}

// TestOneVerificationAtATime: whoever comes second gets nothing, until the
// first falls silent; and the one who was silent then records nothing.
func TestOneVerificationAtATime(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a, b := uuid.New(), uuid.New()
	v := w.take(a, time.Hour, time.Minute)
	w.same(v.NextWallet, -5, "beginning")
	if other := w.take(b, 0, time.Minute); other != nil {
		t.Fatalf("a second one began: %+v", other)
	}
	v.NextWallet, v.Wallets, v.Rows, v.Digest = 7, 2, 5, []byte("01234567890123456789012345678901")
	w.ok(w.AdvanceVerification(ctx, a, *v, nil, false))
	again := w.take(a, time.Hour, time.Minute) // after an error
	w.same(*again, *v, "what is on record")

	w.exec(`UPDATE history_verifications SET renewed_at = now() - interval '2 minutes'`)
	taken := w.take(b, time.Hour, time.Minute)
	w.same(*taken, *v, "what is gone on with")
	if err := w.AdvanceVerification(ctx, a, *v, []BrokenWallet{{WalletID: 1, What: "x"}}, true); !errors.Is(err, ErrNotRecorded) {
		t.Fatalf("the one before records: %v", err)
	}
	w.same(ask[int](w, `SELECT count(*) FROM history_breaks`), 0, "breaks of the one before")
	w.ok(w.AdvanceVerification(ctx, b, *v, nil, true))
	if err := w.AdvanceVerification(ctx, b, *v, nil, true); !errors.Is(err, ErrNotRecorded) {
		t.Fatalf("after the end: %v", err)
	}
	if early := w.take(a, time.Hour, time.Minute); early != nil {
		t.Fatalf("the next one is early: %+v", early)
	}
	w.exec(`UPDATE history_verifications SET started_at = now() - interval '2 hours'`)
	if next := w.take(a, time.Hour, time.Minute); next == nil || next.ID == v.ID || next.Wallets != 0 {
		t.Fatalf("the next one: %+v", next)
	}
}

// TestBreaksAreRaised in attention and in what the metrics read, as soon as they
// are found, and until a later verification comes to its end without them.
func TestBreaksAreRaised(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	id := w.wallets(w.policy("treasury"), 1)[0]
	owner := uuid.New()
	verified := func(wantEver bool, wantBroken int64) {
		t.Helper()
		at, broken, err := w.HistoryVerified(ctx)
		w.ok(err)
		w.same(!at.IsZero(), wantEver, "verified ever")
		w.same(broken, wantBroken, "broken")
	}
	const attention = `SELECT (wallet_id - $1::bigint, policy, reason, detail, next_step <> '')::text FROM attention ORDER BY wallet_id`
	verified(false, 0)
	v := w.take(owner, 0, time.Minute)
	v.Broken = 2
	w.ok(w.AdvanceVerification(ctx, owner, *v, []BrokenWallet{{id, 3, "it is changed", 2}, {id + 1, 0, "row 1 is missing", 1}}, false))
	verified(false, 2)
	w.rows([]string{`(0,treasury,history_broken,"row 3: it is changed; 1 more",t)`, `(1,,history_broken,"row 1 is missing",t)`}, attention, id)
	since := ask[time.Time](w, `SELECT since FROM attention WHERE wallet_id = $1`, id)
	w.ok(w.AdvanceVerification(ctx, owner, *v, nil, true))
	verified(true, 2)

	// The next one finds one of them again, and at its end the other is mended.
	v = w.take(owner, 0, time.Minute)
	verified(true, 2)
	v.Broken = 1
	w.ok(w.AdvanceVerification(ctx, owner, *v, []BrokenWallet{{id, 4, "it is changed too", 1}}, false))
	w.rows([]string{`(0,treasury,history_broken,"row 4: it is changed too",t)`, `(1,,history_broken,"row 1 is missing",t)`}, attention, id)
	w.ok(w.AdvanceVerification(ctx, owner, *v, nil, true))
	verified(true, 1)
	w.rows([]string{`(0,treasury,history_broken,"row 4: it is changed too",t)`}, attention, id)
	w.same(ask[time.Time](w, `SELECT since FROM attention`), since, "since when")

	// However many there are, only so many are kept.
	v = w.take(owner, 0, time.Minute)
	many := make([]BrokenWallet, keptBreaks+5)
	for i := range many {
		many[i] = BrokenWallet{int64(i + 1), 1, "x", 1}
	}
	v.Broken = int64(len(many))
	w.ok(w.AdvanceVerification(ctx, owner, *v, many[:keptBreaks-2], false))
	w.ok(w.AdvanceVerification(ctx, owner, *v, many[keptBreaks-2:], true))
	w.same(ask[int](w, `SELECT count(*) FROM history_breaks`), keptBreaks, "breaks that are kept")
	verified(true, int64(len(many)))
}

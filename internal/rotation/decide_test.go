package rotation

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// The decisions of a rotation that need no world.

func TestSealed(t *testing.T) {
	for _, tt := range []struct {
		class    provider.Class
		attempts int32 // of 3
		known    store.Attention
		want     store.Attention
	}{
		{"", 0, "", ""},
		{"", 3, "", ""}, // set back by a person or a tick
		{provider.Retryable, 1, "", ""},
		{provider.Retryable, 2, "", ""},
		{provider.Retryable, 3, "", store.AttemptsUsedUp},
		{provider.InDoubt, 2, "", ""},
		{provider.InDoubt, 3, "", store.AttemptsUsedUp},
		{provider.RateLimited, 2, "", ""},
		{provider.Terminal, 1, "", store.NeedsPerson},
		{provider.Verification, 1, "", store.Mismatch},
		{provider.Verification, 1, store.Drift, store.Drift},
		{provider.Verification, 3, store.KeyAtRisk, store.KeyAtRisk},
	} {
		j := &job{r: &store.Rotation{ErrorClass: tt.class, Attempt: tt.attempts, MaxAttempts: 3, Attention: tt.known}}
		if got, sealed := j.sealed(); got != tt.want || sealed != (tt.want != "") {
			t.Errorf("%s after %d of 3 attempts: %q, %t; want %q", tt.class, tt.attempts, got, sealed, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for class, want := range map[provider.Class]store.Attention{
		provider.Terminal: store.PromoteRefused, provider.Verification: store.PromoteRefused,
		provider.Retryable: "", provider.RateLimited: "", provider.InDoubt: "",
	} {
		err := refused(provider.Errorf(class, provider.ReasonProviderError, "no"))
		if got := attentionOf(err); got != want {
			t.Errorf("%s: attention %q, want %q", class, got, want)
		}
		if still, _ := provider.ClassOf(err); still != class {
			t.Errorf("%s became %s", class, still)
		}
	}
}

func TestOverdue(t *testing.T) {
	for _, tt := range []struct {
		state store.State
		doubt time.Time
		want  store.Attention
	}{
		{store.Promoted, time.Time{}, store.CommitPending},
		{store.Prepared, time.Time{}, store.PromotionStuck},
		{store.Prepared, time.Now(), store.DoubtRemains},
		{store.Ceremony, time.Time{}, store.NeedsPerson},
		{store.Opening, time.Time{}, store.NeedsPerson},
	} {
		if got := overdue(&store.Rotation{State: tt.state, InDoubtSince: tt.doubt}); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.state, got, tt.want)
		}
	}
}

func TestPace(t *testing.T) {
	entered := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		state   store.State
		elapsed time.Duration
		asked   time.Duration // by a Retry-After
		want    time.Duration
	}{
		{store.Prepared, 0, 0, time.Second},
		{store.Prepared, 20 * time.Second, 0, 5 * time.Second},
		{store.Prepared, 24 * time.Hour, 0, time.Minute},
		{store.Prepared, 0, 10 * time.Minute, 10 * time.Minute},
		{store.Promoted, 0, 0, time.Second},
		{store.Promoted, 24 * time.Hour, 0, 5 * time.Second},
		{store.Promoted, 0, time.Hour, time.Second}, // hurry, whatever anybody asks for
		{store.Ceremony, 24 * time.Hour, 0, time.Minute},
		{store.Opening, 0, 0, time.Second},
	} {
		r := &store.Rotation{State: tt.state, OpenedAt: entered, PreparedAt: entered, PromotedAt: entered}
		now := entered.Add(tt.elapsed)
		if got := defaultPace.until(r, now, tt.asked).Sub(now); got != tt.want {
			t.Errorf("%s for %v, asked for %v: %v, want %v", tt.state, tt.elapsed, tt.asked, got, tt.want)
		}
	}
}

func TestBackoffIsBounded(t *testing.T) {
	timing := Timing{BackoffInitial: time.Second, BackoffMax: time.Minute}
	for n, want := range map[int32]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 32 * time.Second,
		7: time.Minute, 8: time.Minute, 1 << 30: time.Minute} {
		least, most := want, time.Duration(0)
		for range 2000 {
			d := backoff(timing, n)
			least, most = min(least, d), max(most, d)
		}
		if most > want || least < want*3/4 || most-least < want/8 {
			t.Errorf("after attempt %d: between %v and %v, want the last quarter below %v", n, least, most, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		timing := Timing{BackoffInitial: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "initial"))}
		timing.BackoffMax = time.Duration(rapid.Int64Range(1, 1<<62).Draw(t, "max"))
		n := rapid.Int32().Draw(t, "n")
		if d := backoff(timing, n); d <= 0 && min(timing.BackoffInitial, timing.BackoffMax) > 1 || d > timing.BackoffMax {
			t.Fatalf("%v", d)
		}
	})
}

func TestLostAndLate(t *testing.T) {
	for state, want := range map[store.State]provider.Class{store.Opening: provider.InDoubt, store.Ceremony: provider.Retryable} {
		j := &job{r: &store.Rotation{State: state}}
		err := j.lost(provider.ErrSessionLost)
		if class, _ := provider.ClassOf(err); class != want || !errors.Is(err, provider.ErrSessionLost) {
			t.Errorf("%s: %s, %v", state, class, err)
		}
	}
	j := &job{Engine: &Engine{Options: Options{Timing: Timing{Ceremony: time.Second}}}}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, reason := provider.ClassOf(j.late(over, fmt.Errorf("waiting: %w", context.DeadlineExceeded))); reason != provider.ReasonTimeout {
		t.Errorf("a ceremony out of time is %s", reason)
	}
	other := errors.New("other")
	if got := j.late(over, other); got != other {
		t.Errorf("%v", got)
	}
	if got := j.late(t.Context(), context.DeadlineExceeded); got != context.DeadlineExceeded {
		t.Errorf("%v", got)
	}
}

func TestPassOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	j := &job{Engine: &Engine{ctx: ctx}}
	if _, yes := j.passOn(errors.New("the vendor's")); yes {
		t.Error("a vendor's failure stopped the work")
	}
	if err, yes := j.passOn(fmt.Errorf("opening: %w", recording(store.ErrNotRecorded))); !yes || !errors.Is(err, store.ErrNotRecorded) {
		t.Errorf("a failure of the record: %v, %t", err, yes)
	}
	if text := recording(store.ErrGivenUp).Error(); text != store.ErrGivenUp.Error() {
		t.Errorf("it reads %q", text)
	}
	cancel()
	if err, yes := j.passOn(errors.New("the vendor's")); !yes || !errors.Is(err, context.Canceled) {
		t.Errorf("a replica that ends: %v, %t", err, yes)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		closed := func(want bool) {
			t.Helper()
			if _, failing := g.failing("lisbon"); failing != want {
				t.Errorf("closed: %t, want %t", failing, want)
			}
		}
		wait := func(d time.Duration) { pause(t.Context(), d) }
		closed(false)
		g.failed("lisbon")
		closed(true)
		if _, failing := g.failing("porto"); failing {
			t.Error("another co-signer is held back")
		}
		start := time.Now()
		for range 10 { // it is still down
			wait(gateMemory / 2)
			g.failed("lisbon")
			closed(true)
		}
		if since, _ := g.failing("lisbon"); !since.Equal(start) {
			t.Errorf("failing since %v, want %v", since, start)
		}
		g.succeeded("lisbon")
		closed(false)

		// Without news, one may find out for all.
		g.failed("lisbon")
		wait(gateMemory + time.Second)
		closed(false)
		closed(true)
		closed(true)
		wait(gateMemory + time.Second)
		closed(false)
		closed(true)
		g.succeeded("lisbon")
		closed(false)
	})
}

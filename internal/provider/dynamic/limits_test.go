package dynamic

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestNoWindowIsEverExceeded sends as fast as the limits allow, with pauses at
// random, and then looks at every window of every limit wherever it starts.
func TestNoWindowIsEverExceeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) RateLimit {
			return RateLimit{
				Requests: rapid.IntRange(2, 80).Draw(t, "requests"),
				Per:      time.Duration(rapid.Int64Range(1, int64(5*time.Minute)).Draw(t, "per")),
			}
		}), 1, 3).Draw(t, "rules")
		if rapid.Bool().Draw(t, "documented") {
			rules = DocumentedRateLimits()
		}
		l, err := newLimits(rules)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		var sent []time.Time
		for range rapid.IntRange(1, 400).Draw(t, "sends") {
			if rapid.IntRange(0, 9).Draw(t, "pauses") == 0 {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "pause")))
			}
			for tries := 0; ; tries++ {
				wait := l.take(now)
				if wait == 0 {
					break
				}
				if wait < 0 || tries > 3 {
					t.Fatalf("waiting %s for the %dth time", wait, tries)
				}
				now = now.Add(wait)
			}
			sent = append(sent, now)
		}
		for _, rule := range rules {
			for i := 0; i+rule.Requests < len(sent); i++ {
				if d := sent[i+rule.Requests].Sub(sent[i]); d <= rule.Per {
					t.Fatalf("%d requests within %s, allowed are %d in %s", rule.Requests+1, d, rule.Requests, rule.Per)
				}
			}
		}
	})
}

// TestLimitsAreUsed guards against a limit so careful that nothing passes.
func TestLimitsAreUsed(t *testing.T) {
	l, err := newLimits(DocumentedRateLimits())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	n := 0
	for end := now.Add(time.Hour); now.Before(end); n++ {
		for wait := l.take(now); wait > 0; wait = l.take(now) {
			now = now.Add(wait)
		}
	}
	// 500 in five minutes is 6000 in an hour; a tenth is kept for bursts.
	if n < 5400 || n > 6000 {
		t.Errorf("%d requests in an hour, want 5400 to 6000", n)
	}
}

func TestLimitWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := newLimits([]RateLimit{{Requests: 2, Per: 10 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 3 {
			if _, err := l.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start).Round(time.Millisecond); d != 20*time.Second {
			t.Errorf("three requests took %s, want 20s: one at once, one in every ten seconds", d)
		}

		// Who cannot make it in time is told at once, and how long it would take.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		blocked, err := l.wait(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(before) != 0 || blocked < 9*time.Second {
			t.Errorf("wait = %s, %v after %s", blocked, err, time.Since(before))
		}

		// Who gives up while waiting takes nothing with him.
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := l.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("wait after cancel: %v", err)
		}
		if _, err := l.wait(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(start).Round(time.Millisecond); d != 30*time.Second {
			t.Errorf("the fourth request went after %s, want 30s", d)
		}
	})
}

func TestLimitsRefuseNonsense(t *testing.T) {
	for _, rule := range []RateLimit{{}, {Requests: 1, Per: time.Second}, {Requests: 5}, {Requests: -1, Per: -1}} {
		if _, err := newLimits([]RateLimit{rule}); err == nil {
			t.Errorf("%+v was accepted", rule)
		}
	}
}

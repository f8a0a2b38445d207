package dynamic

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// RateLimit allows so many requests in any window of length Per.
type RateLimit struct {
	Requests int
	Per      time.Duration
}

// DocumentedRateLimits are the vendor's limits for one address on the /sdk
// routes, whichever is reached first (www.dynamic.xyz/docs, platform/rate-limits).
// The limits of the /server routes are not documented; these are kept there
// too. The limit for a whole environment, 10000 in a minute, is far above what
// one process may send under these.
func DocumentedRateLimits() []RateLimit {
	return []RateLimit{
		{Requests: 60, Per: 10 * time.Second},
		{Requests: 250, Per: time.Minute},
		{Requests: 500, Per: 5 * time.Minute},
	}
}

// limits lets a request go when every window has room for it.
//
// A token bucket of burst b and rate r passes at most b + r·W requests in a
// window of length W. With r = (N−b)/W that is N, for every window wherever it
// starts; the usual bucket of burst N and rate N/W would pass 2N.
//
// Tokens are taken from all buckets at one instant, never reserved for later:
// a reservation that waited for a slower bucket would go out bunched together
// with others and break the promise of the faster one.
type limits struct {
	turn    chan struct{} // whoever could send to it is first in line
	buckets []*rate.Limiter
}

func newLimits(rules []RateLimit) (*limits, error) {
	l := &limits{turn: make(chan struct{}, 1)}
	for _, rule := range rules {
		if rule.Requests < 2 || rule.Per <= 0 {
			return nil, fmt.Errorf("rate limit %d per %s: needs at least 2 requests in a positive time", rule.Requests, rule.Per)
		}
		steady := rate.Limit(float64(rule.Requests-burst(rule)) / rule.Per.Seconds())
		l.buckets = append(l.buckets, rate.NewLimiter(steady, burst(rule)))
	}
	return l, nil
}

// burst is how many requests may go at once: a tenth, so that a lone rotation
// is not slowed down. The rest is what a fleet can use steadily.
func burst(r RateLimit) int { return max(1, r.Requests/10) }

// take takes a token from every bucket, or none and says how long to wait.
// Only who is first in line may call it.
func (l *limits) take(now time.Time) (wait time.Duration) {
	for _, b := range l.buckets {
		if missing := 1 - b.TokensAt(now); missing > 0 {
			// Rounded up: a wait of zero would spin.
			wait = max(wait, time.Duration(missing/float64(b.Limit())*float64(time.Second))+1)
		}
	}
	if wait > 0 {
		return wait
	}
	for _, b := range l.buckets {
		b.AllowN(now, 1)
	}
	return 0
}

// wait blocks until a request may go, in the order of arrival. It gives up at
// once when ctx will have ended before that, and says how long it would have
// taken; blocked is zero for a caller that never came to the head of the line.
func (l *limits) wait(ctx context.Context) (blocked time.Duration, err error) {
	if len(l.buckets) == 0 {
		return 0, ctx.Err()
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		d := l.take(time.Now())
		if d == 0 {
			return 0, nil
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
			return d, context.DeadlineExceeded
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return d, ctx.Err()
		}
	}
}

package cobo

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// limits are token buckets in a row.
type limits []*rate.Limiter

func newLimits(rules []RateLimit) (limits, error) {
	var l limits
	for _, rule := range rules {
		if rule.Requests < 1 || rule.Per <= 0 {
			return nil, fmt.Errorf("rate limit %d per %s: needs at least 1 request in a positive time", rule.Requests, rule.Per)
		}
		// A burst of a tenth, so that one vault, whose steps come in bunches of
		// five to ten calls, is not slowed down by a limit for a fleet.
		l = append(l, rate.NewLimiter(rate.Every(rule.Per/time.Duration(rule.Requests)), max(1, rule.Requests/10)))
	}
	return l, nil
}

// wait blocks until a request may go, and gives up at once when ctx will have
// ended before that.
func (l limits) wait(ctx context.Context) error {
	for _, bucket := range l {
		if err := bucket.Wait(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

package app

import (
	"context"

	"golang.org/x/time/rate"

	"github.com/rotatord/rotatord/internal/config"
)

const (
	// lookRequests is what one look at a wallet asks of its vendor: the wallet by
	// address and by id at Dynamic, the vault and its groups at Cobo.
	lookRequests = 2
	// lookMost is how many looks a second there are at most, where the
	// configuration gives no limit or a wide one.
	lookMost = 10
)

// paceOf keeps looks at wallets to a share, in percent, of each provider's
// limits, so that rotations find the rest free.
func paceOf(providers []config.Provider, share int) func(ctx context.Context, provider string) error {
	limiters := map[string]*rate.Limiter{}
	for _, p := range providers {
		limiters[p.Name] = rate.NewLimiter(rate.Limit(looksPerSecond(p, share)), 1)
	}
	return func(ctx context.Context, provider string) error {
		if l := limiters[provider]; l != nil {
			return l.Wait(ctx)
		}
		return nil
	}
}

func looksPerSecond(p config.Provider, share int) float64 {
	var limits []config.RateLimit
	switch {
	case p.Dynamic != nil:
		limits = p.Dynamic.RateLimits
	case p.Cobo != nil:
		limits = p.Cobo.RateLimits
	}
	looks := float64(lookMost)
	for _, l := range limits {
		looks = min(looks, float64(l.Requests)/l.Per.Seconds()*float64(share)/100/lookRequests)
	}
	return looks
}

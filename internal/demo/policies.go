package demo

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// policy is one of the demo's, with the columns that it does not leave at
// their defaults.
type policy struct {
	name          string
	provider      string // whose wallets it rotates
	share         int    // of these, in percent
	every         time.Duration
	spread        time.Duration
	maxShareAge   time.Duration // 0: none promised
	canary        int
	maxConcurrent int
}

// fullLength is the time that the schedules below are made for: each wallet
// rotates at least twice in it, the slowest with ten seconds to spare.
const fullLength = 30 * time.Second

var policies = []policy{
	{name: "treasury", provider: dynamicName, share: 10, every: 5 * time.Second, maxShareAge: 25 * time.Second, canary: 1, maxConcurrent: 8},
	{name: "payments", provider: dynamicName, share: 40, every: 6 * time.Second, spread: 3 * time.Second, maxShareAge: 30 * time.Second, maxConcurrent: 32},
	{name: "payouts", provider: dynamicName, share: 30, every: 8 * time.Second, maxShareAge: 40 * time.Second, maxConcurrent: 16},
	{name: "cold", provider: dynamicName, share: 20, every: 10 * time.Second, spread: 4 * time.Second, maxConcurrent: 16},
	{name: "custody", provider: coboName, share: 100, every: 8 * time.Second, maxShareAge: 40 * time.Second, canary: 1, maxConcurrent: 8},
}

// policies are those that have wallets, with schedules that fit the demo's
// length.
func (o Options) policies() []policy {
	count := map[string]int{dynamicName: o.Wallets, coboName: o.Vaults}
	return slices.DeleteFunc(policiesFor(o.For), func(p policy) bool { return count[p.provider] == 0 })
}

// policiesFor are the policies with schedules that fit a demo of this length.
// A longer one does not slow them down: it shows more rotations.
func policiesFor(length time.Duration) []policy {
	fit := min(1, length.Seconds()/fullLength.Seconds())
	scaled := func(d time.Duration) time.Duration {
		return time.Duration(math.Round(d.Seconds()*fit)) * time.Second
	}
	out := make([]policy, len(policies))
	for i, p := range policies {
		p.every = max(time.Second, scaled(p.every))
		p.spread = min(scaled(p.spread), p.every/2)
		p.maxShareAge = scaled(p.maxShareAge)
		if p.maxShareAge > 0 {
			p.maxShareAge = max(p.maxShareAge, 5*p.every)
		}
		out[i] = p
	}
	return out
}

// schedule in the form of rotation_policies.
func (p policy) schedule() string { return "@every " + p.every.String() }

func interval(d time.Duration) string { return fmt.Sprintf("%d milliseconds", d.Milliseconds()) }

// of are the policies for the wallets of one provider.
func of(provider string, policies []policy) []policy {
	return slices.DeleteFunc(slices.Clone(policies), func(p policy) bool { return p.provider != provider })
}

// deal gives each of n wallets of a provider one of its policies, by their
// shares. A few wallets take turns, so that no policy is without.
func deal(policies []policy, n int) []int {
	out := make([]int, n)
	for i := range out {
		if n < 100/policies[0].share {
			out[i] = i % len(policies)
			continue
		}
		at, sum := i*100/n, 0
		for k, p := range policies {
			if sum += p.share; at < sum {
				out[i] = k
				break
			}
		}
	}
	return out
}

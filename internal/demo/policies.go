package demo

import (
	"fmt"
	"math"
	"time"
)

// policy is one of the demo's, with the columns that it does not leave at
// their defaults.
type policy struct {
	name          string
	share         int // of the wallets, in percent
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
	{name: "treasury", share: 10, every: 5 * time.Second, maxShareAge: 25 * time.Second, canary: 1, maxConcurrent: 8},
	{name: "payments", share: 40, every: 6 * time.Second, spread: 3 * time.Second, maxShareAge: 30 * time.Second, maxConcurrent: 32},
	{name: "payouts", share: 30, every: 8 * time.Second, maxShareAge: 40 * time.Second, maxConcurrent: 16},
	{name: "cold", share: 20, every: 10 * time.Second, spread: 4 * time.Second, maxConcurrent: 16},
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

// deal gives each of n wallets a policy, by the policies' shares. A few wallets
// take turns, so that no policy is without.
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

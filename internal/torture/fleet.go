package torture

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// policy is one of the run's, with the columns that it does not leave at their
// defaults. Intervals are short, so that wallets rotate often, and long enough
// for a fleet of hundreds on a small machine.
type policy struct {
	name, provider     string
	share              int // of the provider's wallets, in percent
	every, spread      time.Duration
	maxShareAge        time.Duration // 0: none
	canary, concurrent int
	budget             int
}

var policies = []policy{
	{name: "treasury", provider: dynamicName, share: 15, every: 10 * time.Second, canary: 2, concurrent: 16},
	{name: "payments", provider: dynamicName, share: 45, every: 15 * time.Second, spread: 6 * time.Second, concurrent: 48},
	{name: "cold", provider: dynamicName, share: 40, every: 20 * time.Second, spread: 8 * time.Second, maxShareAge: 100 * time.Second, concurrent: 32, budget: 40},
	{name: "custody", provider: coboName, share: 100, every: 15 * time.Second, spread: 4 * time.Second, concurrent: 16},
}

// brisk is how long a run must be for schedules and calm to be as they are
// written. A shorter one has less of both.
const brisk = time.Minute

// haste is what is left of a time in a run of this length, in whole seconds.
func haste(d, length time.Duration) time.Duration {
	return (time.Duration(float64(d)*min(1, length.Seconds()/brisk.Seconds())) + time.Second - 1).Truncate(time.Second)
}

// enrol writes policies and wallets, as an operator would.
func enrol(ctx context.Context, db *pgxpool.Pool, wallets []sandbox.WalletState, length time.Duration) error {
	batch := &pgx.Batch{}
	for _, p := range policies {
		batch.Queue(`
			INSERT INTO rotation_policies (name, schedule, spread, max_share_age, canary, max_concurrent, failure_budget)
			VALUES ($1, $2, $3::interval, nullif($4::interval, '0'), $5, $6, $7)`,
			p.name, "@every "+haste(p.every, length).String(), haste(p.spread, length), haste(p.maxShareAge, length), p.canary, p.concurrent, p.budget)
	}
	of := map[string][]sandbox.WalletState{}
	for _, w := range wallets {
		of[w.Provider] = append(of[w.Provider], w)
	}
	for provider, theirs := range of {
		for i, w := range theirs {
			batch.Queue(`
				INSERT INTO wallets (provider, external_id, address, chain, public_key, policy_id)
				SELECT $1, $2, nullif($3, ''), nullif($4, ''), $5, id FROM rotation_policies WHERE name = $6`,
				w.Provider, w.ID, w.Address, w.Chain, w.PublicKey, assigned(provider, i, len(theirs)))
		}
	}
	if err := db.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("enrolling the fleet: %w", err)
	}
	return nil
}

// assigned is the policy of the i-th of n wallets of a provider.
func assigned(provider string, i, n int) (name string) {
	at, sum := i*100/n, 0
	for _, p := range policies {
		if p.provider != provider {
			continue
		}
		name = p.name
		if sum += p.share; at < sum {
			break
		}
	}
	return name
}

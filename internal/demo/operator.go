package demo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// operator does what a person would with psql. Its SQL stands here and not in
// package store, because none of it is the daemon's.
type operator struct{ conn *pgx.Conn }

func newOperator(ctx context.Context, dsn string) (*operator, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connecting as operator: %w", err)
	}
	return &operator{conn}, nil
}

func (o *operator) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = o.conn.Close(ctx) // of no further use either way
}

// setUp writes the policies and puts the wallets under them.
func (o *operator) setUp(ctx context.Context, policies []policy, states map[string]sandbox.WalletState) error {
	for _, p := range policies {
		var promise *string
		if p.maxShareAge > 0 {
			text := interval(p.maxShareAge)
			promise = &text
		}
		if _, err := o.conn.Exec(ctx, `
			INSERT INTO rotation_policies (name, schedule, spread, max_share_age, canary, max_concurrent)
			VALUES ($1, $2, $3::text::interval, $4::text::interval, $5, $6)`,
			p.name, p.schedule(), interval(p.spread), promise, p.canary, p.maxConcurrent); err != nil {
			return fmt.Errorf("inserting policy %s: %w", p.name, err)
		}
	}
	wallets := slices.SortedFunc(maps.Values(states), func(a, b sandbox.WalletState) int { return cmp.Compare(a.ID, b.ID) })
	dealt := deal(policies, len(wallets))
	batch := &pgx.Batch{}
	for i, w := range wallets {
		batch.Queue(`
			INSERT INTO wallets (provider, external_id, address, chain, public_key, policy_id)
			SELECT $1, $2, $3, $4, $5, id FROM rotation_policies WHERE name = $6`,
			providerName, w.ID, w.Address, w.Chain, w.PublicKey, policies[dealt[i]].name)
	}
	if err := o.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("inserting wallets: %w", err)
	}
	return nil
}

// progress is one look at the fleet.
type progress struct {
	rotations, underWay, failures, attention int64
	oldest                                   time.Duration
}

func (p progress) String() string {
	text := fmt.Sprintf("%5d rotations   %2d under way   oldest share %4.1fs   %d failed attempts", p.rotations, p.underWay, p.oldest.Seconds(), p.failures)
	if p.attention > 0 {
		text += fmt.Sprintf("   %d need attention", p.attention)
	}
	return text
}

func (o *operator) progress(ctx context.Context) (p progress, err error) {
	var age float64
	err = o.conn.QueryRow(ctx, `
		SELECT (SELECT coalesce(sum(generation), 0) FROM wallet_state),
		       (SELECT count(*) FROM rotations WHERE state NOT IN ('waiting', 'failed')),
		       (SELECT count(*) FROM share_set_history WHERE outcome IN ('abandoned', 'rejected', 'failed')),
		       (SELECT count(*) FROM attention),
		       (SELECT coalesce(extract(epoch FROM now() - min(coalesce(activated_at, cycle_at))), 0) FROM wallet_state)`).
		Scan(&p.rotations, &p.underWay, &p.failures, &p.attention, &age)
	if err != nil {
		return progress{}, fmt.Errorf("looking at the fleet: %w", err)
	}
	p.oldest = time.Duration(age * float64(time.Second))
	return p, nil
}

// pause keeps every new rotation from starting.
func (o *operator) pause(ctx context.Context, reason string) error {
	if _, err := o.conn.Exec(ctx, `UPDATE rotation_control SET paused = true, reason = $1`, reason); err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	return nil
}

// awaitQuiet waits until no rotation is between its opening and its end. What
// was claimed a moment before the pause may still open, so one quiet look is
// not enough.
func (o *operator) awaitQuiet(ctx context.Context) error {
	const enough = 3
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < enough; {
		p, err := o.progress(ctx)
		if err != nil {
			return err
		}
		quiet++
		if p.underWay > 0 {
			quiet = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

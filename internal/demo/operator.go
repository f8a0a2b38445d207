package demo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	byProvider := map[string][]sandbox.WalletState{}
	for _, w := range slices.SortedFunc(maps.Values(states), func(a, b sandbox.WalletState) int { return cmp.Compare(a.ID, b.ID) }) {
		byProvider[w.Provider] = append(byProvider[w.Provider], w)
	}
	batch := &pgx.Batch{}
	for _, name := range slices.Sorted(maps.Keys(byProvider)) {
		suitable := of(name, policies)
		for i, at := range deal(suitable, len(byProvider[name])) {
			w := byProvider[name][i]
			batch.Queue(`
				INSERT INTO wallets (provider, external_id, address, chain, public_key, policy_id)
				SELECT $1, $2, nullif($3, ''), nullif($4, ''), $5, id FROM rotation_policies WHERE name = $6`,
				w.Provider, w.ID, w.Address, w.Chain, publicKey(w), suitable[at].name)
		}
	}
	if err := o.conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("inserting wallets: %w", err)
	}
	return nil
}

// publicKey is what an operator expects of a wallet: for a vault, the root keys
// of both curves in the form that the daemon compares.
func publicKey(w sandbox.WalletState) string { return strings.ReplaceAll(w.PublicKey, " ", ";") }

// progress is one look at the fleet.
type progress struct {
	rotations, underWay, failures, attention int64
	retiring                                 int64 // old share sets that are still to be cleaned up
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
		       (SELECT count(*) FROM retirements),
		       (SELECT coalesce(extract(epoch FROM now() - min(coalesce(activated_at, cycle_at))), 0) FROM wallet_state)`).
		Scan(&p.rotations, &p.underWay, &p.failures, &p.attention, &p.retiring, &age)
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

// awaitQuiet waits until no rotation is between its opening and its end, and no
// old share set is left to be cleaned up. What was claimed a moment before the
// pause may still open, so one quiet look is not enough.
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
		if p.underWay > 0 || p.retiring > 0 {
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

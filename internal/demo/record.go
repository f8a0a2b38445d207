package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/store"
)

// recorded is what the database says about a wallet.
type recorded struct {
	ID         int64
	ExternalID string
	Policy     string
	Generation int
	// Active is the active share set in the view share_sets; empty: none.
	Active string
	// Failures are its attempts that ended without a new share set.
	Failures int
	// Attention is what a person is asked for; empty: nothing.
	Attention string
	// Age of its share set.
	Age time.Duration
}

// record reads what the database says about every wallet.
func (o *operator) record(ctx context.Context) ([]recorded, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT w.id, w.external_id, p.name, s.generation,
		       coalesce((SELECT string_agg(a.provider_ref, ' and ') FROM share_sets a WHERE a.wallet_id = w.id AND a.state = 'active'), ''),
		       (SELECT count(*) FROM share_set_history h WHERE h.wallet_id = w.id AND h.outcome IN ('abandoned', 'rejected', 'failed')),
		       coalesce((SELECT string_agg(a.reason, ', ') FROM attention a WHERE a.wallet_id = w.id), ''),
		       extract(epoch FROM clock_timestamp() - coalesce(s.activated_at, s.cycle_at))
		  FROM wallets w JOIN rotation_policies p ON p.id = w.policy_id JOIN wallet_state s ON s.wallet_id = w.id
		 ORDER BY w.id`)
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r recorded, err error) {
		var age float64
		err = row.Scan(&r.ID, &r.ExternalID, &r.Policy, &r.Generation, &r.Active, &r.Failures, &r.Attention, &age)
		r.Age = time.Duration(age * float64(time.Second))
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	return all, nil
}

// tampered returns, by wallet, where its hash-chained history does not verify.
func (s *stage) tampered(ctx context.Context, wallets []recorded) (map[string]string, error) {
	st, err := store.Open(ctx, store.Options{DSN: s.dsn})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	bad := map[string]string{}
	for _, w := range wallets {
		if err := st.VerifyWallet(ctx, w.ID); err != nil {
			bad[w.ExternalID] = err.Error()
		}
	}
	return bad, nil
}

package store

import (
	"context"
	"fmt"
)

// Unassigned is the number of wallets that no policy rotates, because they
// were given none.
func (s *Store) Unassigned(ctx context.Context) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM wallets WHERE policy_id IS NULL`).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting wallets without a policy: %w", err)
	}
	return n, nil
}

package store

import (
	"context"
	"fmt"
)

// The row keeps its state and has no owner, so there is no epoch to carry: a
// check that comes early finds out what a later one would have. What backs off,
// and what is past the commit point, keeps its own pace.
const wakeSQL = `
WITH woken AS (
    UPDATE rotations r SET next_check = now()
     WHERE r.owner IS NULL AND r.state IN ('opening', 'ceremony') AND r.next_check > now()
       AND (r.pending_share_set = $2 OR $3::text IS NOT NULL)
       AND EXISTS (SELECT FROM wallets w WHERE w.id = ANY (ARRAY[r.wallet_id]) AND w.provider = $1
                      AND (r.pending_share_set = $2 OR w.external_id = $3))
    RETURNING 1)
SELECT count(*), (SELECT pg_notify($4, '') WHERE EXISTS (SELECT FROM woken)) FROM woken`

// Wake has the parked ceremony of a wallet looked at now instead of at its next
// check, on whichever replica. The wallet is told by its pending share set, by
// the vendor's id of it, or by both; what is empty is not asked for. It returns
// whether there was one: a rotation that is in hand somewhere is left alone.
func (s *Store) Wake(ctx context.Context, provider, shareSet, externalID string) (bool, error) {
	var woken int
	err := s.pool.QueryRow(ctx, wakeSQL, provider, null(shareSet), null(externalID), RequestsArrived).Scan(&woken, nil)
	if err != nil {
		return false, fmt.Errorf("waking a parked rotation: %w", err)
	}
	return woken > 0, nil
}

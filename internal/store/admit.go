package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// AdmitStep asks whether an attempt may begin.
type AdmitStep struct {
	WalletID int64
	Provider string
}

// Admit is the last word before an attempt says anything to its vendor, for
// all replicas: the provider's circuit is closed, or this is its one probe; and
// the fleet's limit on rotations per hour (0: none) has room. It is asked
// again for each attempt. A rotation is counted once for its tick, when its
// first attempt is admitted. Whoever is admitted owns the rotation and has it
// in hand.
func (s *Store) Admit(ctx context.Context, owner int64, steps []AdmitStep, perHour int32) (map[int64]bool, error) {
	steps = inOrder(steps, func(x AdmitStep) int64 { return x.WalletID })
	admitted, err := s.step(ctx, "asking for circuits", `
		SELECT t.wallet_id FROM unnest($1::bigint[], $2::text[]) t(wallet_id, provider)
		 WHERE NOT EXISTS (SELECT FROM provider_state p WHERE p.provider = t.provider AND p.open_until IS NOT NULL)`,
		column(steps, func(x AdmitStep) int64 { return x.WalletID }),
		column(steps, func(x AdmitStep) string { return x.Provider }))
	if err != nil {
		return nil, err
	}
	asked := map[string]bool{}
	for _, x := range steps {
		if admitted[x.WalletID] || asked[x.Provider] {
			continue
		}
		asked[x.Provider] = true
		mine, err := s.probe(ctx, x)
		if err != nil {
			return nil, err
		}
		if mine {
			admitted[x.WalletID] = true
		}
	}
	if perHour == 0 || len(admitted) == 0 {
		return admitted, nil
	}
	return s.counted(ctx, owner, steps, admitted, perHour)
}

// probe takes the place of the one probe of an open circuit. That nobody else
// has it is asked after the row is locked, by a statement of its own: the one
// that waited for the lock would judge by what it saw before.
func (s *Store) probe(ctx context.Context, x AdmitStep) (mine bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		var isClosed, over bool
		var probe int64
		err := tx.QueryRow(ctx, `
			SELECT open_until IS NULL, coalesce(open_until <= clock_timestamp(), false), coalesce(probe_wallet, 0)
			  FROM provider_state WHERE provider = $1 FOR NO KEY UPDATE`, x.Provider).Scan(&isClosed, &over, &probe)
		if err != nil {
			return err
		}
		if isClosed {
			mine = true
			return nil
		}
		if !over {
			return nil
		}
		tag, err := tx.Exec(ctx, `
			UPDATE provider_state p SET probe_wallet = $2
			 WHERE provider = $1 AND (probe_wallet IS NULL OR probe_wallet = $2 OR NOT `+probing+`)`, x.Provider, x.WalletID)
		mine = err == nil && tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("asking for the probe of provider %s: %w", x.Provider, err)
	}
	return mine, nil
}

// counted admits those that were counted already, and as many others as there
// is room for.
func (s *Store) counted(ctx context.Context, owner int64, steps []AdmitStep, wanted map[int64]bool, perHour int32) (map[int64]bool, error) {
	var ids []int64
	for _, x := range steps {
		if wanted[x.WalletID] {
			ids = append(ids, x.WalletID)
		}
	}
	admitted := map[int64]bool{}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var until *time.Time
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT started_until, clock_timestamp() FROM fleet_state FOR NO KEY UPDATE`).Scan(&until, &now); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT r.wallet_id, r.counted_tick IS NOT DISTINCT FROM r.tick FROM unnest($1::bigint[]) t(wallet_id)
			  JOIN rotations r ON r.wallet_id = ANY (ARRAY[t.wallet_id]) WHERE r.owner = $2`, ids, owner)
		if err != nil {
			return err
		}
		var first []int64
		var id int64
		var before bool
		if _, err := pgx.ForEachRow(rows, []any{&id, &before}, func() error {
			if before {
				admitted[id] = true
			} else {
				first = append(first, id)
			}
			return nil
		}); err != nil {
			return err
		}
		first = first[:min(len(first), paced(until, now, perHour, time.Hour))]
		if len(first) == 0 {
			return nil
		}
		rows, err = tx.Query(ctx, `
			UPDATE rotations r SET counted_tick = tick FROM unnest($1::bigint[]) t(wallet_id)
			 WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $2 RETURNING r.wallet_id`, first, owner)
		if err != nil {
			return err
		}
		taken, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		for _, id := range taken {
			admitted[id] = true
		}
		_, slot := pace(perHour, time.Hour)
		_, err = tx.Exec(ctx, `UPDATE fleet_state SET started_until = greatest(started_until, $1) + $2`, now, time.Duration(len(taken))*slot)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("counting rotations: %w", err)
	}
	return admitted, nil
}

// AdmitAfter is when whoever was not admitted may ask again, at least least
// from now.
func (s *Store) AdmitAfter(ctx context.Context, provider string, perHour int32, least time.Duration) (time.Time, error) {
	at := s.Now().Add(least)
	var circuit, started *time.Time
	err := s.pool.QueryRow(ctx, `SELECT (SELECT open_until FROM provider_state WHERE provider = $1), started_until FROM fleet_state`,
		provider).Scan(&circuit, &started)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, fmt.Errorf("asking when provider %s may be tried again: %w", provider, err)
	}
	if circuit != nil && circuit.After(at) {
		at = *circuit
	}
	if perHour > 0 && started != nil {
		burst, slot := pace(perHour, time.Hour)
		if free := started.Add(-time.Duration(burst-1) * slot); free.After(at) {
			at = free
		}
	}
	return at, nil
}

// roomInHour is how many rotations may be claimed under the fleet's limit: as
// many as it would admit now, less those that wait for that already. It is a
// brake that keeps the table of open rotations from filling; Admit decides.
func roomInHour(ctx context.Context, tx pgx.Tx, perHour int32) (int, error) {
	var until *time.Time
	var now time.Time
	var waiting int
	if err := tx.QueryRow(ctx, `
		SELECT started_until, clock_timestamp(), (SELECT count(*) FROM rotations WHERE state = 'waiting' AND wish IS NULL
		       AND counted_tick IS DISTINCT FROM tick AND (owner IS NOT NULL OR next_check <= now())) FROM fleet_state`).
		Scan(&until, &now, &waiting); err != nil {
		return 0, err
	}
	return max(0, paced(until, now, perHour, time.Hour)-waiting), nil
}

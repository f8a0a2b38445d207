package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Standing is what the record says about a wallet, whether it rotates or not.
type Standing struct {
	Wallet     Wallet
	Policy     string    // name; empty: none
	Head       Head      // of its history
	RotationID uuid.UUID // of its open rotation; zero: none
	State      State     // of that; empty: none
	Attention  Attention // why that waits for a person; empty: it does not
}

// Moved says whether anything has been recorded for the wallet between two
// readings that a rotation goes along with.
func (s Standing) Moved(later Standing) bool {
	return s.Head.Seq != later.Head.Seq || s.RotationID != later.RotationID || s.State != later.State
}

// StandingFilter narrows Standings; the zero value is the whole fleet.
type StandingFilter struct {
	Provider string
	Policy   string // name
}

const standingSQL = `
SELECT w.id, w.provider, w.external_id, coalesce(w.address, ''), coalesce(w.chain, ''), coalesce(w.public_key, ''),
       coalesce(w.cosigner, ''), w.settings, NOT w.enabled OR w.paused_reason IS NOT NULL, coalesce(p.name, ''),
       s.seq, s.hash, s.generation, coalesce(s.active_share_set, ''), coalesce(s.public_key, ''), s.cycle_at,
       coalesce(r.rotation_id, '00000000-0000-0000-0000-000000000000'), coalesce(r.state, ''), coalesce(r.attention, '')
  FROM %s
  JOIN wallet_state s ON s.wallet_id = ANY (ARRAY[w.id])
  LEFT JOIN rotation_policies p ON p.id = w.policy_id
  LEFT JOIN rotations r ON r.wallet_id = ANY (ARRAY[w.id])
`

var (
	standingsSQL = fmt.Sprintf(standingSQL, `(SELECT * FROM wallets x
         WHERE x.id > $1 AND x.enabled AND ($2 = '' OR x.provider = $2)
           AND ($3 = '' OR x.policy_id = (SELECT y.id FROM rotation_policies y WHERE y.name = $3))
         ORDER BY x.id LIMIT $4) w`) + ` ORDER BY w.id`
	standingsOfSQL = fmt.Sprintf(standingSQL, `unnest($1::bigint[]) t(id) JOIN wallets w ON w.id = ANY (ARRAY[t.id])`) + ` ORDER BY w.id`
)

// Standings reads up to limit wallets behind the id, in the order of ids, paused
// ones too. Those that are disabled are left out: they may be gone at the vendor.
func (s *Store) Standings(ctx context.Context, f StandingFilter, after int64, limit int) ([]Standing, error) {
	return s.standings(ctx, standingsSQL, after, f.Provider, f.Policy, limit)
}

// StandingsOf reads the given wallets, in the order of ids, those that there
// are.
func (s *Store) StandingsOf(ctx context.Context, walletIDs ...int64) ([]Standing, error) {
	return s.standings(ctx, standingsOfSQL, walletIDs)
}

func (s *Store) standings(ctx context.Context, sql string, args ...any) ([]Standing, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what is on record: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (x Standing, err error) {
		w, h := &x.Wallet, &x.Head
		err = row.Scan(&w.ID, &w.Provider, &w.ExternalID, &w.Address, &w.Chain, &w.PublicKey, &w.CoSigner, &w.Settings, &w.Off, &x.Policy,
			&h.Seq, &h.Hash, &h.Generation, &h.ActiveShareSet, &h.PublicKey, &h.CycleAt, &x.RotationID, &x.State, &x.Attention)
		return x, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what is on record: %w", err)
	}
	return all, nil
}

// PolicyNamed says whether there is a policy of that name.
func (s *Store) PolicyNamed(ctx context.Context, name string) (exists bool, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM rotation_policies WHERE name = $1)`, name).Scan(&exists); err != nil {
		return false, fmt.Errorf("looking for policy %s: %w", name, err)
	}
	return exists, nil
}

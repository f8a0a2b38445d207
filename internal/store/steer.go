package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Scope is what a person pauses, resumes or asks something for: one wallet, one
// policy or one provider. The zero value is everything.
type Scope struct {
	WalletID int64
	PolicyID int32
	Provider string
}

// WalletID finds a wallet by its vendor's id: [ErrNoSuchWallet].
func (o *Operator) WalletID(ctx context.Context, provider, externalID string) (id int64, err error) {
	err = o.conn.QueryRow(ctx, `SELECT id FROM wallets WHERE provider = $1 AND external_id = $2`, provider, externalID).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("%w: %s of %s", ErrNoSuchWallet, externalID, provider)
	}
	if err != nil {
		return 0, fmt.Errorf("looking for wallet %s of %s: %w", externalID, provider, allowed(err))
	}
	return id, nil
}

// Exists says whether there is what a scope names. A provider exists here when
// a wallet of it does, or when it is paused.
func (o *Operator) Exists(ctx context.Context, s Scope) (there bool, err error) {
	err = o.conn.QueryRow(ctx, `
		SELECT ($1::bigint = 0 OR EXISTS (SELECT FROM wallets WHERE id = $1))
		   AND ($2::int = 0 OR EXISTS (SELECT FROM rotation_policies WHERE id = $2))
		   AND ($3::text = '' OR EXISTS (SELECT FROM wallets WHERE provider = $3)
		                OR EXISTS (SELECT FROM rotation_control WHERE $3 = ANY (paused_providers)))`,
		s.WalletID, s.PolicyID, s.Provider).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("looking for the target: %w", allowed(err))
	}
	return there, nil
}

// Pause keeps attempts from beginning in a scope, as actor and for a reason. It
// returns false, and changes nothing, where the scope is paused already.
func (o *Operator) Pause(ctx context.Context, s Scope, actor, reason string) (changed bool, err error) {
	switch {
	case s.WalletID != 0:
		// Nothing else keeps who edited a wallet.
		return o.edit(ctx, actor, reason, `UPDATE wallets SET paused_reason = $2::text || ' (' || $3::text || ')' WHERE id = $1 AND paused_reason IS NULL`, s.WalletID, reason, actor)
	case s.PolicyID != 0:
		return o.edit(ctx, actor, reason, `UPDATE rotation_policies SET paused_reason = $2 WHERE id = $1 AND paused_reason IS NULL`, s.PolicyID, reason)
	case s.Provider != "":
		return o.edit(ctx, actor, reason, `
			UPDATE rotation_control SET paused_providers = paused_providers || $2::text, reason = `+oneMoreReason+`
			 WHERE NOT $2 = ANY (paused_providers)`, reason, s.Provider)
	}
	return o.edit(ctx, actor, reason, `UPDATE rotation_control SET paused = true, reason = `+oneMoreReason+` WHERE NOT paused`, reason)
}

// All pauses of rotation_control share one reason: that of a pause which is
// still in force stays readable.
const oneMoreReason = `CASE WHEN (paused OR paused_providers <> '{}') AND reason <> '' THEN reason || '; ' || $1 ELSE $1 END`

// Resume ends a pause of a scope, and no other one that may hold it too. It
// returns false where there was none. The reason goes where there is a place
// for it: none is kept of a wallet that runs.
func (o *Operator) Resume(ctx context.Context, s Scope, actor, reason string) (changed bool, err error) {
	switch {
	case s.WalletID != 0:
		return o.edit(ctx, actor, reason, `UPDATE wallets SET paused_reason = NULL WHERE id = $1 AND paused_reason IS NOT NULL`, s.WalletID)
	case s.PolicyID != 0:
		return o.edit(ctx, actor, reason, `UPDATE rotation_policies SET paused_reason = NULL WHERE id = $1 AND paused_reason IS NOT NULL`, s.PolicyID)
	case s.Provider != "":
		return o.edit(ctx, actor, reason, `
			UPDATE rotation_control SET paused_providers = array_remove(paused_providers, $1),
			       reason = CASE WHEN paused OR array_remove(paused_providers, $1) <> '{}' THEN reason ELSE $2 END
			 WHERE $1 = ANY (paused_providers)`, s.Provider, reason)
	}
	return o.edit(ctx, actor, reason, `
		UPDATE rotation_control SET paused = false, reason = CASE WHEN paused_providers <> '{}' THEN reason ELSE $1 END WHERE paused`, reason)
}

// edit runs one statement under the actor's name and reason, which triggers put
// on record. It returns whether a row was changed.
func (o *Operator) edit(ctx context.Context, actor, reason, sql string, args ...any) (changed bool, err error) {
	err = pgx.BeginFunc(ctx, o.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('rotatord.actor', $1, true), set_config('rotatord.reason', $2, true)`, actor, reason); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sql, args...)
		changed = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("editing what is paused: %w", allowed(err))
	}
	return changed, nil
}

// Holds are all reasons for which no attempt begins in a scope, from the widest
// to the narrowest, as sentences. None: nobody has stopped it.
func (o *Operator) Holds(ctx context.Context, s Scope) ([]string, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT v.why
		  FROM rotation_control c
		  LEFT JOIN wallets w ON w.id = $1::bigint
		  LEFT JOIN rotation_policies p ON p.id = coalesce(nullif($2::int, 0), w.policy_id)
		 CROSS JOIN LATERAL (VALUES
		       (1, CASE WHEN c.paused THEN 'everything is paused: ' || c.reason END),
		       (2, CASE WHEN coalesce(nullif($3::text, ''), w.provider) = ANY (c.paused_providers)
		                THEN 'provider ' || coalesce(nullif($3, ''), w.provider) || ' is paused: ' || c.reason
		                WHEN $1 = 0 AND $3 = '' AND c.paused_providers <> '{}'
		                THEN 'paused providers: ' || array_to_string(c.paused_providers, ', ') || ': ' || c.reason END),
		       (3, CASE WHEN NOT p.enabled THEN 'policy ' || p.name || ' is disabled' END),
		       (4, 'policy ' || p.name || ' is paused: ' || p.paused_reason),
		       (5, CASE WHEN NOT w.enabled THEN 'wallet ' || w.id || ' is disabled' END),
		       (6, 'wallet ' || w.id || ' is paused: ' || w.paused_reason)) v(place, why)
		 WHERE v.why IS NOT NULL ORDER BY v.place`, s.WalletID, s.PolicyID, s.Provider)
	if err != nil {
		return nil, fmt.Errorf("reading what is paused: %w", allowed(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading what is paused: %w", allowed(err))
	}
	return all, nil
}

// UnderWay counts the rotations of a scope that have an attempt open, by their
// state. A pause lets them come to their end.
func (o *Operator) UnderWay(ctx context.Context, s Scope) (map[State]int64, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT rotation_state, count(*) FROM wallet_status
		 WHERE rotation_state IN ('opening', 'ceremony', 'prepared', 'promoted')
		   AND ($1::bigint = 0 OR wallet_id = $1) AND ($3::text = '' OR provider = $3)
		   AND ($2::int = 0 OR policy = (SELECT name FROM rotation_policies WHERE id = $2))
		 GROUP BY rotation_state`, s.WalletID, s.PolicyID, s.Provider)
	if err != nil {
		return nil, fmt.Errorf("counting rotations under way: %w", allowed(err))
	}
	counts := map[State]int64{}
	var state State
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error { counts[state] = n; return nil }); err != nil {
		return nil, fmt.Errorf("counting rotations under way: %w", allowed(err))
	}
	return counts, nil
}

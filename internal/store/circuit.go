package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Breaker says when the circuit of a provider opens, and for how long. A
// library such as sony/gobreaker keeps its state in one process; this one is a
// row of provider_state, because all replicas are one circuit.
type Breaker struct {
	// Failures in a row, on all replicas, open the circuit; 0: none do.
	Failures int
	// Pause is how long it stays open the first time. Each probe that fails
	// doubles it, up to MaxPause.
	Pause, MaxPause time.Duration
}

// Circuit is an open circuit.
type Circuit struct {
	// OpenUntil is when one probe may begin.
	OpenUntil time.Time
	// Probing: one has begun.
	Probing bool
	Error   string // that opened it last
}

// circuit is the state of a row, closed when openings is 0.
type circuit struct {
	failures, openings int
	probe              int64
}

// fail is the transition for a failure of a wallet's rotation. pause is how
// long the circuit is open from now on; zero: as before.
func (b Breaker) fail(c circuit, walletID int64) (next circuit, pause time.Duration) {
	switch {
	case c.openings > 0 && c.probe != walletID:
		return c, 0 // begun before it opened: nothing new
	case c.openings == 0 && c.failures+1 < b.Failures:
		c.failures++
		return c, 0
	}
	c = circuit{openings: c.openings + 1}
	pause = b.Pause
	for range min(c.openings-1, 30) {
		if pause *= 2; pause >= b.MaxPause {
			break
		}
	}
	return c, max(min(pause, b.MaxPause), time.Millisecond)
}

// probing is true while the probe on record is in hand somewhere. One that was
// put down, ended, or belonged to a replica that is gone keeps nobody waiting.
const probing = `EXISTS (SELECT FROM rotations r WHERE r.wallet_id = ANY (ARRAY[p.probe_wallet]) AND r.owner IS NOT NULL
    AND r.state IN ('waiting', 'opening', 'ceremony', 'prepared'))`

// closed is what a success makes of the row.
const closed = `failures = 0, openings = 0, open_until = NULL, opened_at = NULL, probe_wallet = NULL, last_error = NULL`

// healed goes with the record of promotions (w): each ends the failures in a
// row. An open circuit is closed by its probe, and as well by any other once
// its pause is over; what was under way before it opened proves nothing.
const healed = `
healed AS (
    UPDATE provider_state p SET ` + closed + `
      FROM (SELECT y.provider, array_agg(w.wallet_id) AS wallets
              FROM w JOIN wallets y ON y.id = ANY (ARRAY[w.wallet_id]) GROUP BY y.provider) v
     WHERE p.provider = v.provider
       AND (p.failures > 0 OR p.probe_wallet = ANY (v.wallets) OR p.open_until <= clock_timestamp()))`

// Fault is what a failure did to its provider's circuit.
type Fault struct {
	Open   bool // it is open now
	Until  time.Time
	Opened bool // by this failure
}

// ProviderFailed counts a failure that is the provider's fault, on the
// database's clock and under the lock of the provider's row.
func (s *Store) ProviderFailed(ctx context.Context, provider string, walletID int64, b Breaker, message string) (out Fault, err error) {
	if b.Failures == 0 {
		return Fault{}, nil
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO provider_state (provider) VALUES ($1) ON CONFLICT DO NOTHING`, provider); err != nil {
			return err
		}
		var c circuit
		if err := tx.QueryRow(ctx, `
			SELECT failures, openings, coalesce(probe_wallet, 0) FROM provider_state WHERE provider = $1 FOR NO KEY UPDATE`,
			provider).Scan(&c.failures, &c.openings, &c.probe); err != nil {
			return err
		}
		next, pause := b.fail(c, walletID)
		var until *time.Time
		if err := tx.QueryRow(ctx, `
			UPDATE provider_state
			   SET failures = $2, openings = $3, probe_wallet = nullif($4::bigint, 0), last_error = $5,
			       open_until = CASE WHEN $6::bool THEN clock_timestamp() + $7::interval ELSE open_until END,
			       opened_at = CASE WHEN $6 THEN coalesce(opened_at, clock_timestamp()) ELSE opened_at END
			 WHERE provider = $1 RETURNING open_until`,
			provider, next.failures, next.openings, next.probe, plain(message), pause > 0, pause).Scan(&until); err != nil {
			return err
		}
		out = Fault{Opened: pause > 0, Open: until != nil}
		if until != nil {
			out.Until = *until
		}
		return nil
	})
	if err != nil {
		return Fault{}, fmt.Errorf("counting a failure of provider %s: %w", provider, err)
	}
	return out, nil
}

// ProviderAnswered closes the circuit if the wallet's rotation is its probe:
// the provider did all that is its own, and waits for others.
func (s *Store) ProviderAnswered(ctx context.Context, provider string, walletID int64) error {
	if _, err := s.pool.Exec(ctx, `UPDATE provider_state SET `+closed+` WHERE provider = $1 AND probe_wallet = $2`,
		provider, walletID); err != nil {
		return fmt.Errorf("closing the circuit of provider %s: %w", provider, err)
	}
	return nil
}

// Circuits reads the open circuits, by provider.
func (s *Store) Circuits(ctx context.Context) (map[string]Circuit, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT provider, open_until, `+probing+`, coalesce(last_error, '') FROM provider_state p WHERE open_until IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("reading open circuits: %w", err)
	}
	open := map[string]Circuit{}
	var name string
	var c Circuit
	if _, err := pgx.ForEachRow(rows, []any{&name, &c.OpenUntil, &c.Probing, &c.Error}, func() error {
		open[name] = c
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading open circuits: %w", err)
	}
	return open, nil
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Control is the one row of rotation_control, how long each provider asked to
// be left alone, and whose circuit is open.
type Control struct {
	Paused          bool
	PausedProviders []string
	Reason          string
	HoldUntil       map[string]time.Time
	Circuits        map[string]Circuit // the open ones
}

// Control reads what is paused and held.
func (s *Store) Control(ctx context.Context) (Control, error) {
	c := Control{HoldUntil: map[string]time.Time{}}
	if err := s.pool.QueryRow(ctx, `SELECT paused, paused_providers, reason FROM rotation_control`).
		Scan(&c.Paused, &c.PausedProviders, &c.Reason); err != nil {
		return Control{}, fmt.Errorf("reading rotation_control: %w", err)
	}
	rows, err := s.pool.Query(ctx, `SELECT provider, hold_until FROM provider_state WHERE hold_until > now()`)
	if err != nil {
		return Control{}, fmt.Errorf("reading held providers: %w", err)
	}
	var name string
	var until time.Time
	if _, err := pgx.ForEachRow(rows, []any{&name, &until}, func() error {
		c.HoldUntil[name] = until
		return nil
	}); err != nil {
		return Control{}, fmt.Errorf("reading held providers: %w", err)
	}
	if c.Circuits, err = s.Circuits(ctx); err != nil {
		return Control{}, err
	}
	return c, nil
}

// Hold leaves a provider alone until the given time, on all replicas.
func (s *Store) Hold(ctx context.Context, provider string, until time.Time, reason string) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO provider_state (provider, hold_until, reason) VALUES ($1, $2, $3)
		ON CONFLICT (provider) DO UPDATE SET hold_until = greatest(provider_state.hold_until, excluded.hold_until), reason = excluded.reason`,
		provider, until, plain(reason))
	if err != nil {
		return fmt.Errorf("holding provider %s: %w", provider, err)
	}
	return nil
}

// Channels that an edit of a spec table notifies.
const (
	PoliciesChanged = "rotatord_policies"
	RequestsArrived = "rotatord_requests"
)

// Listen calls heard for each notification, on a connection of its own, until
// ctx ends or the connection breaks. It calls heard once with an empty channel
// as soon as it listens, because what happened before went unheard. Behind a
// pooler in transaction mode nothing is ever heard: callers poll as well.
func (s *Store) Listen(ctx context.Context, heard func(channel string)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("listening for edits: %w", err)
	}
	// The connection leaves the pool: LISTEN would stay with it.
	own := conn.Hijack()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = own.Close(closing) // it is of no further use either way
	}()
	if _, err := own.Exec(ctx, "LISTEN "+PoliciesChanged+"; LISTEN "+RequestsArrived); err != nil {
		return fmt.Errorf("listening for edits: %w", err)
	}
	heard("")
	for {
		n, err := own.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("listening for edits: %w", err)
		}
		heard(n.Channel)
	}
}

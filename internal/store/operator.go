package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/migrations"
)

var (
	// ErrNoPolicy: there is no policy of that name.
	ErrNoPolicy = errors.New("there is no such policy")
	// ErrMayNot: the login is not allowed to do what people do.
	ErrMayNot = errors.New("this login may not: it takes a member of the role rotatord_operator")
)

// Operator edits spec tables for a person, under the person's login: that of
// the daemon may not.
type Operator struct{ conn *pgx.Conn }

// ConnectOperator logs in as a member of rotatord_operator, and checks that the
// schema suits.
func ConnectOperator(ctx context.Context, dsn string) (*Operator, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "rotatord"
	cfg.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting as operator: %w", err)
	}
	o := &Operator{conn}
	if err := migrations.Check(ctx, conn); err != nil {
		o.Close(ctx)
		return nil, err
	}
	return o, nil
}

// Close logs out.
func (o *Operator) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = o.conn.Close(ctx) // of no further use either way
}

// Enrolled is a wallet that stands in the table.
type Enrolled struct {
	ID         int64
	ExternalID string
	Policy     string // empty: none
}

// Enrolled reads the wallets of a provider, in the order of their vendor's ids.
func (o *Operator) Enrolled(ctx context.Context, provider string) ([]Enrolled, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT w.id, w.external_id, coalesce(p.name, '')
		  FROM wallets w LEFT JOIN rotation_policies p ON p.id = w.policy_id
		 WHERE w.provider = $1 ORDER BY w.external_id`, provider)
	if err != nil {
		return nil, fmt.Errorf("reading wallets: %w", allowed(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Enrolled])
	if err != nil {
		return nil, fmt.Errorf("reading wallets: %w", allowed(err))
	}
	return all, nil
}

// PolicyID finds a policy by its name: [ErrNoPolicy].
func (o *Operator) PolicyID(ctx context.Context, name string) (id int32, err error) {
	err = o.conn.QueryRow(ctx, `SELECT id FROM rotation_policies WHERE name = $1`, name).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("%w: %q", ErrNoPolicy, name)
	}
	if err != nil {
		return 0, fmt.Errorf("looking for policy %s: %w", name, allowed(err))
	}
	return id, nil
}

// Enrol inserts wallets under a policy (0: none), all or none, and returns how
// many were new: those that somebody else has inserted meanwhile stay as they
// are.
func (o *Operator) Enrol(ctx context.Context, name string, policyID int32, wallets []provider.Wallet) (int, error) {
	tag, err := o.conn.Exec(ctx, `
		INSERT INTO wallets (provider, policy_id, external_id, address, chain)
		SELECT $1, $2, t.external_id, nullif(t.address, ''), nullif(t.chain, '')
		  FROM unnest($3::text[], $4::text[], $5::text[]) t(external_id, address, chain)
		ON CONFLICT (provider, external_id) DO NOTHING`,
		name, null(policyID),
		column(wallets, func(w provider.Wallet) string { return w.ExternalID }),
		column(wallets, func(w provider.Wallet) string { return w.Address }),
		column(wallets, func(w provider.Wallet) string { return w.Chain }))
	if err != nil {
		return 0, fmt.Errorf("inserting wallets: %w", allowed(err))
	}
	return int(tag.RowsAffected()), nil
}

// allowed says it in our words when the role is the reason.
func allowed(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return ErrMayNot
	}
	return err
}

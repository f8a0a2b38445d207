package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/migrations"
)

// ErrNoWallet says that no wallet, not even a deleted one, has that id.
var ErrNoWallet = errors.New("there is no such wallet, and there never was")

// Reader looks at the history under a login that needs to be no more than a
// member of rotatord_readonly; a standby will do. It is not safe for concurrent
// use.
type Reader struct{ conn *pgx.Conn }

// ConnectReader logs in and checks that the schema suits.
func ConnectReader(ctx context.Context, dsn string) (*Reader, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx leaves the password out of this error.
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "rotatord"
	cfg.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to read the history: %w", err)
	}
	r := &Reader{conn}
	if err = settle(ctx, conn); err == nil {
		err = migrations.Check(ctx, conn)
	}
	if err != nil {
		r.Close(ctx)
		return nil, err
	}
	return r, nil
}

// Close logs out.
func (r *Reader) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.conn.Close(ctx) // of no further use either way
}

// HistoryPage is that of [Store].
func (r *Reader) HistoryPage(ctx context.Context, span HistorySpan) (*HistoryPage, error) {
	return historyPage(ctx, r.conn, span)
}

// Schema is the migration that the database is at, and Now its clock.
func (r *Reader) Schema(ctx context.Context) (version int, now time.Time, err error) {
	if version, err = migrations.Version(ctx, r.conn); err != nil {
		return 0, time.Time{}, err
	}
	if err = r.conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return 0, time.Time{}, fmt.Errorf("reading the database's clock: %w", err)
	}
	return version, now, nil
}

// Bounds are the lowest and the highest wallet that has a head; 0 and 0 if there
// are none. They are for a progress bar and prove nothing.
func (r *Reader) Bounds(ctx context.Context) (first, last int64, err error) {
	err = r.conn.QueryRow(ctx, `
		SELECT coalesce((SELECT wallet_id FROM history_heads ORDER BY wallet_id LIMIT 1), 0),
		       coalesce((SELECT wallet_id FROM history_heads ORDER BY wallet_id DESC LIMIT 1), 0)`).Scan(&first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("counting histories: %w", err)
	}
	return first, last, nil
}

// WalletIDs are the wallets that have or had an external id at a provider, in
// ascending order: a deleted one that was inserted anew has two. [ErrNoWallet]
func (r *Reader) WalletIDs(ctx context.Context, provider, externalID string) ([]int64, error) {
	rows, err := r.conn.Query(ctx, `
		SELECT id FROM wallets WHERE provider = $1 AND external_id = $2
		UNION SELECT wallet_id FROM deleted_wallets WHERE provider = $1 AND external_id = $2 ORDER BY 1`, provider, externalID)
	if err != nil {
		return nil, fmt.Errorf("looking for wallet %s of %s: %w", externalID, provider, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("looking for wallet %s of %s: %w", externalID, provider, err)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: %s of %s", ErrNoWallet, externalID, provider)
	}
	return ids, nil
}

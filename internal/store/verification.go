package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Verification is one walk over all histories in the background, as it is on
// record.
type Verification struct {
	ID         int64
	StartedAt  time.Time
	NextWallet int64 // all below it are done
	Wallets    int64 // that have a history
	Rows       int64
	Broken     int64 // wallets
	Digest     []byte
}

// BrokenWallet is a wallet whose history does not verify.
type BrokenWallet struct {
	WalletID int64
	Seq      int32 // of the first break; 0: not one row alone
	What     string
	Breaks   int32
}

// keptBreaks is for how many wallets a verification keeps what is wrong. Past
// it, no list is read by people; they are counted and logged all the same.
const keptBreaks = 1000

const verificationColumns = `id, started_at, next_wallet, wallets, history_rows, broken, digest`

// TakeVerification takes the running verification in hand, if nobody has
// renewed it for the time stale, or starts one, if the last began longer than
// every ago. It returns nil when there is nothing to do. owner names this
// process; fresh is where a new one starts. The database's clock decides.
func (s *Store) TakeVerification(ctx context.Context, owner uuid.UUID, every, stale time.Duration, fresh Verification) (*Verification, error) {
	v, err := s.verification(ctx, `
		UPDATE history_verifications SET owner = $1, renewed_at = clock_timestamp()
		 WHERE ended_at IS NULL AND (owner = $1 OR renewed_at < clock_timestamp() - $2::interval)
		RETURNING `+verificationColumns, owner, stale)
	if v == nil && err == nil {
		v, err = s.verification(ctx, `
			INSERT INTO history_verifications (owner, next_wallet, digest)
			SELECT $1, $2, $3
			 WHERE coalesce((SELECT started_at < clock_timestamp() - $4::interval FROM history_verifications ORDER BY id DESC LIMIT 1), true)
			ON CONFLICT DO NOTHING
			RETURNING `+verificationColumns, owner, fresh.NextWallet, fresh.Digest, every)
	}
	if err != nil {
		return nil, fmt.Errorf("taking the verification of the history in hand: %w", err)
	}
	return v, nil
}

func (s *Store) verification(ctx context.Context, sql string, args ...any) (*Verification, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	v, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByPos[Verification])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return v, err
}

// AdvanceVerification records how far a verification has come and what it
// found on the way, and whether this was the end. [ErrNotRecorded] when another
// replica has it.
func (s *Store) AdvanceVerification(ctx context.Context, owner uuid.UUID, v Verification, found []BrokenWallet, end bool) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE history_verifications SET renewed_at = clock_timestamp(), next_wallet = $3, wallets = $4, history_rows = $5,
			       broken = $6, digest = $7, ended_at = CASE WHEN $8 THEN clock_timestamp() END
			 WHERE id = $1 AND owner = $2 AND ended_at IS NULL`,
			v.ID, owner, v.NextWallet, v.Wallets, v.Rows, v.Broken, v.Digest, end)
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return ErrNotRecorded
		}
		if len(found) > 0 {
			if _, err := tx.Exec(ctx, `
				INSERT INTO history_breaks (wallet_id, verification_id, found_at, seq, what, breaks)
				SELECT t.wallet_id, $1, coalesce((SELECT min(b.found_at) FROM history_breaks b WHERE b.wallet_id = t.wallet_id), clock_timestamp()),
				       t.seq, t.what, t.breaks
				  FROM unnest($2::bigint[], $3::int[], $4::text[], $5::int[]) t(wallet_id, seq, what, breaks)
				 LIMIT greatest(0, $6 - (SELECT count(*) FROM history_breaks WHERE verification_id = $1))`,
				v.ID, column(found, func(b BrokenWallet) int64 { return b.WalletID }), column(found, func(b BrokenWallet) int32 { return b.Seq }),
				column(found, func(b BrokenWallet) string { return plain(b.What) }), column(found, func(b BrokenWallet) int32 { return b.Breaks }),
				keptBreaks); err != nil {
				return err
			}
		}
		if end {
			_, err = tx.Exec(ctx, `DELETE FROM history_breaks WHERE verification_id <> $1`, v.ID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("recording the verification of the history: %w", err)
	}
	return nil
}

// HistoryVerified is when a verification last came to its end (zero: never),
// and for how many wallets the history was broken: by it, or so far by the one
// under way if those are more.
func (s *Store) HistoryVerified(ctx context.Context) (at time.Time, broken int64, err error) {
	var ended *time.Time
	err = s.pool.QueryRow(ctx, `
		SELECT max(ended_at), coalesce(max(broken), 0) FROM (
		    (SELECT ended_at, broken FROM history_verifications WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1)
		    UNION ALL
		    (SELECT ended_at, broken FROM history_verifications WHERE ended_at IS NULL)) v`).Scan(&ended, &broken)
	if err != nil {
		return time.Time{}, 0, fmt.Errorf("reading when the history was verified: %w", err)
	}
	if ended != nil {
		at = *ended
	}
	return at, broken, nil
}

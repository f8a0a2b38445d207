package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrTampered says that a history is not what was once written: a row was
// changed, removed, added or moved, or the head points elsewhere.
var ErrTampered = errors.New("the history does not verify")

// VerifyChain checks a wallet's complete history, oldest row first, against
// the hashes that were stored with the rows. An error wraps [ErrTampered] and
// names the first row that does not fit. Rows missing at the end are found
// only by comparing with the head: see [Store.VerifyWallet].
func VerifyChain(rows []HistoryRow, hashes [][]byte) error {
	if len(rows) != len(hashes) {
		return fmt.Errorf("%w: %d rows with %d hashes", ErrTampered, len(rows), len(hashes))
	}
	var previous []byte
	for i, r := range rows {
		if r.Seq != int32(i+1) || r.WalletID != rows[0].WalletID {
			return fmt.Errorf("%w: row %d of wallet %d stands where row %d of wallet %d belongs",
				ErrTampered, r.Seq, r.WalletID, i+1, rows[0].WalletID)
		}
		if !bytes.Equal(r.Hash(previous), hashes[i]) {
			return fmt.Errorf("%w: row %d of wallet %d has another hash than was stored", ErrTampered, r.Seq, r.WalletID)
		}
		previous = hashes[i]
	}
	return nil
}

// VerifyWallet checks the history of a wallet, deleted ones included, and
// that it ends at the head on record. An error that wraps [ErrTampered] says
// where it breaks; any other error is a failure to look.
func (s *Store) VerifyWallet(ctx context.Context, walletID int64) error {
	var head Head
	var rows []HistoryRow
	var hashes [][]byte
	// One snapshot: between two, a row may be appended.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT seq, hash FROM wallet_state WHERE wallet_id = $1
			UNION ALL SELECT seq, hash FROM deleted_wallets WHERE wallet_id = $1`, walletID).Scan(&head.Seq, &head.Hash)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: wallet %d has no head on record", ErrTampered, walletID)
		}
		if err != nil {
			return err
		}
		rows, hashes, err = history(ctx, tx, walletID)
		return err
	})
	if err != nil {
		return fmt.Errorf("verifying the history of wallet %d: %w", walletID, err)
	}
	if err := VerifyChain(rows, hashes); err != nil {
		return err
	}
	var last []byte
	if n := len(hashes); n > 0 {
		last = hashes[n-1]
	}
	if int(head.Seq) != len(rows) || !bytes.Equal(head.Hash, last) {
		return fmt.Errorf("%w: wallet %d has %d rows, its head on record is row %d", ErrTampered, walletID, len(rows), head.Seq)
	}
	return nil
}

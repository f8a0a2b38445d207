package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Entry is a row to append to a wallet's history, with the head it follows.
type Entry struct {
	Row      HistoryRow
	Previous []byte // hash of the head it follows
	hash     []byte
}

// Follow makes the entry that comes after head. Seq is set here; the caller
// fills in the rest of the row first. What PostgreSQL could not store as it is,
// such as a NUL in a vendor's message, is made storable before it is hashed.
func Follow(head Head, row HistoryRow) Entry {
	row.Seq = head.Seq + 1
	row.VendorSaid, row.Actor = plain(row.VendorSaid), plain(row.Actor)
	if len(row.KeyFingerprint) == 0 {
		row.KeyFingerprint = nil // stored as null
	}
	e := Entry{Row: row, Previous: head.Hash}
	if e.Previous == nil {
		e.Previous = []byte{} // the head before the first row is empty, not null
	}
	e.hash = row.Hash(e.Previous)
	return e
}

// Head is what the wallet's head becomes when e has been appended.
func (e Entry) Head(before Head) Head {
	before.Seq, before.Hash = e.Row.Seq, e.hash
	switch e.Row.Outcome {
	case Baseline, Activated, Reconciled:
		before.Generation, before.ActiveShareSet = e.Row.Generation, e.Row.ShareSet
	}
	return before
}

// historyColumns are the columns of a history row in the order of
// historyArrays; "previous" is not stored but compared.
var historyColumns = []string{"wallet_id", "seq", "generation", "policy_id", "outcome", "trigger", "tick",
	"opened_at", "decided_at", "rotation_id", "attempt_id", "share_set", "replaced", "key_fingerprint",
	"actor", "vendor_said", "hash"}

// appendSQL builds the statement that appends one history row per wallet and
// changes the wallet's and the rotation's row with it, all or nothing per row.
//
//	$1        owner
//	$2 … $19  the history row, and the hash of the head it follows
//	$20 …     extra columns, named and typed by extra
//
// The head in wallet_state is compared and set by the same statement, so a
// chain cannot fork. When a rotation changed hands between the snapshot and
// the update, rotatord_same_count undoes the whole statement.
func appendSQL(name, setWallet, whereWallet, whereRotation, setRotation string, extra []extraColumn, tail string) string {
	types := map[string]string{"wallet_id": "bigint", "seq": "int", "generation": "int", "policy_id": "int",
		"tick": "timestamptz", "opened_at": "timestamptz", "decided_at": "timestamptz", "rotation_id": "uuid",
		"attempt_id": "uuid", "key_fingerprint": "bytea", "hash": "bytea", "previous": "bytea"}
	var arrays, names []string
	all := append(append([]string{}, historyColumns...), "previous")
	for _, c := range extra {
		all = append(all, c.name)
		types[c.name] = c.typ
	}
	for i, c := range all {
		typ := types[c]
		if typ == "" {
			typ = "text"
		}
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", i+2, typ))
		names = append(names, c)
	}
	if setWallet != "" {
		setWallet = ", " + setWallet
	}
	if whereWallet != "" {
		whereWallet = " AND " + whereWallet
	}
	return `
WITH w AS (
    UPDATE wallet_state s SET seq = t.seq, hash = t.hash` + setWallet + `
      FROM unnest(` + strings.Join(arrays, ", ") + `)
           t(` + strings.Join(names, ", ") + `)
      JOIN rotations r ON r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.rotation_id = t.rotation_id
     WHERE s.wallet_id = ANY (ARRAY[t.wallet_id]) AND s.hash = t.previous` + whereWallet + ` AND r.owner = $1 AND ` + whereRotation + `
    RETURNING t.*, r.fingerprint, r.refs),
r AS (
    UPDATE rotations r SET ` + setRotation + `
      FROM w t WHERE r.wallet_id = ANY (ARRAY[t.wallet_id]) AND r.owner = $1 AND ` + whereRotation + `
    RETURNING r.wallet_id),
h AS (
    INSERT INTO share_set_history (` + strings.Join(historyColumns, ", ") + `)
    SELECT ` + strings.Join(historyColumns, ", ") + ` FROM w)` + tail + `
SELECT coalesce(array_agg(r.wallet_id), '{}'),
       rotatord_same_count('` + name + `', count(*), (SELECT count(*) FROM w))
  FROM r`
}

type extraColumn struct{ name, typ string }

// appendRows runs a statement of appendSQL and says which rows it took.
func (s *Store) appendRows(ctx context.Context, sql string, owner int64, entries []Entry, extra ...any) (map[int64]bool, error) {
	args := []any{owner,
		column(entries, func(e Entry) int64 { return e.Row.WalletID }),
		column(entries, func(e Entry) int32 { return e.Row.Seq }),
		column(entries, func(e Entry) int32 { return e.Row.Generation }),
		column(entries, func(e Entry) *int32 { return null(e.Row.PolicyID) }),
		column(entries, func(e Entry) string { return string(e.Row.Outcome) }),
		column(entries, func(e Entry) *string { return null(string(e.Row.Trigger)) }),
		column(entries, func(e Entry) *time.Time { return nullTime(e.Row.Tick) }),
		column(entries, func(e Entry) *time.Time { return nullTime(e.Row.OpenedAt) }),
		column(entries, func(e Entry) time.Time { return e.Row.DecidedAt }),
		column(entries, func(e Entry) *uuid.UUID { return null(e.Row.RotationID) }),
		column(entries, func(e Entry) *uuid.UUID { return null(e.Row.AttemptID) }),
		column(entries, func(e Entry) string { return e.Row.ShareSet }),
		column(entries, func(e Entry) *string { return null(e.Row.Replaced) }),
		column(entries, func(e Entry) []byte { return e.Row.KeyFingerprint }),
		column(entries, func(e Entry) *string { return null(e.Row.Actor) }),
		column(entries, func(e Entry) *string { return null(e.Row.VendorSaid) }),
		column(entries, func(e Entry) []byte { return e.hash }),
		column(entries, func(e Entry) []byte { return e.Previous }),
	}
	var ids []int64
	var same bool
	if err := s.pool.QueryRow(ctx, sql, append(args, extra...)...).Scan(&ids, &same); err != nil {
		return nil, err
	}
	taken := make(map[int64]bool, len(ids))
	for _, id := range ids {
		taken[id] = true
	}
	return taken, nil
}

// History reads a wallet's history, oldest first, with the stored hashes.
func (s *Store) History(ctx context.Context, walletID int64) ([]HistoryRow, [][]byte, error) {
	rows, hashes, err := history(ctx, s.pool, walletID)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the history of wallet %d: %w", walletID, err)
	}
	return rows, hashes, nil
}

// querier is the pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func history(ctx context.Context, db querier, walletID int64) (out []HistoryRow, hashes [][]byte, err error) {
	rows, err := db.Query(ctx, `SELECT `+storedColumns+` FROM share_set_history WHERE wallet_id = $1 ORDER BY seq`, walletID)
	if err != nil {
		return nil, nil, err
	}
	stored, err := pgx.CollectRows(rows, scanStored)
	for _, r := range stored {
		if r.Odd {
			return nil, nil, fmt.Errorf("%w: row %d of wallet %d holds a value that is never written", ErrTampered, r.Seq, r.WalletID)
		}
		out, hashes = append(out, r.HistoryRow), append(hashes, r.Hash)
	}
	return out, hashes, err
}

package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
)

// ChainHead is the end of a wallet's history as the wallet's own row has it.
type ChainHead struct {
	WalletID       int64
	Seq            int32
	Hash           []byte
	Generation     int32
	ActiveShareSet string // empty before the baseline
	PublicKey      string // empty before the baseline
	// Deleted wallets keep their head, but not what it led to.
	Deleted bool
	// Lost: the wallet is there and has no head, which cannot come about by
	// itself.
	Lost bool
}

// HistorySpan is a part of all histories, in the order of wallets and rows:
// what comes after row Seq of Wallet, up to all of wallet To.
type HistorySpan struct {
	Wallet int64
	Seq    int64
	To     int64
	// Heads and Rows are about how many a page holds at most, and so what it
	// costs in memory.
	Heads, Rows int
}

// WholeHistory is everything, in pages that are read in a tenth of a second.
func WholeHistory() HistorySpan {
	return HistorySpan{Wallet: math.MinInt64, Seq: BeforeFirst, To: math.MaxInt64, Heads: 500, Rows: 10_000}
}

// BeforeFirst is before any number that a row can have, also after somebody has
// meddled with it.
const BeforeFirst = math.MinInt32 - 1

// HistoryPage is the beginning of a span, seen in one snapshot.
type HistoryPage struct {
	Heads []ChainHead // in the order of wallets; from Wallet on
	Rows  []StoredRow // in the order of wallets and rows
	// Cut: the page ends in the middle of a wallet, at its last row. Else it
	// holds all up to wallet To.
	Cut bool
	To  int64
}

// A page ends with all rows of the same number, so that none can hide behind
// another of its kind from a walk that goes on after that number. wallets that
// lost their head are looked for only as far as the heads reach.
const (
	headsSQL = `
		SELECT wallet_id, seq, hash, coalesce(generation, 0), coalesce(active_share_set, ''), coalesce(public_key, ''), deleted, false
		  FROM history_heads WHERE wallet_id >= $1 AND wallet_id <= $2
		 ORDER BY wallet_id FETCH FIRST ($3) ROWS WITH TIES`
	lostSQL = `
		SELECT w.id, 0, ''::bytea, 0, '', '', false, true
		  FROM wallets w WHERE w.id >= $1 AND w.id <= $2 AND NOT EXISTS (SELECT FROM history_heads h WHERE h.wallet_id = w.id)
		 ORDER BY w.id FETCH FIRST ($3) ROWS WITH TIES`
)

var rowsSQL = `
		SELECT ` + storedColumns + ` FROM share_set_history
		 WHERE (wallet_id, seq) > ($1, $2::bigint) AND wallet_id <= $3
		 ORDER BY wallet_id, seq FETCH FIRST ($4) ROWS WITH TIES`

type beginner interface {
	BeginTx(context.Context, pgx.TxOptions) (pgx.Tx, error)
}

// HistoryPage reads the beginning of a span. Each page is a short transaction of
// its own, so that a walk over everything holds no snapshot open.
func (s *Store) HistoryPage(ctx context.Context, span HistorySpan) (*HistoryPage, error) {
	return historyPage(ctx, s.pool, span)
}

func historyPage(ctx context.Context, db beginner, span HistorySpan) (*HistoryPage, error) {
	page := &HistoryPage{To: span.To}
	err := pgx.BeginTxFunc(ctx, db, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		heads, err := page.heads(ctx, tx, headsSQL, span)
		if err != nil {
			return err
		}
		lost, err := page.heads(ctx, tx, lostSQL, span)
		if err != nil {
			return err
		}
		page.Heads = merge(heads, lost, page.To)
		rows, err := tx.Query(ctx, rowsSQL, span.Wallet, span.Seq, page.To, span.Rows)
		if err != nil {
			return err
		}
		if page.Rows, err = pgx.CollectRows(rows, scanStored); err != nil {
			return err
		}
		page.Cut = len(page.Rows) >= span.Rows
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the history from wallet %d on: %w", span.Wallet, err)
	}
	return page, nil
}

// heads reads up to a page of them, which then ends where they do.
func (p *HistoryPage) heads(ctx context.Context, tx pgx.Tx, sql string, span HistorySpan) ([]ChainHead, error) {
	rows, err := tx.Query(ctx, sql, span.Wallet, p.To, span.Heads)
	if err != nil {
		return nil, err
	}
	heads, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ChainHead])
	if n := len(heads); n >= span.Heads {
		p.To = heads[n-1].WalletID
	}
	return heads, err
}

// merge is both in the order of wallets, up to one of them.
func merge(a, b []ChainHead, to int64) []ChainHead {
	out := make([]ChainHead, 0, len(a)+len(b))
	for len(a)+len(b) > 0 {
		from := &a
		if len(a) == 0 || len(b) > 0 && b[0].WalletID < a[0].WalletID {
			from = &b
		}
		if (*from)[0].WalletID > to {
			break
		}
		out = append(out, (*from)[0])
		*from = (*from)[1:]
	}
	return out
}

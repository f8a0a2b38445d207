package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// requestReconcile opens a rotation that only looks: under the lock that its
// row is, beside no other rotation of the wallet. It belongs to no policy, so
// that its failures use up no budget and no tick resets or supersedes it, and a
// wallet that is paused is compared as well. A rotation that has failed is
// taken for it and ends with it, as if it were aborted. Without a wallet all
// are compared, by the walk of the daemon.
func (s *Store) requestReconcile(ctx context.Context, tx pgx.Tx, q Request) (string, error) {
	if q.WalletID == 0 {
		return requestWalk(ctx, tx, q)
	}
	var state State
	var wish Wish
	err := tx.QueryRow(ctx, `SELECT FROM wallet_state WHERE wallet_id = $1 FOR NO KEY UPDATE`, q.WalletID).Scan()
	if errors.Is(err, pgx.ErrNoRows) {
		return "", refusal(fmt.Sprintf("there is no wallet %d", q.WalletID))
	}
	if err != nil {
		return "", err
	}
	const compared = "vendor, co-signer and record are compared now"
	err = tx.QueryRow(ctx, `SELECT state, coalesce(wish, '') FROM rotations WHERE wallet_id = $1 FOR UPDATE`, q.WalletID).Scan(&state, &wish)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return compared, s.insertLook(ctx, tx, q)
	case err != nil:
		return "", err
	case state == Failed:
		_, err := tx.Exec(ctx, `
			UPDATE rotations SET state = 'waiting', wish = 'reconcile', wish_actor = $2, attempt = 0, next_check = now(),
			       attention = NULL, attention_since = NULL, error_class = NULL
			 WHERE wallet_id = $1`, q.WalletID, q.Actor)
		return compared, err
	case wish == WishReconcile:
		return "it is being compared already", nil
	case state == Waiting:
		return "its open rotation compares before its next attempt", nil
	}
	return "", refusal(fmt.Sprintf("the rotation of wallet %d is in %s and settles by itself what may differ; see the view wallet_status", q.WalletID, state))
}

func (s *Store) insertLook(ctx context.Context, tx pgx.Tx, q Request) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := s.Now()
	_, err = tx.Exec(ctx, `
		INSERT INTO rotations (wallet_id, rotation_id, tick, trigger, claimed_at, next_check, actor, reason, wish, wish_actor)
		VALUES ($1, $2, $3, 'manual', $4, now(), $5, $6, 'reconcile', $5)`,
		q.WalletID, id, now.Truncate(time.Minute), now, q.Actor, q.Reason)
	return err
}

// requestWalk has the daemon compare all wallets, outside its schedule.
func requestWalk(ctx context.Context, tx pgx.Tx, q Request) (string, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE reconcile_state SET tick = greatest(tick, $1), running = true, owner = NULL, last_wallet = 0, counts = '{}'
		 WHERE NOT running`, q.At)
	if err != nil {
		return "", err
	}
	if tag.RowsAffected() == 0 {
		return "", refusal("all wallets are being compared already; see the table reconcile_state")
	}
	return "all wallets are compared now; see the table reconcile_state", nil
}

// AskReconcile inserts a request for each wallet, and returns the ids of the
// requests.
func (s *Store) AskReconcile(ctx context.Context, walletIDs []int64, actor, reason string) ([]int64, error) {
	rows, err := s.pool.Query(ctx, askReconcileSQL, walletIDs, actor, reason)
	if err != nil {
		return nil, fmt.Errorf("requesting to reconcile: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("requesting to reconcile: %w", err)
	}
	return ids, nil
}

const askReconcileSQL = `
INSERT INTO rotation_requests (action, wallet_id, actor, reason)
SELECT 'reconcile', t.wallet_id, $2, $3 FROM unnest($1::bigint[]) t(wallet_id) RETURNING id`

// Reconciling says how far the daemon is with requests to reconcile: how many
// are not answered, how many of their wallets are still being compared, and
// what was answered to those that were refused.
func (s *Store) Reconciling(ctx context.Context, requests []int64) (unanswered, looking int64, refused map[int64]string, err error) {
	if err := s.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM unnest($1::bigint[]) t(id)
		         WHERE NOT EXISTS (SELECT FROM request_status a WHERE a.request_id = ANY (ARRAY[t.id]))),
		       (SELECT count(*) FROM unnest($1::bigint[]) t(id)
		          JOIN rotation_requests q ON q.id = ANY (ARRAY[t.id])
		          JOIN rotations r ON r.wallet_id = ANY (ARRAY[q.wallet_id])
		         WHERE r.wish = 'reconcile' AND r.state = 'waiting' AND r.attention IS NULL)`, requests).Scan(&unanswered, &looking); err != nil {
		return 0, 0, nil, fmt.Errorf("asking for the answers: %w", err)
	}
	rows, err := s.pool.Query(ctx, `
		SELECT q.wallet_id, a.detail FROM unnest($1::bigint[]) t(id)
		  JOIN request_status a ON a.request_id = ANY (ARRAY[t.id])
		  JOIN rotation_requests q ON q.id = ANY (ARRAY[t.id]) WHERE a.state = 'refused'`, requests)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("reading the answers: %w", err)
	}
	refused = map[int64]string{}
	var id int64
	var detail string
	if _, err := pgx.ForEachRow(rows, []any{&id, &detail}, func() error { refused[id] = detail; return nil }); err != nil {
		return 0, 0, nil, fmt.Errorf("reading the answers: %w", err)
	}
	return unanswered, looking, refused, nil
}

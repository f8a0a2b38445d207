package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Request is what a person asked for in rotation_requests.
type Request struct {
	ID       int64
	Action   string
	WalletID int64 // 0: none given
	PolicyID int32 // 0: none given
	Actor    string
	Reason   string
	At       time.Time
}

// OpenRequests reads the requests that nobody has answered, oldest first.
func (s *Store) OpenRequests(ctx context.Context, limit int) ([]Request, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT q.id, q.action, coalesce(q.wallet_id, 0), coalesce(q.policy_id, 0), q.actor, q.reason, q.requested_at
		  FROM rotation_requests q
		 WHERE NOT EXISTS (SELECT FROM request_status a WHERE a.request_id = q.id)
		 ORDER BY q.id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("reading requests: %w", err)
	}
	requests, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Request])
	if err != nil {
		return nil, fmt.Errorf("reading requests: %w", err)
	}
	return requests, nil
}

// refusal is an answer that says no, in a sentence for the person who asked.
type refusal string

func (r refusal) Error() string { return string(r) }

// Answer does what a request about one wallet asks for, and answers it, in
// one transaction: a request is answered once, whichever replica does it.
// It returns whether this call was the one, and whether it was refused.
func (s *Store) Answer(ctx context.Context, q Request) (mine, refused bool, err error) {
	return s.answer(ctx, q, func(tx pgx.Tx) (string, error) {
		switch q.Action {
		case "rotate":
			return s.requestRotate(ctx, tx, q)
		case "retry":
			return requestRetry(ctx, tx, q)
		case "abort":
			return requestWish(ctx, tx, q, WishAbort,
				[]State{Waiting, Opening, Ceremony, Failed},
				"is past the point where it can be aborted; it will roll forward")
		case "reconcile":
			return s.requestReconcile(ctx, tx, q)
		case "discard":
			return requestWish(ctx, tx, q, WishDiscard, []State{Prepared}, "is not in prepared, so there is nothing to discard; request abort or retry")
		}
		return "", refusal(fmt.Sprintf("%s is not supported by this version of rotatord", q.Action))
	})
}

// AnswerWith answers a request by what do returns: a detail, or an error that
// refuses it.
func (s *Store) AnswerWith(ctx context.Context, q Request, detail, refuse string) (mine bool, err error) {
	mine, _, err = s.answer(ctx, q, func(pgx.Tx) (string, error) {
		if refuse != "" {
			return "", refusal(refuse)
		}
		return detail, nil
	})
	return mine, err
}

func (s *Store) answer(ctx context.Context, q Request, do func(pgx.Tx) (string, error)) (mine, refused bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO request_status (request_id, state, detail) VALUES ($1, 'done', '') ON CONFLICT DO NOTHING`, q.ID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		mine = true
		detail, err := do(tx)
		state := "done"
		var no refusal
		if errors.As(err, &no) {
			state, detail, refused = "refused", string(no), true
		} else if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE request_status SET state = $2, detail = $3 WHERE request_id = $1`, q.ID, state, plain(detail))
		return err
	})
	if err != nil {
		return false, false, fmt.Errorf("answering request %d: %w", q.ID, err)
	}
	return mine, refused, nil
}

func (s *Store) requestRotate(ctx context.Context, tx pgx.Tx, q Request) (string, error) {
	var policyID *int32
	err := tx.QueryRow(ctx, `SELECT policy_id FROM wallet_state WHERE wallet_id = $1 FOR NO KEY UPDATE`, q.WalletID).Scan(&policyID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", refusal(fmt.Sprintf("there is no wallet %d", q.WalletID))
	}
	if err != nil {
		return "", err
	}
	var off bool
	if err := tx.QueryRow(ctx, `SELECT NOT enabled OR paused_reason IS NOT NULL FROM wallets WHERE id = $1`, q.WalletID).Scan(&off); err != nil {
		return "", err
	}
	if off {
		return "", refusal(fmt.Sprintf("wallet %d is disabled or paused; resume it first", q.WalletID))
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	now := s.Now()
	tag, err := tx.Exec(ctx, `
		INSERT INTO rotations (wallet_id, rotation_id, policy_id, tick, trigger, claimed_at, next_check, actor, reason)
		VALUES ($1, $2, $3, $4, 'manual', $5, now(), $6, $7) ON CONFLICT DO NOTHING`,
		q.WalletID, id, policyID, now.Truncate(time.Minute), now, q.Actor, q.Reason)
	if err != nil {
		return "", err
	}
	if tag.RowsAffected() == 0 {
		return "", refusal(fmt.Sprintf("wallet %d is being rotated already; see the view wallet_status", q.WalletID))
	}
	return "rotation " + id.String() + " was opened", nil
}

func requestRetry(ctx context.Context, tx pgx.Tx, q Request) (string, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE rotations SET state = CASE WHEN state = 'failed' THEN 'waiting' ELSE state END,
		       attempt = CASE WHEN state IN ('failed', 'waiting') THEN 0 ELSE attempt END,
		       next_check = now(), attention = NULL, attention_since = NULL, error_class = NULL
		 WHERE wallet_id = $1 AND owner IS NULL`, q.WalletID)
	if err != nil {
		return "", err
	}
	// What waits may also be the clean-up after an earlier rotation.
	cleanUp, err := tx.Exec(ctx, `
		UPDATE retirements SET next_try = now(), attention = NULL, attention_since = NULL
		 WHERE wallet_id = $1 AND owner IS NULL AND committed_at IS NOT NULL AND attention IS NOT NULL`, q.WalletID)
	if err != nil {
		return "", err
	}
	switch {
	case tag.RowsAffected() > 0:
		return "the rotation goes on now", nil
	case cleanUp.RowsAffected() > 0:
		return "the clean-up goes on now", nil
	}
	return "", refusal(fmt.Sprintf("wallet %d has no rotation that waits", q.WalletID))
}

func requestWish(ctx context.Context, tx pgx.Tx, q Request, wish Wish, states []State, otherwise string) (string, error) {
	var state State
	err := tx.QueryRow(ctx, `SELECT state FROM rotations WHERE wallet_id = $1 FOR UPDATE`, q.WalletID).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", refusal(fmt.Sprintf("wallet %d has no open rotation", q.WalletID))
	}
	if err != nil {
		return "", err
	}
	for _, s := range states {
		if s != state {
			continue
		}
		// A failed rotation is worked on again only to end it.
		_, err := tx.Exec(ctx, `
			UPDATE rotations SET wish = $2, wish_actor = $3, next_check = CASE WHEN owner IS NULL THEN now() ELSE next_check END,
			       state = CASE WHEN state = 'failed' THEN 'waiting' ELSE state END
			 WHERE wallet_id = $1`, q.WalletID, wish, q.Actor)
		return fmt.Sprintf("the %s takes effect at the next step of the rotation", wish), err
	}
	return "", refusal(fmt.Sprintf("the rotation of wallet %d is in %s: it %s", q.WalletID, state, otherwise))
}

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrNoSuchWallet says that the table has no wallet of that id.
var ErrNoSuchWallet = errors.New("there is no such wallet")

// Asked is a request that a person has made, and what the daemon has answered.
type Asked struct {
	RequestID int64  `json:"request_id"`
	WalletID  int64  `json:"wallet_id,omitempty"`
	Policy    string `json:"policy,omitempty"`
	State     string `json:"state"` // open, done or refused
	Detail    string `json:"detail,omitempty"`
}

// The states of a request; open is the absence of an answer.
const (
	RequestOpen    = "open"
	RequestDone    = "done"
	RequestRefused = "refused"
)

// Ask inserts a request about each wallet, all or none, and returns their ids.
func (o *Operator) Ask(ctx context.Context, action string, walletIDs []int64, actor, reason string) ([]int64, error) {
	return o.ask(ctx, `
		INSERT INTO rotation_requests (action, wallet_id, actor, reason)
		SELECT $1, t.wallet_id, $3, $4 FROM unnest($2::bigint[]) t(wallet_id) RETURNING id`, action, walletIDs, actor, reason)
}

// AskPolicy requests a cycle of a policy by hand.
func (o *Operator) AskPolicy(ctx context.Context, policyID int32, actor, reason string) ([]int64, error) {
	return o.ask(ctx, `
		INSERT INTO rotation_requests (action, policy_id, actor, reason) VALUES ('run_policy', $1, $2, $3) RETURNING id`, policyID, actor, reason)
}

func (o *Operator) ask(ctx context.Context, sql string, args ...any) ([]int64, error) {
	rows, err := o.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("inserting the request: %w", allowed(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("inserting the request: %w", allowed(err))
	}
	return ids, nil
}

// Answers reads how requests stand, in the order of their ids.
func (o *Operator) Answers(ctx context.Context, requests []int64) ([]Asked, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT q.id, coalesce(q.wallet_id, 0), coalesce(p.name, ''), coalesce(a.state, 'open'), coalesce(a.detail, '')
		  FROM rotation_requests q
		  LEFT JOIN request_status a ON a.request_id = q.id
		  LEFT JOIN rotation_policies p ON p.id = q.policy_id
		 WHERE q.id = ANY ($1) ORDER BY q.id`, requests)
	if err != nil {
		return nil, fmt.Errorf("reading the answers: %w", allowed(err))
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Asked])
	if err != nil {
		return nil, fmt.Errorf("reading the answers: %w", allowed(err))
	}
	return all, nil
}

// Waiting are the wallets of a policy whose rotation or clean-up waits after a
// failure, or for a person: those that a retry is for. In the order of ids.
func (o *Operator) Waiting(ctx context.Context, policyID int32) ([]int64, error) {
	rows, err := o.conn.Query(ctx, `
		SELECT s.wallet_id FROM wallet_status s JOIN rotation_policies p ON p.name = s.policy
		 WHERE p.id = $1 AND (s.rotation_state = 'failed' OR s.rotation_state = 'waiting' AND s.attempt > 0)
		 UNION
		SELECT a.wallet_id FROM attention a JOIN rotation_policies p ON p.name = a.policy
		 WHERE p.id = $1 AND a.reason NOT IN ('commit_pending', 'history_broken') -- which no retry helps
		 ORDER BY 1`, policyID)
	if err != nil {
		return nil, fmt.Errorf("looking for rotations that wait: %w", allowed(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("looking for rotations that wait: %w", allowed(err))
	}
	return ids, nil
}

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/provider"
)

// Wallet is the spec row of a wallet, as far as a rotation needs it.
type Wallet struct {
	ID         int64
	Provider   string
	ExternalID string
	Address    string // as the operator gave it; may be empty
	Chain      string
	PublicKey  string // as the operator gave it; may be empty
	CoSigner   string // empty: the provider's default
	Settings   json.RawMessage
	Off        bool // disabled or paused by a person
}

// Rotation is an open rotation with its wallet and the head of its history.
type Rotation struct {
	RotationID      uuid.UUID
	AttemptID       uuid.UUID // of the latest attempt, also after it was abandoned
	PolicyID        int32
	Policy          string // name, for labels; the wallet's where the rotation belongs to none
	MaxAttempts     int32
	Tick            time.Time
	Trigger         Trigger
	Actor           string
	State           State
	Attempt         int32
	DiscardPending  bool
	ClaimedAt       time.Time
	OpenedAt        time.Time
	PreparedAt      time.Time
	PromotedAt      time.Time
	InDoubtSince    time.Time
	NextCheck       time.Time
	Attention       Attention
	ErrorClass      provider.Class // of the last failure; empty: none since it was claimed or retried
	Error           string
	OldShareSet     string
	PendingShareSet string
	Fingerprint     string
	Refs            provider.Refs
	Wish            Wish // what a person asked for; empty: nothing
	WishActor       string

	Wallet Wallet
	Head   Head
}

const rotationColumns = `
	r.rotation_id, coalesce(r.attempt_id, '00000000-0000-0000-0000-000000000000'), coalesce(r.policy_id, 0),
	coalesce(p.name, ''), coalesce((ps.running_spec->>'max_attempts')::int, p.max_attempts, 1),
	r.tick, r.trigger, coalesce(r.actor, ''), r.state, r.attempt, r.discard_pending,
	r.claimed_at, r.opened_at, r.prepared_at, r.promoted_at, r.in_doubt_since, r.next_check,
	coalesce(r.attention, ''), coalesce(r.error_class, ''), coalesce(r.error, ''), coalesce(r.old_share_set, ''), coalesce(r.pending_share_set, ''),
	coalesce(r.fingerprint, ''), r.refs, coalesce(r.wish, ''), coalesce(r.wish_actor, ''),
	w.id, w.provider, w.external_id, coalesce(w.address, ''), coalesce(w.chain, ''), coalesce(w.public_key, ''),
	coalesce(w.cosigner, ''), w.settings, NOT w.enabled OR w.paused_reason IS NOT NULL,
	s.seq, s.hash, s.generation, coalesce(s.active_share_set, ''), coalesce(s.public_key, ''), s.cycle_at`

func scanRotation(row pgx.CollectableRow) (*Rotation, error) {
	var (
		r    Rotation
		refs []byte
		// These may be null.
		opened, prepared, promoted, doubt, next *time.Time
	)
	err := row.Scan(&r.RotationID, &r.AttemptID, &r.PolicyID, &r.Policy, &r.MaxAttempts,
		&r.Tick, &r.Trigger, &r.Actor, &r.State, &r.Attempt, &r.DiscardPending,
		&r.ClaimedAt, &opened, &prepared, &promoted, &doubt, &next,
		&r.Attention, &r.ErrorClass, &r.Error, &r.OldShareSet, &r.PendingShareSet, &r.Fingerprint, &refs, &r.Wish, &r.WishActor,
		&r.Wallet.ID, &r.Wallet.Provider, &r.Wallet.ExternalID, &r.Wallet.Address, &r.Wallet.Chain, &r.Wallet.PublicKey,
		&r.Wallet.CoSigner, &r.Wallet.Settings, &r.Wallet.Off,
		&r.Head.Seq, &r.Head.Hash, &r.Head.Generation, &r.Head.ActiveShareSet, &r.Head.PublicKey, &r.Head.CycleAt)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		to   *time.Time
		from *time.Time
	}{{&r.OpenedAt, opened}, {&r.PreparedAt, prepared}, {&r.PromotedAt, promoted}, {&r.InDoubtSince, doubt}, {&r.NextCheck, next}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if refs != nil {
		if err := json.Unmarshal(refs, &r.Refs); err != nil {
			return nil, fmt.Errorf("reading the references of wallet %d's rotation: %w", r.Wallet.ID, err)
		}
	}
	return &r, nil
}

const loadSQL = `
SELECT ` + rotationColumns + `
  FROM unnest($1::bigint[]) t(wallet_id)
  JOIN rotations r ON r.wallet_id = ANY (ARRAY[t.wallet_id])
  JOIN wallet_state s ON s.wallet_id = ANY (ARRAY[t.wallet_id])
  JOIN wallets w ON w.id = ANY (ARRAY[t.wallet_id])
  LEFT JOIN rotation_policies p ON p.id = coalesce(r.policy_id, w.policy_id)
  LEFT JOIN policy_state ps ON ps.policy_id = coalesce(r.policy_id, w.policy_id)
 WHERE r.owner = $2`

// Load reads those rotations of the given wallets that belong to owner.
func (s *Store) Load(ctx context.Context, owner int64, walletIDs []int64) ([]*Rotation, error) {
	rows, err := s.pool.Query(ctx, loadSQL, walletIDs, owner)
	if err != nil {
		return nil, fmt.Errorf("loading rotations: %w", err)
	}
	rotations, err := pgx.CollectRows(rows, scanRotation)
	if err != nil {
		return nil, fmt.Errorf("loading rotations: %w", err)
	}
	return rotations, nil
}

// Owned lists the wallets whose rotations belong to owner: those that it should
// be working on right now.
func (s *Store) Owned(ctx context.Context, owner int64) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `SELECT wallet_id FROM rotations WHERE owner = $1`, owner)
	if err != nil {
		return nil, fmt.Errorf("listing own rotations: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("listing own rotations: %w", err)
	}
	return ids, nil
}

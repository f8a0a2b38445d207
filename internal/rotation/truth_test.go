package rotation

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// healthy asserts the truth of every wallet: the sandbox says that it signs
// under its first key, that no old share does, and that database, vendor and
// co-signer use the same share set.
func (r *rig) healthy() {
	r.t.Helper()
	for _, w := range r.sandbox.State() {
		active := value[string](r, `SELECT provider_ref FROM share_sets WHERE external_id = $1 AND state = 'active'`, w.ID)
		if !w.CanSign || w.OldShareSigns || active != w.ActiveShareSet || active != w.CosignerShareSet {
			r.t.Errorf("wallet %s: database says active %s, truth is %+v", w.ID, active, w)
		}
	}
	for _, id := range r.walletIDs() {
		r.must(r.store.VerifyWallet(r.t.Context(), id))
	}
	r.atMostOnce()
}

// atMostOnce: no share set was swapped in twice.
func (r *rig) atMostOnce() {
	r.t.Helper()
	for id, w := range r.sandbox.Stats().Wallets {
		for set, p := range w.Promotions {
			if p.Effects > 1 {
				r.t.Errorf("wallet %s: share set %s was swapped in %d times", id, set, p.Effects)
			}
		}
	}
}

// row is a rotation as it stands on record.
type row struct {
	State, Attempt, Pending, Old, Fingerprint, Attention, Error string
	DiscardPending, Frozen                                      bool // Frozen: no next check
	Owner                                                       int64
}

// record reads the only rotation. It may be called on any goroutine.
func (r *rig) record() (x row) {
	rows, err := r.db.Query(context.Background(), `
		SELECT state, coalesce(attempt_id::text, '') AS attempt, coalesce(pending_share_set, '') AS pending, coalesce(old_share_set, '') AS old,
		       coalesce(fingerprint, '') AS fingerprint, coalesce(attention, '') AS attention, coalesce(error, '') AS error,
		       discard_pending, next_check IS NULL AS frozen, coalesce(owner, 0) AS owner FROM rotations`)
	if err == nil {
		x, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	}
	if err != nil {
		r.t.Errorf("reading the rotation: %v", err)
	}
	return x
}

// outcomes are the decided share sets of all wallets, oldest first.
func (r *rig) outcomes() []string {
	r.t.Helper()
	return value[[]string](r, `SELECT coalesce(array_agg(outcome ORDER BY wallet_id, seq), '{}') FROM share_set_history`)
}

// histories insists on the outcomes.
func (r *rig) histories(want ...string) {
	r.t.Helper()
	if got := r.outcomes(); !slices.Equal(got, want) {
		r.t.Errorf("history %v, want %v", got, want)
	}
}

// opened is how many rooms the vendor has opened.
func (r *rig) opened() int { return r.sandbox.Stats().Ceremonies.Opened }

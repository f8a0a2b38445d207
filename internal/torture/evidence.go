package torture

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
	"github.com/rotatord/rotatord/internal/store"
)

// recorded is what the database says about a wallet.
type recorded struct {
	ID         int64
	ExternalID string
	Generation int
	Head       string // the active share set in wallet_state
	Active     string // and in the view share_sets
	PublicKey  string
	Open       string // rotation and retirements that are not through
	Drift      bool   // a person is told of drift
}

const recordedSQL = `
	SELECT w.id, w.external_id, s.generation, coalesce(s.active_share_set, ''),
	       coalesce((SELECT string_agg(a.provider_ref, ' and ') FROM share_sets a WHERE a.wallet_id = w.id AND a.state = 'active'), ''),
	       coalesce(s.public_key, ''),
	       concat_ws('; ', (SELECT concat_ws(' ', 'rotation in', r.state, r.attention, r.error) FROM rotations r WHERE r.wallet_id = w.id),
	                 (SELECT string_agg(concat_ws(' ', 'retirement of', t.old_share_set, t.attention, t.error), '; ') FROM retirements t WHERE t.wallet_id = w.id)),
	       EXISTS (SELECT FROM rotations r WHERE r.wallet_id = w.id AND r.attention = 'drift')
	  FROM wallets w JOIN wallet_state s ON s.wallet_id = w.id
	 ORDER BY w.id`

// evidence is what a wallet is judged by. Neither side of it comes from what a
// daemon says of itself.
type evidence struct {
	before     sandbox.WalletState // vendor and co-signer, before the first rotation
	truth      sandbox.WalletState // and now, proven by signatures
	recorded   recorded
	history    []store.HistoryRow
	tampered   error
	promotions map[string]tally.Promotion // as the vendor counted them
	held       cosigner.WalletStatus      // the co-signer's own answer; Dynamic only
	// lossy: commits were lost on purpose.
	lossy bool
}

// witness is where evidence comes from.
type witness struct {
	box    *sandbox.Sandbox
	signer *cosigner.Client
	db     *pgxpool.Pool
	store  *store.Store
	lossy  bool
}

// collect the evidence of every wallet that the sandbox had before.
func (w *witness) collect(ctx context.Context, before []sandbox.WalletState) ([]evidence, error) {
	rows, err := w.db.Query(ctx, recordedSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[recorded])
	if err != nil {
		return nil, fmt.Errorf("reading the record: %w", err)
	}
	records := map[string]recorded{}
	for _, r := range list {
		records[r.ExternalID] = r
	}
	truths := map[string]sandbox.WalletState{}
	for _, t := range w.box.State() {
		truths[t.ID] = t
	}
	stats := w.box.Stats()
	all := make([]evidence, len(before))
	for i, b := range before {
		e := evidence{before: b, truth: truths[b.ID], recorded: records[b.ID], lossy: w.lossy}
		if e.history, _, err = w.store.History(ctx, e.recorded.ID); err != nil {
			return nil, err
		}
		e.tampered = w.store.VerifyWallet(ctx, e.recorded.ID)
		if b.Provider == coboName {
			e.promotions = stats.Cobo.Vaults[b.ID].Promotions
		} else {
			e.promotions = stats.Wallets[b.ID].Promotions
			// A co-signer that knows nothing of the wallet holds nothing of it.
			if e.held, err = w.signer.Wallet(ctx, dynamicName, b.ID); err != nil && !errors.Is(err, cosigner.ErrUnknown) {
				return nil, fmt.Errorf("asking the co-signer about %s: %w", b.ID, err)
			}
		}
		all[i] = e
	}
	return all, nil
}

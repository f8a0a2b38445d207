package rotation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/rotatord/rotatord/internal/sandbox"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
)

// trouble is everything that can go wrong, each so often that a call fails
// about every fifth time. Left out is only what no daemon can mend: a co-signer
// that loses a share after the vendor was told to swap it in.
func trouble() (all []faults.Fault) {
	for operation, kinds := range map[string][]faults.Kind{
		"dynamic.authenticate": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.Reject, faults.LoseState},
		"dynamic.wallet": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.WrongPublicKey, faults.Reject, faults.LoseState},
		"dynamic.refresh": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.WrongPublicKey, faults.Reject},
		"dynamic.room": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.WrongPublicKey, faults.Reject, faults.LoseState},
		"dynamic.locations": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.Reject, faults.LoseState},
		"cosigner.ceremony": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.WrongPublicKey, faults.Reject, faults.LoseState},
		"cosigner.status": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream,
			faults.WrongPublicKey, faults.Reject},
		"cosigner.commit": {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream, faults.Reject},
		"cosigner.abort":  {faults.Status, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream, faults.Reject},
	} {
		all = append(all, faults.Fault{Operation: operation, Kind: faults.Latency, Delay: 5 * time.Millisecond, Rate: 0.2})
		for _, kind := range kinds {
			all = append(all, faults.Fault{Operation: operation, Kind: kind, Status: 503, Delay: 10 * time.Millisecond, Rate: 0.2 / float64(len(kinds))})
		}
	}
	slices.SortFunc(all, func(a, b faults.Fault) int { // the order decides whose luck is drawn first
		return slices.Compare([]string{a.Operation, string(a.Kind)}, []string{b.Operation, string(b.Kind)})
	})
	return all
}

// person does what the view attention says is to be done.
func (r *rig) person() {
	r.t.Helper()
	type waiting struct {
		Wallet int64
		Name   string
		Reason store.Attention
	}
	rows, err := r.db.Query(r.t.Context(), `
		SELECT r.wallet_id, w.external_id, r.attention FROM rotations r JOIN wallets w ON w.id = r.wallet_id
		 WHERE r.attention IS NOT NULL AND r.owner IS NULL`)
	r.must(err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[waiting])
	r.must(err)
	for _, w := range all {
		action := "retry"
		switch w.Reason {
		case store.PreparedShareLost, store.PromoteRefused:
			action = "discard"
		case store.PromotionStuck:
			// The pending set is gone at a vendor that does not say so.
			action = "discard"
		case store.DoubtRemains, store.CommitPending:
			continue // it goes on by itself
		case store.AttemptsUsedUp:
			if r.blocked(w.Name) {
				continue // nobody but the vendor can help
			}
		}
		r.exec(`INSERT INTO rotation_requests (action, wallet_id, actor, reason) VALUES ($1, $2, 'ann', $3)`, action, w.Wallet, "checked; "+string(w.Reason))
	}
	requests, err := r.store.OpenRequests(r.t.Context(), 100)
	r.must(err)
	for _, q := range requests {
		_, _, err := r.store.Answer(r.t.Context(), q)
		r.must(err)
	}
}

// blocked: the vendor refuses to refresh while a set is pending, one is, and
// there is no call that takes it back.
func (r *rig) blocked(wallet string) bool {
	w, _ := r.sandbox.WalletState(wallet)
	return r.info.Assume[assume.SecondRefresh] == assume.Refused && len(w.PendingShareSets) > 0
}

// allBlocked: every open rotation has failed and waits for the vendor.
func (r *rig) allBlocked() bool {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), `SELECT w.external_id, r.state FROM rotations r JOIN wallets w ON w.id = r.wallet_id`)
	r.must(err)
	var name, state string
	blocked := true
	_, err = pgx.ForEachRow(rows, []any{&name, &state}, func() error {
		blocked = blocked && state == "failed" && r.blocked(name)
		return nil
	})
	r.must(err)
	return blocked
}

// TestConvergesUnderEveryAssumption rotates wallets under trouble of every
// kind, for each value of what vendors do not document, and asks the sandbox
// what has become of them.
func TestConvergesUnderEveryAssumption(t *testing.T) {
	for _, a := range assume.All() {
		for i, v := range a.Values {
			if a.Key == assume.RefreshFields && v.Name == assume.Legacy {
				continue // refused: TestRule8UnknownOutcomesAreAsked
			}
			if a.Key == assume.RateLimits || !strings.HasPrefix(a.About, "Dynamic: ") {
				continue // minutes long, and another vendor
			}
			t.Run(a.Key+"="+v.Name, func(t *testing.T) {
				r := newRig(t, sandbox.Options{Wallets: 4, Seed: int64(i + 1), Assume: map[string]string{a.Key: v.Name},
					CeremonyTimeout: 500 * time.Millisecond})
				r.exec(`UPDATE rotation_policies SET max_attempts = 20`)
				r.options.Timing.CommitAttention = 200 * time.Millisecond
				r.options.Timing.Ceremony = time.Second
				r.pace.min = 50 * time.Millisecond // longer than an effect is late
				x := r.replica()
				r.breaks(trouble()...)
				x.claim()
				calm := time.Now().Add(3 * time.Second)
				x.until("all rotations are closed, with a person's help", func() bool {
					if time.Now().After(calm) {
						r.mended()
					}
					r.person()
					return x.InHand() == 0 && r.allBlocked()
				})
				r.mended()
				r.healthy()
				x.claim()
				x.until("the next rotations are closed", func() bool { return x.InHand() == 0 && r.allBlocked() })
				r.healthy()
				for _, w := range r.sandbox.State() {
					if generation := value[int](r, `SELECT s.generation FROM wallet_state s JOIN wallets w ON w.id = s.wallet_id WHERE w.external_id = $1`, w.ID); generation != w.Generation ||
						generation != 2 && !r.blocked(w.ID) {
						t.Errorf("wallet %s: generation %d on record, %d at the vendor", w.ID, generation, w.Generation)
					}
				}
			})
		}
	}
}

func TestTroubleIsReallyMade(t *testing.T) {
	// Every operation and kind that the sandbox has, but for the two that lose a
	// share for good.
	have := map[string]bool{}
	for _, f := range trouble() {
		have[fmt.Sprintf("%s %s", f.Operation, f.Kind)] = true
	}
	r := newRig(t, sandbox.Options{})
	for _, operation := range []string{"dynamic.authenticate", "dynamic.wallet", "dynamic.refresh", "dynamic.room", "dynamic.locations",
		"cosigner.ceremony", "cosigner.status", "cosigner.commit", "cosigner.abort"} {
		for _, kind := range []faults.Kind{faults.Status, faults.Latency, faults.LostReply, faults.LostRequest, faults.LateEffect,
			faults.DropStream, faults.WrongPublicKey, faults.LoseState, faults.Reject} {
			if r.sandbox.SetFaults(faults.Fault{Operation: operation, Kind: kind}) != nil {
				continue // the sandbox has no such fault
			}
			switch name := fmt.Sprintf("%s %s", operation, kind); name {
			case "cosigner.status lose_state", "cosigner.commit lose_state":
			default:
				if !have[name] {
					t.Errorf("%s is never tried", name)
				}
			}
		}
	}
}

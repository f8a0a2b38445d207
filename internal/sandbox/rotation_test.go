package sandbox

import (
	"testing"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// The whole flow on both curves, several times: the key stays, the generation
// counts, the wallet signs, the old shares do not.
func TestRotation(t *testing.T) {
	r := newRig(t, Options{Wallets: 2})
	before := r.State()
	for generation := 1; generation <= 3; generation++ {
		for i := range before {
			r.rotate(i)
			w := r.wallet(i)
			if !w.CanSign || !w.Recoverable || w.OldShareSigns || w.Retiring {
				t.Fatalf("after rotation %d: %+v", generation, w)
			}
			if w.PublicKey != before[i].PublicKey || w.Address != before[i].Address || w.Generation != generation {
				t.Fatalf("after rotation %d: %+v", generation, w)
			}
			if w.ActiveShareSet != w.CosignerShareSet || len(w.PendingShareSets) != 0 {
				t.Fatalf("after rotation %d: %+v", generation, w)
			}
		}
	}
	stats := r.Stats()
	for _, w := range r.State() {
		counted := stats.Wallets[w.ID]
		if counted.Refreshes != 3 || counted.PeakCeremonies != 1 || len(counted.Promotions) != 3 {
			t.Errorf("stats of %s: %+v", w.ID, counted)
		}
		if counted.Promotions[w.ActiveShareSet] != (dynamic.Promotion{Calls: 1, Effects: 1}) {
			t.Errorf("promotions of %s: %+v", w.ID, counted.Promotions)
		}
	}
	want := dynamic.CeremonyStats{Opened: 6, Peak: 1, PeakPerMinute: 6}
	if stats.Ceremonies != want {
		t.Errorf("ceremonies %+v, want %+v", stats.Ceremonies, want)
	}
	if stats.Requests["dynamic.refresh"] != 6 || stats.Requests["cosigner.commit"] != 6 {
		t.Errorf("requests %v", stats.Requests)
	}
}

// What state says at each step, the dangerous ones included.
func TestTruthAlongTheWay(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	if !w.CanSign || w.OldShareSigns || w.Generation != 0 || w.CosignerShareSet != w.ActiveShareSet {
		t.Fatalf("new wallet: %+v", w)
	}

	_, room, status := r.prepare(0)
	prepared := r.wallet(0)
	if !prepared.CanSign || prepared.ActiveShareSet != w.ActiveShareSet ||
		len(prepared.PendingShareSets) != 1 || prepared.PendingShareSets[0] != room.ShareSetID {
		t.Fatalf("prepared: %+v", prepared)
	}

	r.want(201, r.locations(w, room.ShareSetID), nil)
	swapped := r.wallet(0)
	if swapped.CanSign || !swapped.Recoverable || swapped.OldShareSigns || swapped.ActiveShareSet != room.ShareSetID {
		t.Fatalf("swapped, not committed: %+v", swapped)
	}

	r.want(200, r.commit(status), nil)
	committed := r.wallet(0)
	if !committed.CanSign || committed.CosignerShareSet != room.ShareSetID {
		t.Fatalf("committed: %+v", committed)
	}
}

// The one thing that must never happen is visible: the vendor swapped, the
// client's new share is gone.
func TestALostKeyIsSeen(t *testing.T) {
	r := newRig(t, Options{})
	w, room, _ := r.prepare(0)
	if err := r.gate.signer.Load().LoseState(r.provider, w.ID, false); err != nil {
		t.Fatal(err)
	}
	if got := r.wallet(0); !got.CanSign || !got.Recoverable {
		t.Fatalf("before the swap nothing is lost: %+v", got)
	}
	r.want(201, r.locations(w, room.ShareSetID), nil)
	if got := r.wallet(0); got.CanSign || got.Recoverable {
		t.Fatalf("the key is lost and state does not say so: %+v", got)
	}
	if other := r.wallet(1); !other.CanSign || !other.Recoverable {
		t.Fatalf("the other wallet: %+v", other)
	}
}

// The co-signer dropping its old share does not hide it from the question
// whether it still signs.
func TestTheArchiveOutlivesTheCoSigner(t *testing.T) {
	r := newRig(t, Options{})
	r.rotate(0)
	r.rotate(0)
	w := r.wallet(0)
	view, ok := r.vendor.View(w.ID)
	if !ok {
		t.Fatal("no view")
	}
	if err := r.gate.signer.Load().LoseState(r.provider, w.ID, true); err != nil {
		t.Fatal(err)
	}
	if len(view.Retired) != 2 {
		t.Fatalf("%d retired sets", len(view.Retired))
	}
	for _, set := range view.Retired {
		old := r.archive.of(w.ID, map[string]bool{set.ID: true})
		if len(old) != 1 {
			t.Fatalf("%d old shares of one set are kept", len(old))
		}
		// A vendor that had kept its old share would be found out.
		if !r.archive.anySign(old, []mpc.Share{set.Share}) {
			t.Error("two old shares of one generation sign, and the archive does not see it")
		}
		if r.archive.anySign(old, []mpc.Share{view.Active.Share}) {
			t.Error("an old share signs with a live one")
		}
	}
}

func TestTwoCeremoniesOfOneWalletAreCounted(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	first, second := r.listen(w), r.listen(w)
	if first.room.RoomID == second.room.RoomID || first.room.ShareSetID == second.room.ShareSetID {
		t.Fatal("two refreshes share a room or a set")
	}
	stats := r.Stats()
	if stats.Ceremonies.Peak != 2 || stats.Ceremonies.Running != 2 || stats.Wallets[w.ID].PeakCeremonies != 2 {
		t.Errorf("%+v, %+v", stats.Ceremonies, stats.Wallets[w.ID])
	}
	// Both can be prepared from the same old share; the second one wins here.
	for _, s := range []*stream{first, second} {
		status := r.ceremony(w, s.room)
		if status.State != cosigner.Prepared {
			t.Fatalf("%+v", status)
		}
		if s == second {
			r.want(201, r.locations(w, s.room.ShareSetID), nil)
			r.want(200, r.commit(status), nil)
		} else {
			r.do("POST", "/cosigner/v1/ceremonies/"+status.CeremonyID.String()+"/abort", r.info.Cosigner.Token, nil)
		}
	}
	if got := r.wallet(0); !got.CanSign || got.OldShareSigns || len(got.PendingShareSets) != 1 {
		t.Errorf("%+v", got)
	}
}

package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func once(operation string, kind faults.Kind) faults.Fault {
	return faults.Fault{Operation: operation, Kind: kind, Times: 1}
}

// broken says that the connection broke before a reply.
func broken(a answered) bool {
	return errors.Is(a.err, io.EOF) || errors.Is(a.err, io.ErrUnexpectedEOF)
}

func TestFaultsOfAuthenticateAndWallet(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	read := func() answered { return r.do("GET", r.sdk("byWalletAddress/"+w.Address), r.jwt, nil) }
	exchange := func() answered { return r.do("POST", r.developer("authenticate"), r.info.Dynamic.APIToken, nil) }

	r.faulty(once("dynamic.authenticate", faults.Reject))
	r.want(401, exchange(), nil)
	r.want(200, exchange(), nil)
	r.faulty(once("dynamic.authenticate", faults.LoseState))
	r.want(200, exchange(), nil)
	r.want(401, read(), nil) // the JWT from before
	r.authenticate()

	r.faulty(once("dynamic.wallet", faults.Reject))
	r.want(403, read(), nil)
	r.faulty(once("dynamic.wallet", faults.LoseState))
	r.want(404, read(), nil)
	r.faulty(once("dynamic.wallet", faults.LostReply))
	if a := read(); !broken(a) && a.status != 200 { // net/http asks again on a connection that was used before
		t.Errorf("%+v", a)
	}
	r.faulty(faults.Fault{Operation: "dynamic.wallet", Kind: faults.WrongPublicKey, Wallet: w.ID})
	var got struct {
		Wallet struct{ AccountAddress string }
	}
	r.want(200, read(), &got)
	if got.Wallet.AccountAddress == w.Address || len(got.Wallet.AccountAddress) < 32 {
		t.Errorf("address %s", got.Wallet.AccountAddress)
	}
	other := r.wallet(1)
	r.want(200, r.do("GET", r.sdk("byWalletAddress/"+other.Address), r.jwt, nil), &got)
	if got.Wallet.AccountAddress != other.Address {
		t.Error("a fault for one wallet struck another")
	}
}

func TestFaultsOfRefresh(t *testing.T) {
	r := newRig(t, Options{CeremonyTimeout: patience})
	w := r.wallet(0)
	refresh := func() answered { return r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, nil) }
	opened := func() int { return r.Stats().Wallets[w.ID].Refreshes }

	r.faulty(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 429, RetryAfter: 3, Times: 1})
	a := refresh()
	if a.status != 429 || a.header.Get("Retry-After") != "3" || json.Valid([]byte(a.body)) || opened() != 0 {
		t.Errorf("429: %+v", a)
	}
	r.faulty(once("dynamic.refresh", faults.Reject))
	if a := refresh(); a.status != 422 || opened() != 0 {
		t.Errorf("reject: %+v", a)
	}
	r.faulty(once("dynamic.refresh", faults.LostRequest))
	if a := refresh(); !broken(a) || opened() != 0 {
		t.Errorf("lost request: %+v", a)
	}
	r.faulty(once("dynamic.refresh", faults.LostReply))
	if a := refresh(); !broken(a) || opened() != 1 || len(r.wallet(0).PendingShareSets) != 1 {
		t.Errorf("lost reply: %+v, %d", a, opened())
	}
	r.faulty(faults.Fault{Operation: "dynamic.refresh", Kind: faults.LateEffect, Delay: 20 * time.Millisecond, Times: 1})
	if a := refresh(); !broken(a) {
		t.Errorf("late effect: %+v", a)
	}
	r.eventually("the late refresh", func() bool { return opened() == 2 })

	r.faulty(once("dynamic.refresh", faults.WrongPublicKey))
	if got := r.listen(w); got.room.AccountAddress == w.Address {
		t.Error("the reply tells the right address")
	}

	// The stream breaks off after room_created; the ceremony goes on.
	r.faulty(once("dynamic.refresh", faults.DropStream))
	s := r.listen(w)
	if name, _ := s.next(); name != "" || s.scan.Err() == nil {
		t.Errorf("after the drop: event %q, error %v", name, s.scan.Err())
	}
	if status := r.ceremony(w, s.room); status.State != cosigner.Prepared {
		t.Errorf("%+v", status)
	}
	r.want(201, r.locations(w, s.room.ShareSetID), nil)
}

// Faults of the ceremony itself. Whatever happens, the old share goes on.
func TestFaultsOfTheRoom(t *testing.T) {
	for _, c := range []struct {
		kind      faults.Kind
		state     cosigner.State // at the co-signer
		event     string         // the last one
		locations int
	}{
		{faults.Reject, cosigner.Failed, "error", 404},
		{faults.Status, cosigner.Failed, "error", 404},
		{faults.WrongPublicKey, cosigner.Failed, "error", 404},
		{faults.LostRequest, cosigner.Failed, "error", 404},
		{faults.LoseState, cosigner.Prepared, "ceremony_complete", 404},
		{faults.LostReply, cosigner.Prepared, "", 201},
		{faults.DropStream, cosigner.Prepared, "", 201},
		{faults.LateEffect, cosigner.Prepared, "", 201},
		{faults.Latency, cosigner.Prepared, "ceremony_complete", 201},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			r := newRig(t, Options{})
			r.faulty(faults.Fault{Operation: "dynamic.room", Kind: c.kind, Delay: 20 * time.Millisecond, Times: 1})
			w := r.wallet(0)
			s := r.listen(w)
			status := r.ceremony(w, s.room)
			if status.State != c.state {
				t.Errorf("the co-signer says %+v", status)
			}
			if name, data := s.next(); name != c.event {
				t.Errorf("event %q %s, want %q", name, data, c.event)
			}
			r.eventually("the end of the ceremony", func() bool { return r.Stats().Ceremonies.Running == 0 })
			if got := r.wallet(0); !got.CanSign || got.OldShareSigns {
				t.Errorf("%+v", got)
			}
			if a := r.locations(w, s.room.ShareSetID); a.status != c.locations {
				t.Errorf("locations: %+v", a)
			}
			if got := r.wallet(0); !got.Recoverable {
				t.Errorf("%+v", got)
			}
			// And a healthy rotation is possible after each of them.
			if c.locations == 404 {
				r.rotate(0)
				if got := r.wallet(0); !got.CanSign || got.OldShareSigns {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

func TestFaultsOfLocations(t *testing.T) {
	for _, c := range []struct {
		kind              faults.Kind
		status            int  // 0: the connection breaks
		swapped, swapsYet bool // before anything else, and in the end
	}{
		{faults.Status, 500, false, false},
		{faults.Reject, 422, false, false},
		{faults.LostRequest, 0, false, false},
		{faults.LostReply, 0, true, true},
		{faults.LateEffect, 0, false, true},
		{faults.DropStream, 201, true, true},
		{faults.LoseState, 404, false, false},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			r := newRig(t, Options{})
			w, room, _ := r.prepare(0)
			r.faulty(faults.Fault{Operation: "dynamic.locations", Kind: c.kind, Delay: 100 * time.Millisecond, Times: 1})
			a := r.locations(w, room.ShareSetID)
			if a.status != c.status || (c.status == 0) != broken(answered{err: a.err}) && c.kind != faults.DropStream {
				t.Errorf("%+v", a)
			}
			if got := r.wallet(0).ActiveShareSet == room.ShareSetID; got != c.swapped {
				t.Errorf("swapped at once: %v", got)
			}
			if c.swapsYet {
				r.eventually("the swap", func() bool { return r.wallet(0).ActiveShareSet == room.ShareSetID })
			}
			if got := r.Stats().Wallets[w.ID].Promotions[room.ShareSetID].Effects; got > 1 {
				t.Errorf("%d effects", got)
			}
		})
	}
}

func TestFaultsOfTheCoSigner(t *testing.T) {
	ask := func(r *rig, s cosigner.Status) answered {
		return r.do("GET", "/cosigner/v1/ceremonies/"+s.CeremonyID.String(), r.info.Cosigner.Token, nil)
	}
	state := func(r *rig, s cosigner.Status) (got cosigner.Status) {
		r.t.Helper()
		r.want(200, ask(r, s), &got)
		return got
	}

	t.Run("a wrong public key lasts until the next ceremony", func(t *testing.T) {
		r := newRig(t, Options{})
		r.faulty(once("cosigner.ceremony", faults.WrongPublicKey))
		w, room, status := r.prepare(0)
		if status.PublicKey == w.PublicKey || state(r, status).PublicKey == w.PublicKey {
			t.Error("the co-signer tells the right key")
		}
		if got := r.wallet(0); !got.CanSign {
			t.Errorf("the lie changed the truth: %+v", got)
		}
		_, _, status = r.prepare(0)
		if status.PublicKey != w.PublicKey || status.ShareSetID == room.ShareSetID {
			t.Errorf("the next ceremony: %+v", status)
		}
		r.faulty(once("cosigner.status", faults.WrongPublicKey))
		if first, second := state(r, status), state(r, status); first.PublicKey == w.PublicKey || second.PublicKey != w.PublicKey {
			t.Errorf("once: %+v, then %+v", first, second)
		}
	})
	t.Run("clearing the faults ends the lie", func(t *testing.T) {
		r := newRig(t, Options{})
		r.faulty(once("cosigner.ceremony", faults.WrongPublicKey))
		w, _, status := r.prepare(0)
		r.want(204, r.do("DELETE", "/_sandbox/faults", "", nil), nil)
		if got := state(r, status); got.PublicKey != w.PublicKey {
			t.Errorf("%+v", got)
		}
		r.faulty(once("cosigner.status", faults.WrongPublicKey))
		state(r, status)
		if got := state(r, status); got.PublicKey != w.PublicKey {
			t.Errorf("an ended lie came back: %+v", got)
		}
	})
	t.Run("state lost before commit", func(t *testing.T) {
		r := newRig(t, Options{})
		w, room, status := r.prepare(0)
		r.faulty(faults.Fault{Operation: "cosigner.commit", Kind: faults.LoseState, Wallet: w.ID})
		if a := r.commit(status); a.status < 400 {
			t.Errorf("%+v", a)
		}
		r.want(201, r.locations(w, room.ShareSetID), nil)
		if got := r.wallet(0); got.Recoverable {
			t.Errorf("%+v", got)
		}
	})
	t.Run("state lost after the ceremony", func(t *testing.T) {
		r := newRig(t, Options{})
		r.faulty(once("cosigner.ceremony", faults.LoseState))
		_, _, status := r.prepare(0)
		if got := state(r, status); got.State != cosigner.Failed {
			t.Errorf("%+v", got)
		}
	})
	t.Run("commit and abort", func(t *testing.T) {
		r := newRig(t, Options{})
		w, room, status := r.prepare(0)
		r.want(201, r.locations(w, room.ShareSetID), nil)
		r.faulty(once("cosigner.commit", faults.Reject), once("cosigner.commit", faults.LostReply))
		r.want(409, r.commit(status), nil)
		if a := r.commit(status); !broken(a) {
			t.Errorf("%+v", a)
		}
		if got := r.wallet(0); !got.CanSign || got.CosignerShareSet != room.ShareSetID {
			t.Errorf("the lost reply had no effect: %+v", got)
		}
		r.faulty(faults.Fault{Operation: "cosigner.abort", Kind: faults.Status, Status: 503})
		r.want(503, r.do("POST", "/cosigner/v1/ceremonies/"+status.CeremonyID.String()+"/abort", r.info.Cosigner.Token, nil), nil)
	})
}

func TestFaultsOverHTTP(t *testing.T) {
	r := newRig(t, Options{})
	const list = `[{"operation":"dynamic.refresh","kind":"status","rate":0.1,"status":429,"retry_after":3,"delay":"200ms","wallet":""},{"operation":"cosigner.commit","kind":"lose_state"}]`
	r.want(204, r.do("PUT", "/_sandbox/faults", "", list), nil)
	var shown []map[string]any
	r.want(200, r.do("GET", "/_sandbox/faults", "", nil), &shown)
	if len(shown) != 2 || shown[0]["retry_after"] != 3.0 || shown[1]["kind"] != "lose_state" {
		t.Errorf("%v", shown)
	}
	for _, bad := range []string{
		`{}`, `[{"operation":"dynamic.refresh","kind":"explode"}]`, `[{"operation":"cobo.nothing","kind":"status"}]`,
		`[{"operation":"dynamic.refresh","kind":"status","reta":0.5}]`,
	} {
		if a := r.do("PUT", "/_sandbox/faults", "", bad); a.status != 400 || !strings.Contains(a.body, "error") {
			t.Errorf("%s: %+v", bad, a)
		}
	}
	r.want(200, r.do("GET", "/_sandbox/faults", "", nil), &shown)
	if len(shown) != 2 {
		t.Errorf("a refused list changed the faults: %v", shown)
	}
	r.want(204, r.do("PUT", "/_sandbox/faults", "", `[]`), nil)
	r.want(200, r.do("GET", "/_sandbox/faults", "", nil), &shown)
	if len(shown) != 0 {
		t.Errorf("%v", shown)
	}
}

// eventually polls what another goroutine is about to bring about.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s does not come", what)
		}
		<-time.After(time.Millisecond)
	}
}

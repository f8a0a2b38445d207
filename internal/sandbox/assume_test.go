package sandbox

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// dynamicBehaviours has one test for each value of each assumption about
// Dynamic, as coboBehaviours has about Cobo. TestEveryAssumption fails when one
// is missing.
var dynamicBehaviours = map[string]map[string]func(t *testing.T, r *rig, c *clock){
	assume.SecondRefresh: {
		assume.Coexists: func(t *testing.T, r *rig, _ *clock) {
			_, first, _ := r.prepare(0)
			w := r.wallet(0)
			second := r.refreshJSON(w)
			if got := r.wallet(0).PendingShareSets; !slices.Equal(got, []string{first.ShareSetID, second.ShareSetID}) {
				t.Errorf("pending %v", got)
			}
			r.want(201, r.locations(w, first.ShareSetID), nil)
		},
		assume.InvalidatesOlder: func(t *testing.T, r *rig, _ *clock) {
			w := r.wallet(0)
			older := r.listen(w)
			newer := r.listen(w)
			if got := r.wallet(0).PendingShareSets; !slices.Equal(got, []string{newer.room.ShareSetID}) {
				t.Errorf("pending %v", got)
			}
			if name, _ := older.next(); name != "error" {
				t.Errorf("the older stream says %q", name)
			}
			if status := r.ceremony(w, older.room); status.State != cosigner.Failed {
				t.Errorf("joining the older room: %+v", status)
			}
			if a := r.locations(w, older.room.ShareSetID); a.status != 404 {
				t.Errorf("activating the older set: %+v", a)
			}
			if status := r.ceremony(w, newer.room); status.State != cosigner.Prepared {
				t.Errorf("the newer room: %+v", status)
			}
		},
		assume.Refused: func(t *testing.T, r *rig, _ *clock) {
			w, room, status := r.prepare(0)
			r.want(409, r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, nil), nil)
			r.want(201, r.locations(w, room.ShareSetID), nil)
			r.want(200, r.commit(status), nil)
			r.want(200, r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, nil), nil)
		},
		assume.Same: func(t *testing.T, r *rig, _ *clock) {
			w := r.wallet(0)
			first, again := r.refreshJSON(w), r.refreshJSON(w)
			if first.RoomID != again.RoomID || first.ShareSetID != again.ShareSetID {
				t.Errorf("while the room is open: %+v, then %+v", first, again)
			}
			prepared := r.ceremony(w, first)
			r.awaitComplete(w, first.ShareSetID)
			later := r.refreshJSON(w)
			if later.ShareSetID != first.ShareSetID || later.RoomID == first.RoomID {
				t.Errorf("after the ceremony: %+v, then %+v", first, later)
			}
			if prepared.State != cosigner.Prepared {
				t.Errorf("%+v", prepared)
			}
		},
	},
	assume.OldShare: {
		assume.SignsUntilSwap: func(t *testing.T, r *rig, _ *clock) {
			r.prepare(0)
			if !r.wallet(0).CanSign {
				t.Error("the old share no longer signs")
			}
		},
		assume.DiesAtCeremonyEnd: func(t *testing.T, r *rig, _ *clock) {
			w, _, _ := r.prepare(0)
			if got := r.wallet(0); got.CanSign || !got.Recoverable {
				t.Errorf("prepared: %+v", got)
			}
			// Another attempt from the same old share is still possible.
			s := r.listen(w)
			status := r.ceremony(w, s.room)
			s.next()
			r.want(201, r.locations(w, s.room.ShareSetID), nil)
			r.want(200, r.commit(status), nil)
			if got := r.wallet(0); !got.CanSign || got.OldShareSigns {
				t.Errorf("rotated: %+v", got)
			}
		},
	},
	assume.PendingSets: {
		assume.Kept: func(t *testing.T, r *rig, c *clock) {
			w, room, _ := r.prepare(0)
			c.advance(30 * 24 * time.Hour)
			r.authenticate()
			r.want(201, r.locations(w, room.ShareSetID), nil)
		},
		assume.Expire: func(t *testing.T, r *rig, c *clock) {
			w, room, _ := r.prepare(0)
			c.advance(10*time.Minute - time.Second)
			if got := r.wallet(0).PendingShareSets; len(got) != 1 {
				t.Errorf("pending after 9:59: %v", got)
			}
			c.advance(time.Second)
			if a := r.locations(w, room.ShareSetID); a.status != 404 {
				t.Errorf("%+v", a)
			}
			if got := r.wallet(0); len(got.PendingShareSets) != 0 || !got.CanSign {
				t.Errorf("%+v", got)
			}
		},
	},
	assume.FailedCeremony: {
		assume.Discards: func(t *testing.T, r *rig, _ *clock) {
			r.failCeremony()
			if got := r.wallet(0).PendingShareSets; len(got) != 0 {
				t.Errorf("pending %v", got)
			}
		},
		assume.LeavesPending: func(t *testing.T, r *rig, _ *clock) {
			w, room := r.failCeremony()
			if got := r.wallet(0).PendingShareSets; !slices.Equal(got, []string{room.ShareSetID}) {
				t.Errorf("pending %v", got)
			}
			if a := r.locations(w, room.ShareSetID); a.status != 422 {
				t.Errorf("%+v", a)
			}
		},
	},
	assume.BareLocations: {
		assume.ConfirmsActive: func(t *testing.T, r *rig, _ *clock) {
			w, _, _ := r.prepare(0)
			r.want(201, r.locations(w, ""), nil)
			if got := r.wallet(0); got.ActiveShareSet != w.ActiveShareSet {
				t.Errorf("%+v", got)
			}
		},
		assume.SwapsNewest: func(t *testing.T, r *rig, _ *clock) {
			w, room, _ := r.prepare(0)
			r.want(201, r.locations(w, ""), nil)
			if got := r.wallet(0); got.ActiveShareSet != room.ShareSetID {
				t.Errorf("%+v", got)
			}
		},
		assume.Refused: func(t *testing.T, r *rig, _ *clock) {
			w, _, _ := r.prepare(0)
			if a := r.locations(w, ""); a.status != 422 || a.code() != "share_set_id_required" {
				t.Errorf("%+v", a)
			}
		},
	},
	assume.RepeatedLocations: {
		assume.SameReply: func(t *testing.T, r *rig, _ *clock) {
			w, room, _ := r.prepare(0)
			r.want(201, r.locations(w, room.ShareSetID), nil)
			r.want(201, r.locations(w, room.ShareSetID), nil)
			got := r.Stats().Wallets[w.ID].Promotions[room.ShareSetID]
			if got.Calls != 2 || got.Effects != 1 || r.wallet(0).Generation != 1 {
				t.Errorf("%+v", got)
			}
		},
		assume.AlreadyBackedUp: func(t *testing.T, r *rig, _ *clock) {
			w, room, _ := r.prepare(0)
			r.want(201, r.locations(w, room.ShareSetID), nil)
			if a := r.locations(w, room.ShareSetID); a.status != 422 || a.code() != "key_share_already_backed_up" {
				t.Errorf("%+v", a)
			}
		},
	},
	assume.LocationsReply: {
		assume.Activated: func(t *testing.T, r *rig, _ *clock) {
			w, room, _ := r.prepare(0)
			r.want(201, r.locations(w, room.ShareSetID), nil)
			if got := r.wallet(0); got.ActiveShareSet != room.ShareSetID {
				t.Errorf("%+v", got)
			}
		},
		assume.PendingOnce: func(t *testing.T, r *rig, _ *clock) {
			w, room, _ := r.prepare(0)
			var reply map[string]any
			r.want(201, r.locations(w, room.ShareSetID), &reply)
			if reply["passwordUpdateStatus"] != "pending" || reply["locationsWithKeyShares"] != nil || reply["walletActive"] != nil {
				t.Errorf("%v", reply)
			}
			if got := r.wallet(0); got.ActiveShareSet != w.ActiveShareSet {
				t.Errorf("%+v", got)
			}
			r.want(201, r.locations(w, room.ShareSetID), nil)
			if got := r.wallet(0); got.ActiveShareSet != room.ShareSetID {
				t.Errorf("%+v", got)
			}
		},
	},
	assume.RefreshFields: {
		assume.Full: func(t *testing.T, r *rig, _ *clock) {
			if got := r.refreshJSON(r.wallet(0)); got.ShareSetID == "" || got.AccountAddress == "" {
				t.Errorf("%+v", got)
			}
		},
		assume.Legacy: func(t *testing.T, r *rig, _ *clock) {
			w := r.wallet(0)
			s := r.listen(w)
			if s.room.ShareSetID != "" || s.room.ShareSetType != "" || s.room.AccountAddress != "" || s.room.RoomID == "" {
				t.Errorf("%+v", s.room)
			}
			named := s.room
			named.ShareSetID = r.wallet(0).PendingShareSets[0]
			r.ceremony(w, named)
			if name, data := s.next(); name != "ceremony_complete" || data != `{"walletId":"`+w.ID+`"}` {
				t.Errorf("%s %s", name, data)
			}
		},
	},
	assume.RefreshReply: {
		assume.ByAccept: func(t *testing.T, r *rig, _ *clock) { r.listen(r.wallet(0)) },
		assume.JSONOnly: func(t *testing.T, r *rig, _ *clock) {
			req := r.request("POST", r.sdk(r.wallet(0).ID+"/refresh"), r.jwt, nil)
			req.Header.Set("Accept", "text/event-stream")
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Errorf("content type %s", got)
			}
		},
	},
	assume.StaleShareSet: {
		assume.NotFound: func(t *testing.T, r *rig, _ *clock) {
			w := r.wallet(0)
			w.ActiveShareSet = stranger
			r.want(404, r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, map[string]string{"shareSetId": stranger}), nil)
		},
		assume.Unprocessable: func(t *testing.T, r *rig, _ *clock) {
			a := r.do("POST", r.sdk(r.wallet(0).ID+"/refresh"), r.jwt, map[string]string{"shareSetId": stranger})
			if a.status != 422 || a.code() != "wallet_not_active" {
				t.Errorf("%+v", a)
			}
		},
	},
	assume.WalletReply: {
		assume.Both:       wantKeys(true, true),
		assume.WalletOnly: wantKeys(true, false),
		assume.UserOnly:   wantKeys(false, true),
	},
	assume.JWTLifetime: {
		assume.OneHour: func(t *testing.T, r *rig, c *clock) {
			c.advance(59 * time.Minute)
			r.want(200, r.do("GET", r.sdk("byWalletAddress/"+r.wallet(0).Address), r.jwt, nil), nil)
		},
		assume.TwoSeconds: func(t *testing.T, r *rig, c *clock) {
			c.advance(3 * time.Second)
			r.want(401, r.do("GET", r.sdk("byWalletAddress/"+r.wallet(0).Address), r.jwt, nil), nil)
		},
	},
	assume.RateLimits: {
		assume.Off: func(t *testing.T, r *rig, _ *clock) {
			for range 100 {
				r.want(404, r.do("GET", r.sdk("byWalletAddress/nobody"), r.jwt, nil), nil)
			}
		},
		assume.Documented: func(t *testing.T, r *rig, _ *clock) {
			for range 60 {
				r.want(404, r.do("GET", r.sdk("byWalletAddress/nobody"), r.jwt, nil), nil)
			}
			r.want(429, r.do("GET", r.sdk("byWalletAddress/nobody"), r.jwt, nil), nil)
		},
	},
}

func TestEveryAssumption(t *testing.T) {
	behaviours := maps.Clone(dynamicBehaviours)
	maps.Copy(behaviours, coboBehaviours)
	for _, a := range assume.All() {
		for _, v := range a.Values {
			t.Run(a.Key+"="+v.Name, func(t *testing.T) {
				behaviour := behaviours[a.Key][v.Name]
				if behaviour == nil {
					t.Fatal("nothing tests this value")
				}
				c := newClock()
				behaviour(t, newRig(t, Options{
					Vaults: 1, CoboPace: pace, Clock: c.Now, Assume: map[string]string{a.Key: v.Name},
				}), c)
			})
		}
	}
}

func TestUnknownAssumptionIsRefused(t *testing.T) {
	if _, err := New(Options{Assume: map[string]string{"second_refresh": "never"}}); err == nil {
		t.Error("an unknown value was accepted")
	}
}

func wantKeys(wallet, user bool) func(*testing.T, *rig, *clock) {
	return func(t *testing.T, r *rig, _ *clock) {
		var got map[string]any
		r.want(200, r.do("GET", r.sdk("byWalletAddress/"+r.wallet(0).Address), r.jwt, nil), &got)
		if (got["wallet"] != nil) != wallet || (got["verifiedCredentials"] != nil) != user {
			t.Errorf("%v", got)
		}
	}
}

func (r *rig) refreshJSON(w WalletState) room {
	r.t.Helper()
	var got room
	r.want(200, r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, nil), &got)
	return got
}

// awaitComplete waits until the vendor has booked its half of a ceremony.
func (r *rig) awaitComplete(w WalletState, shareSet string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		view, _ := r.vendor.View(w.ID)
		for _, set := range view.Pending {
			if set.ID == shareSet && !set.Share.IsZero() {
				return
			}
		}
		<-time.After(time.Millisecond)
	}
	r.t.Fatal("the vendor's half does not end")
}

// failCeremony opens a room whose ceremony the vendor rejects.
func (r *rig) failCeremony() (WalletState, room) {
	r.t.Helper()
	w := r.wallet(0)
	r.faulty(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject})
	s := r.listen(w)
	if name, _ := s.next(); name != "error" {
		r.t.Fatalf("event %q", name)
	}
	r.faulty()
	return w, s.room
}

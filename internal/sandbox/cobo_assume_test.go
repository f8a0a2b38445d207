package sandbox

import (
	"slices"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// atCobo runs a behaviour with a caller of Cobo's.
func atCobo(behaviour func(o *org, c *clock)) func(*testing.T, *rig, *clock) {
	return func(t *testing.T, r *rig, c *clock) {
		t.Helper()
		behaviour(orgOf(r, c.Now), c)
	}
}

var coboBehaviours = map[string]map[string]func(t *testing.T, r *rig, c *clock){
	assume.CoboWrongState: {
		assume.InvalidParameter: wrongState(400, 2006),
		assume.Forbidden:        wrongState(403, 2025),
		assume.ServerError:      wrongState(500, 1000),
	},
	assume.CoboAfterCancel: {
		assume.GroupStaysNew: atCobo(func(o *org, _ *clock) {
			if g := o.group(o.cancelled().Target); g.Status != "New" {
				o.t.Errorf("%+v", g)
			}
		}),
		assume.GroupVanishes: atCobo(func(o *org, _ *clock) {
			q := o.cancelled()
			o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+q.Target, nil))
			if got := o.tss(q.ID); got.Status != "Success" {
				o.t.Errorf("%+v", got)
			}
		}),
	},
	assume.CoboFailedRequest: {
		assume.Allowed: atCobo(func(o *org, _ *clock) {
			g := o.failed()
			o.await(o.reshare(g, ""), cobo.Success)
			if got := o.group(g.ID); got.Status != "Valid" {
				o.t.Errorf("%+v", got)
			}
		}),
		assume.Refused: atCobo(func(o *org, _ *clock) {
			o.refused(400, 2006, o.tryReshare(o.main(), o.failed(), ""))
		}),
	},
	assume.CoboSecondRequest: {
		assume.Allowed: atCobo(func(o *org, _ *clock) {
			first, second := o.held()
			o.want(201, o.tryReshare(o.main(), second, ""), nil)
			o.want(201, o.cancel(first), nil)
		}),
		assume.Refused: atCobo(func(o *org, _ *clock) {
			first, second := o.held()
			o.refused(400, 2006, o.tryReshare(o.main(), second, ""))
			o.want(201, o.cancel(first), nil)
			o.want(201, o.tryReshare(o.main(), second, ""), nil)
		}),
	},
	assume.CoboRetiredNode: {
		assume.Allowed: atCobo(func(o *org, _ *clock) {
			old := o.main()
			o.want(200, o.upgrade(o.prepared().ID, "Invalidate"), nil)
			o.create("again", old.Holders[1].NodeID)
		}),
		assume.Refused: atCobo(func(o *org, _ *clock) {
			old := o.main()
			o.want(200, o.upgrade(o.prepared().ID, "Invalidate"), nil)
			o.refused(400, 2006, o.tryCreate(newGroupBody("again", old.Holders[1].NodeID)))
			// A node whose group never had a key was never a holder.
			g := o.create("unused", o.info.Cobo.TSSNodes[3])
			o.want(201, o.delete(g.ID), nil)
			o.create("used", g.Holders[1].NodeID)
		}),
	},
	assume.CoboListRequests: {
		assume.Target: listsBySource(0),
		assume.Both:   listsBySource(1),
	},
	assume.CoboDeletedGroup: {
		assume.NotFound: atCobo(func(o *org, _ *clock) {
			for _, id := range o.dropped() {
				o.refused(404, 2028, o.call("GET", "/"+o.vault+"/key_share_holder_groups/"+id, nil))
			}
			if n := len(o.groups()); n != 1 {
				o.t.Errorf("%d groups", n)
			}
		}),
		assume.Unavailable:   staysListed("Unavailable"),
		assume.UnknownStatus: staysListed("Deleted"),
	},
	assume.CoboUpgrade: {
		assume.Synchronous: atCobo(func(o *org, _ *clock) { o.upgradeAnswers("MainGroup") }),
		assume.Delayed:     atCobo(func(o *org, _ *clock) { o.upgradeAnswers("SigningGroup") }),
	},
	assume.CoboRepeatedUpgrade: {
		assume.Refused: atCobo(func(o *org, _ *clock) {
			g := o.upgradeAnswers("MainGroup")
			o.refused(400, 2006, o.upgrade(g.ID, ""))
		}),
		assume.SameReply: atCobo(func(o *org, _ *clock) {
			g := o.upgradeAnswers("MainGroup")
			var again groupReply
			o.want(200, o.upgrade(g.ID, ""), &again)
			if got := o.truth(); again.Type != "MainGroup" || got.Generation != 1 || got.ActiveShareSet != g.ID {
				o.t.Errorf("%+v, %+v", again, got)
			}
		}),
	},
	assume.CoboDelete: {
		assume.AtOnce:  deletes(true),
		assume.Delayed: deletes(false),
	},
	assume.CoboApprovals: {
		assume.TSSRequests: func(t *testing.T, r *rig, c *clock) {
			orgOf(r, c.Now).upgradeAnswers("MainGroup")
			deletes(true)(t, r, c)
		},
		assume.Upgrades: func(t *testing.T, r *rig, c *clock) {
			orgOf(r, c.Now).upgradeAnswers("SigningGroup")
			deletes(true)(t, r, c)
		},
		assume.UpgradesAndDeletes: func(t *testing.T, r *rig, c *clock) {
			orgOf(r, c.Now).upgradeAnswers("SigningGroup")
			deletes(false)(t, r, c)
		},
	},
	assume.CoboNonces: {
		assume.WithinFiveMinutes: nonces(true, false),
		assume.OnceInFiveMinutes: nonces(false, false),
		assume.AnyNonce:          nonces(true, true),
	},
}

func wrongState(status, code int) func(*testing.T, *rig, *clock) {
	return atCobo(func(o *org, _ *clock) {
		taken := o.main().Holders[1].NodeID
		o.refused(status, code, o.delete(o.main().ID))
		o.refused(status, code, o.tryCreate(newGroupBody("n", taken)))
		g := o.create("n", o.free())
		o.refused(status, code, o.upgrade(g.ID, ""))
		q := o.await(o.reshare(g, ""), cobo.Success)
		o.refused(status, code, o.cancel(q))
		o.refused(status, code, o.tryReshare(o.main(), g, ""))
	})
}

// held is a request that waits for people, and another group that waits for
// one.
func (o *org) held() (requestReply, groupReply) {
	o.t.Helper()
	first := o.create("first", o.free())
	second := o.create("second", o.free())
	o.faulty(faults.Fault{Operation: "cobo.create_tss_request", Kind: faults.ApprovalDelay, Delay: time.Hour})
	return o.reshare(first, ""), second
}

func (o *org) cancelled() requestReply {
	o.t.Helper()
	q, _ := o.held()
	o.want(201, o.cancel(q), nil)
	return q
}

// failed is a New group whose request failed.
func (o *org) failed() groupReply {
	o.t.Helper()
	g := o.create("a", o.free())
	o.faulty(once("cobo.ceremony", faults.Status))
	o.await(o.reshare(g, ""), cobo.KeyGeneratingFailed)
	return g
}

// dropped are the ids of a group that was deleted and of a Main Group that was
// invalidated.
func (o *org) dropped() []string {
	o.t.Helper()
	old, g := o.main(), o.create("a", o.free())
	o.want(201, o.delete(g.ID), nil)
	o.want(200, o.upgrade(o.prepared().ID, "Invalidate"), nil)
	return []string{g.ID, old.ID}
}

func staysListed(status string) func(*testing.T, *rig, *clock) {
	return atCobo(func(o *org, _ *clock) {
		main := o.main()
		for i, id := range o.dropped() {
			g := o.group(id)
			if g.Status != status || g.Type != []string{"SigningGroup", "MainGroup"}[i] {
				o.t.Errorf("%+v", g)
			}
			o.refused(400, 2006, o.delete(id))
			o.refused(400, 2006, o.upgrade(id, ""))
		}
		if o.main().ID == main.ID || len(o.groups()) != 3 {
			o.t.Errorf("%+v", o.groups())
		}
		o.create("again", main.Holders[1].NodeID)
	})
}

// listsBySource counts the requests that are found for a group they come from.
func listsBySource(want int) func(*testing.T, *rig, *clock) {
	return atCobo(func(o *org, _ *clock) {
		g, main := o.prepared(), o.main()
		for id, want := range map[string]int{g.ID: 1, main.ID: want} {
			var list listed[requestReply]
			o.want(200, o.call("GET", "/"+o.vault+"/tss_requests?key_share_holder_group_id="+id, nil), &list)
			if len(list.Data) != want {
				o.t.Errorf("%d requests, want %d", len(list.Data), want)
			}
		}
	})
}

// upgradeAnswers upgrades, looks at the type in the answer, and waits for the
// effect.
func (o *org) upgradeAnswers(want string) groupReply {
	o.t.Helper()
	g := o.prepared()
	var answer groupReply
	o.want(200, o.upgrade(g.ID, ""), &answer)
	if answer.Type != want {
		o.t.Errorf("%+v", answer)
	}
	o.eventually("the upgrade", func() bool { return o.main().ID == g.ID })
	if got := o.truth(); !got.CanSign || got.OldShareSigns || got.Generation != 1 {
		o.t.Errorf("%+v", got)
	}
	return g
}

// deletes looks whether a delete takes effect at once, in a sandbox where
// anything else takes hours, and that it does in the end.
func deletes(atOnce bool) func(*testing.T, *rig, *clock) {
	return func(t *testing.T, r *rig, c *clock) {
		t.Helper()
		slow := newOrg(t, Options{CoboPace: time.Hour, Assume: r.assume.Chosen()})
		for _, o := range []*org{slow, orgOf(r, c.Now)} {
			g := o.create("a", o.free())
			o.want(201, o.delete(g.ID), nil)
			gone := func() bool {
				return !slices.ContainsFunc(o.groups(), func(other groupReply) bool { return other.ID == g.ID })
			}
			if o != slow {
				o.eventually("the delete", gone)
			} else if gone() != atOnce {
				t.Errorf("gone at once: %v", !atOnce)
			}
		}
	}
}

func nonces(replay, anything bool) func(*testing.T, *rig, *clock) {
	return atCobo(func(o *org, c *clock) {
		const path = "/v2/wallets/mpc/cobo_key_share_holders"
		try := func(nonce string) bool {
			switch a := o.callAt("GET", path, nil, nonce); a.status {
			case 200:
				return true
			case 401:
				o.refused(401, 2024, a)
			default:
				o.t.Errorf("%+v", a)
			}
			return false
		}
		nonce := millis(c.Now())
		if !try(nonce) || try(nonce) != replay {
			o.t.Errorf("a replay is accepted: %v", !replay)
		}
		if try("any text") != anything {
			o.t.Errorf("any text is accepted: %v", !anything)
		}
		c.advance(6 * time.Minute)
		if try(nonce) != anything {
			o.t.Errorf("an old nonce is accepted: %v", !anything)
		}
	})
}

//go:build crash

package crash

import (
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/store"
	"time"
)

const (
	refreshCall   = "call wait/begin/open POST /api/v0/sdk/*/waas/*/refresh"
	ceremonyCall  = "call bothParties/coSign POST /cosigner/v1/ceremonies"
	preparedCall  = "call promote/stillPrepared GET /cosigner/v1/ceremonies/*"
	locationsCall = "call promote POST /api/v0/sdk/*/waas/*/keyShares/backup/locations"
	commitCall    = "call commit/commitAt POST /cosigner/v1/ceremonies/*/commit"
	abortCall     = "call wait/discard POST /cosigner/v1/ceremonies/*/abort"
)

// breaking has faults strike from before the first call.
func breaking(list ...faults.Fault) func(*world) {
	return func(w *world) {
		w.breaks(list...)
		w.rotate()
	}
}

// takenOver begins after a daemon died at a point.
func takenOver(name string) func(*world) {
	return func(w *world) {
		w.rotate()
		w.start(parsePoint(name)).dies()
	}
}

// waitsFor says whether the rotation waits for a person for this reason.
func waitsFor(w *world, a store.Attention) bool {
	return ask[bool](w, `SELECT EXISTS (SELECT FROM rotations WHERE attention = $1 AND owner IS NULL)`, string(a))
}

// unanswered says whether a request waits for its answer.
func unanswered(w *world) bool {
	return ask[bool](w, `SELECT EXISTS (SELECT FROM rotation_requests q WHERE NOT EXISTS (SELECT FROM request_status a WHERE a.request_id = q.id))`)
}

// asksWhen is a person who asks for something once the rotation waits for them.
func asksWhen(a store.Attention, action string) func(*world) {
	return func(w *world) {
		if waitsFor(w, a) && !unanswered(w) {
			w.mended()
			w.request(action)
		}
	}
}

// abortsOnce is a person who ends an attempt that is under way.
func abortsOnce(w *world) {
	const underWay = `SELECT EXISTS (SELECT FROM rotations WHERE state = 'ceremony')
		AND NOT EXISTS (SELECT FROM rotation_requests WHERE action = 'abort')`
	if ask[bool](w, underWay) {
		w.request("abort")
	}
}

var dynamicRoutes = []route{
	{name: "straight", vendor: atDynamic},
	{name: "the ceremony takes long", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.room", Kind: faults.Latency, Delay: 3 * time.Second, Times: 1})},
	{name: "the ceremony fails once", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})},
	{name: "the ceremony fails and no attempt is left", vendor: atDynamic, options: options{maxAttempts: 1},
		arrange: breaking(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject}), person: asksWhen(store.AttemptsUsedUp, "retry")},
	{name: "the refresh is refused once", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Reject, Times: 1})},
	{name: "the refresh is limited", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.refresh", Kind: faults.Status, Status: 429, RetryAfter: 1, Times: 1})},
	{name: "the reply to the refresh is lost", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.refresh", Kind: faults.LostReply, Times: 1})},
	{name: "the reply to the swap is lost", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "dynamic.locations", Kind: faults.LostReply, Times: 1})},
	{name: "the commit fails once", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "cosigner.commit", Kind: faults.Status, Status: 503, Times: 1})},
	{name: "the co-signer loses the prepared share", vendor: atDynamic,
		arrange: breaking(faults.Fault{Operation: "cosigner.ceremony", Kind: faults.LoseState, Times: 1}),
		person:  asksWhen(store.PreparedShareLost, "discard")},
	{name: "a person aborts", vendor: atDynamic, undone: true, person: abortsOnce,
		arrange: breaking(faults.Fault{Operation: "dynamic.room", Kind: faults.Latency, Delay: 3 * time.Second})},
	{name: "our record was set back", vendor: atDynamic, before: 1, arrange: func(w *world) {
		for _, x := range []*world{w, w.elsewhere()} {
			x.rotate()
			d := x.start(nowhere)
			x.settles()
			d.quits()
		}
		w.rotate()
	}},
	{name: "taken over while opening", vendor: atDynamic, arrange: takenOver("after " + refreshCall)},
	{name: "taken over in its ceremony", vendor: atDynamic, arrange: takenOver("after record Checkpoint")},
	{name: "taken over when prepared", vendor: atDynamic, arrange: takenOver("after record Prepared")},
	{name: "taken over after the swap", vendor: atDynamic, arrange: takenOver("after " + locationsCall)},
	{name: "taken over after the commit", vendor: atDynamic, arrange: takenOver("after " + commitCall)},
}

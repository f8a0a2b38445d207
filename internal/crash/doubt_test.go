//go:build crash

package crash

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// slowReshare leaves a person the time to end one.
var slowReshare = faults.Fault{Operation: "cobo.ceremony", Kind: faults.Latency, Delay: 4 * time.Second}

// effects is what the vendor's wallets have come to, and how often anything
// was made active, as text.
func (w *world) effects() string {
	w.t.Helper()
	effects := map[string]int{}
	stats := w.box.Stats()
	states := w.box.State()
	for i := range states {
		for set, p := range w.promotions(states[i].ID) {
			effects[set] = p.Effects
		}
	}
	text, err := json.Marshal(struct {
		States  any
		Effects any
		Deleted any
	}{states, effects, stats.Cobo.Vaults})
	w.must(err)
	return string(text)
}

const (
	// lateSoon comes while the daemon asks what became of a call, lateFar when
	// the wallet has been rotated anew.
	lateSoon = 300 * time.Millisecond
	lateFar  = 20 * time.Second
)

// A call that changes something fails once, in every way that leaves its
// outcome unknown; everything is carried out all the same, and nothing twice.
func TestInDoubt(t *testing.T) {
	kinds := map[string]faults.Fault{
		"reply lost":         {Kind: faults.LostReply},
		"request lost":       {Kind: faults.LostRequest},
		"reply cut off":      {Kind: faults.DropStream},
		"time-out":           {Kind: faults.Latency, Delay: 4 * time.Second},
		"late effect":        {Kind: faults.LateEffect, Delay: lateSoon},
		"very late effect":   {Kind: faults.LateEffect, Delay: lateFar},
		"late after a crash": {Kind: faults.LateEffect, Delay: lateFar},
	}
	for _, c := range []struct {
		operation, vendor string
		also              []faults.Fault // that bring the call about
		person            func(*world)
		undone            bool
		call              string // point; the daemon dies after it in the last kind
	}{
		{operation: "dynamic.refresh", vendor: atDynamic, call: refreshCall},
		{operation: "dynamic.locations", vendor: atDynamic, call: locationsCall},
		{operation: "cosigner.ceremony", vendor: atDynamic, call: ceremonyCall},
		{operation: "cosigner.commit", vendor: atDynamic, call: commitCall},
		{operation: "cosigner.abort", vendor: atDynamic, call: abortCall,
			also: []faults.Fault{{Operation: "dynamic.room", Kind: faults.Reject, Times: 1}}},
		{operation: "cobo.create_group", vendor: atCobo, call: createGroupCall},
		{operation: "cobo.create_tss_request", vendor: atCobo, call: createRequestCall},
		{operation: "cobo.upgrade_group", vendor: atCobo, call: upgradeCall},
		{operation: "cobo.delete_group", vendor: atCobo, call: retireCall},
		{operation: "cobo.cancel_tss_request", vendor: atCobo, also: []faults.Fault{slowReshare}, person: abortsOnce, undone: true, call: cancelCall},
	} {
		for kind, fault := range kinds {
			t.Run(fmt.Sprintf("%s/%s", c.operation, kind), func(t *testing.T) {
				t.Parallel()
				fault := fault
				fault.Operation, fault.Times = c.operation, 1
				r := route{vendor: c.vendor, arrange: breaking(append(c.also, fault)...), person: c.person, undone: c.undone}
				begun := time.Now()
				w := r.begin(t)
				var d *daemon
				if kind == "late after a crash" {
					w.start(dieAt("after " + c.call)).dies()
				}
				d = w.start(nowhere)
				w.settles()
				w.whole(r.rotations())
				// Faults stay in force, or a late effect would be called off.
				w.person = nil
				if c.undone {
					w.mended()
				}
				w.rotate()
				w.settles()
				w.whole(r.rotations() + 1)
				if fault.Delay == lateFar {
					w.until("the late effect has come", func() bool { return time.Since(begun) > lateFar+5*time.Second })
					w.rotate()
					w.settles()
					w.whole(r.rotations() + 2)
				}
				d.quits()
			})
		}
	}
}

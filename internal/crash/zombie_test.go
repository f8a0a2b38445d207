//go:build crash

package crash

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

const (
	cancelCall = "call wait/discard POST /v2/wallets/mpc/vaults/*/tss_requests/*/cancel"
	deleteCall = "call wait/discard POST /v2/wallets/mpc/vaults/*/key_share_holder_groups/*/delete"
	retireCall = "call Retire/retireOne/cleanUp POST /v2/wallets/mpc/vaults/*/key_share_holder_groups/*/delete"
)

// A replica is stopped (SIGSTOP) at a point and given up for dead. Another one
// settles what it left, and rotates the wallet once more. Then the first one
// wakes and goes on from where it stood: it changes nothing, neither on record
// nor at the vendor, and is of use again under a new epoch.
func TestZombie(t *testing.T) {
	roomFails := breaking(faults.Fault{Operation: "dynamic.room", Kind: faults.Reject, Times: 1})
	for _, c := range []struct {
		at      string
		vendor  string
		arrange func(*world)
		person  func(*world)
		undone  bool
	}{
		{at: "before record AnswerWith", vendor: atDynamic},
		{at: "before record Claim", vendor: atDynamic},
		{at: "before record GiveUp", vendor: atDynamic, arrange: takenOver("after record Prepared")},
		{at: "before record Opening", vendor: atDynamic},
		{at: "before " + refreshCall, vendor: atDynamic},
		{at: "before record Checkpoint", vendor: atDynamic},
		{at: "before " + ceremonyCall, vendor: atDynamic},
		{at: "before record Prepared", vendor: atDynamic},
		{at: "before " + preparedCall, vendor: atDynamic},
		{at: "before " + locationsCall, vendor: atDynamic},
		{at: "before record Promoted", vendor: atDynamic},
		{at: "before " + commitCall, vendor: atDynamic},
		{at: "before record Committed", vendor: atDynamic},
		{at: "before record Abandon", vendor: atDynamic, arrange: roomFails},
		{at: "before " + abortCall, vendor: atDynamic, arrange: roomFails},
		{at: "before record Discarded", vendor: atDynamic, arrange: roomFails},
		{at: "before " + createGroupCall, vendor: atCobo},
		{at: "before " + createRequestCall, vendor: atCobo},
		{at: "before " + upgradeCall, vendor: atCobo},
		{at: "before record Promoted", vendor: atCobo},
		{at: "before " + retireCall, vendor: atCobo},
		{at: "before record RetirementDone", vendor: atCobo},
		{at: "before " + cancelCall, vendor: atCobo, arrange: breaking(slowReshare), person: abortsOnce, undone: true},
		{at: "before " + deleteCall, vendor: atCobo, arrange: breaking(slowReshare), person: abortsOnce, undone: true},
	} {
		t.Run(c.vendor+"/"+c.at, func(t *testing.T) {
			t.Parallel()
			r := route{vendor: c.vendor, arrange: c.arrange, person: c.person, undone: c.undone}
			w := r.begin(t)
			zombie := w.start(stopAt(c.at))
			zombie.reaches(c.at)
			d := w.start(nowhere)
			w.settles()
			w.whole(r.rotations())
			w.person = nil
			w.mended()
			w.rotate()
			w.settles()
			w.whole(r.rotations() + 1)

			record, calls := w.everything(), w.effects()
			zombie.signal(syscall.SIGCONT)
			w.until("the zombie has found out that it was given up", func() bool {
				log, err := os.ReadFile(zombie.stderr)
				w.must(err)
				return strings.Contains(string(log), "lease lost") && strings.Count(string(log), "signed on") == 2
			})
			if after := w.everything(); after != record {
				t.Errorf("the zombie changed the record from\n%s\nto\n%s", record, after)
			}
			if after := w.effects(); after != calls {
				t.Errorf("the zombie changed the vendor's wallet from\n%s\nto\n%s", calls, after)
			}
			w.whole(r.rotations() + 1)
			d.kill() // the wallet goes on with the one that had been given up
			w.rotate()
			w.settles()
			w.whole(r.rotations() + 2)
			zombie.quits()
		})
	}
}

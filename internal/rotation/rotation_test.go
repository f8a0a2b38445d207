package rotation

import (
	"testing"

	"github.com/rotatord/rotatord/internal/sandbox"
)

func TestRotateAFleetTwice(t *testing.T) {
	r := newRig(t, sandbox.Options{Wallets: 12})
	x := r.replica()
	for range 2 {
		x.claim()
		x.settled()
	}
	r.healthy()
	for _, w := range r.sandbox.State() {
		if w.Generation != 2 {
			t.Errorf("wallet %s was rotated %d times", w.ID, w.Generation)
		}
	}
	if got := r.opened(); got != 24 {
		t.Errorf("%d rooms were opened for 24 rotations", got)
	}
}

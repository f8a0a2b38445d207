package sandbox

import (
	"testing"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// What the co-signer had prepared is there after a restart, and nobody answers
// in between.
func TestCosignerRestarts(t *testing.T) {
	r := newRig(t, Options{Wallets: 1})
	w := r.State()[0]
	if !w.CanSign {
		t.Fatalf("before: %+v", w)
	}
	if err := r.StopCosigner(); err != nil {
		t.Fatal(err)
	}
	if err := r.StopCosigner(); err != nil {
		t.Errorf("stopping it twice: %v", err)
	}
	if w := r.State()[0]; w.CanSign || w.CosignerShareSet != "" {
		t.Errorf("while the co-signer is down: %+v", w)
	}
	if err := r.StartCosigner(); err != nil {
		t.Fatal(err)
	}
	if err := r.StartCosigner(); err == nil {
		t.Error("it was started twice")
	}
	if now := r.State()[0]; !now.CanSign || now.CosignerShareSet != w.CosignerShareSet {
		t.Errorf("after: %+v", now)
	}
}

// Every fault that an operation says it can have is accepted.
func TestOperations(t *testing.T) {
	r := newRig(t, Options{Wallets: 1})
	all := 0
	for _, o := range r.Operations() {
		for _, k := range o.Kinds() {
			if err := r.SetFaults(faults.Fault{Operation: o.Name, Kind: k, Times: 1}); err != nil {
				t.Error(err)
			}
			all++
		}
	}
	if all < 100 {
		t.Errorf("%d faults are known", all)
	}
}

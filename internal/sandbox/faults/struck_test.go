package faults

import "testing"

func TestStruckOutlivesTheList(t *testing.T) {
	b := newBench(t, Reject)
	for range 2 {
		b.replace(t, Fault{Operation: "op", Kind: Reject, Times: 1}, Fault{Operation: "op", Kind: Latency, Delay: 1})
		for range 3 {
			b.set.Decide("op", "w")
		}
	}
	b.replace(t)
	b.set.Decide("op", "w")
	if got := b.set.Struck()["op"]; got[Reject] != 2 || got[Latency] != 6 || len(got) != 2 {
		t.Errorf("struck: %v", got)
	}
	all := b.set.Operations()
	if len(all) != 1 || all[0].Name != "op" || len(all[0].Kinds()) != len(generic)+1 {
		t.Errorf("operations: %+v", all)
	}
}

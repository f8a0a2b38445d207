package torture

import (
	"bytes"
	"testing"
	"time"
)

// A short run, whose seed has at least one of everything that matters.
func TestTorture(t *testing.T) {
	var screen bytes.Buffer
	s, err := Run(t.Context(), Options{For: 15 * time.Second, Replicas: 2, Wallets: 24, Vaults: 4, Seed: 24, Daemon: daemon(t), Dir: t.TempDir(), Screen: &screen})
	if s != nil {
		if err := s.Print(&screen); err != nil {
			t.Error(err)
		}
	}
	defer func() {
		if t.Failed() {
			t.Log(screen.String())
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range s.Violations {
		t.Errorf("%s", v)
	}
	if s.OK != (len(s.Violations) == 0) {
		t.Errorf("OK is %v with %d violations", s.OK, len(s.Violations))
	}
	for _, what := range []string{kills, zombies, failovers, vendorRestarts, signerRestarts, takeovers} {
		if s.of(what) < 1 {
			t.Errorf("%s: %d, want some", what, s.of(what))
		}
	}
	if n := s.of(carriedOut); n < 2*(24+4) {
		t.Errorf("%d rotations were carried out, want two for each wallet", n)
	}
}

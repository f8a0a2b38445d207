package store

import (
	"errors"
	"testing"
)

// A failover may lose the last commits, and a restore all since the backup: a
// replica that signed on in between, and lives, must not come upon its epoch as
// somebody else's.
func TestEpochIsNotGivenOutAgainAfterASetBack(t *testing.T) {
	w := newWorld(t)
	lost, err := w.Register(t.Context(), "lost", "test")
	w.ok(err)
	w.exec(`TRUNCATE replicas RESTART IDENTITY`)
	for range 3 {
		epoch, err := w.Register(t.Context(), "new", "test")
		w.ok(err)
		if epoch == lost {
			t.Errorf("epoch %d was given out twice", epoch)
		}
	}
	if _, err := w.Heartbeat(t.Context(), lost); !errors.Is(err, ErrGivenUp) {
		t.Errorf("the heartbeat of a replica that is not on record any more: %v", err)
	}
}

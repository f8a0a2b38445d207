package dynamic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

var (
	errInvalidated = errors.New("the share set is no longer pending")
	errRejected    = errors.New("ceremony rejected by the wallet service")
)

// ceremony is the vendor's half of one room.
type ceremony struct {
	room        string
	keygenIDs   []string // the vendor's party before
	newKeygenID string   // and after
	hit         faults.Hit
	done        chan struct{} // closed at the end
	err         error         // why it failed; read it after done
}

// begin opens a room for a pending set and joins it in the background. The
// caller holds mu.
func (v *Vendor) begin(w *wallet, s *shareSet) (*ceremony, error) {
	if v.closed {
		return nil, errors.New("the sandbox is closing")
	}
	base := w.active.share
	mine, err := mpc.NewDelta(base.Curve(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("drawing the vendor's contribution: %w", err)
	}
	c := &ceremony{
		room:        v.rooms.Open(),
		keygenIDs:   []string{base.KeygenID()},
		newKeygenID: base.NextKeygenID(mine),
		hit:         v.faults.Decide(opRoom, w.id),
		done:        make(chan struct{}),
	}
	s.ceremony, s.from = c, w.active.id
	w.refreshes++
	w.running++
	w.peak = max(w.peak, w.running)
	v.load.Open(v.now())
	v.ceremonies.Go(func() { v.run(w, s, c, base, mine) })
	return c, nil
}

func (v *Vendor) run(w *wallet, s *shareSet, c *ceremony, base mpc.Share, mine mpc.Delta) {
	ctx, cancel := context.WithTimeout(v.ctx, v.options.CeremonyTimeout)
	defer cancel()
	next, err := v.join(ctx, c, base, mine)

	v.mu.Lock()
	w.running--
	v.load.End()
	// A set may be discarded, or given another room, while this one runs.
	pending := slices.Contains(w.pending, s) && s.ceremony == c
	switch {
	case err == nil && !pending:
		err = errInvalidated
	case err == nil && c.hit.Kind == faults.LoseState:
		w.forget(s) // the room ends well: the client is to have its share
	case err == nil:
		s.share, s.complete = next, true
	case pending && !s.complete && v.assume.Is(assume.FailedCeremony, assume.Discards):
		v.discard(w, s)
	}
	v.mu.Unlock()

	if err != nil {
		v.rooms.Fail(c.room)
	} else {
		v.rooms.End(c.room)
	}
	c.err = err
	close(c.done)
}

// join takes part in the ceremony, with the room's faults.
func (v *Vendor) join(ctx context.Context, c *ceremony, base mpc.Share, mine mpc.Delta) (mpc.Share, error) {
	if err := pause(ctx, c.hit.Delay); err != nil {
		return mpc.Share{}, err
	}
	switch c.hit.Kind {
	case faults.Reject:
		return mpc.Share{}, errRejected
	case faults.Status:
		return mpc.Share{}, fmt.Errorf("the wallet service answered with status %d", c.hit.Status)
	case faults.LostRequest: // the vendor never comes
		if err := pause(ctx, c.hit.Late); err != nil {
			return mpc.Share{}, err
		}
		return mpc.Share{}, context.DeadlineExceeded
	case faults.LateEffect:
		if err := pause(ctx, c.hit.Late); err != nil {
			return mpc.Share{}, err
		}
	case faults.WrongPublicKey:
		// The vendor brings a share of some other key. The client must notice.
		_, other, err := mpc.Generate(base.Curve(), rand.Reader)
		if err != nil {
			return mpc.Share{}, err
		}
		base = other
	}
	return v.rooms.Join(ctx, c.room, relay.Vendor, base, mine)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

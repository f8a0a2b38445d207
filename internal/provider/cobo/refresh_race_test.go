package cobo

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

// TestSeveralProcessesAtOnce: replicas that were given up for dead go on with a
// clean-up that another one has in hand, while the vault is rotated. Whatever they
// make of each other's groups, in the end there is one of each, of after.
func TestSeveralProcessesAtOnce(t *testing.T) {
	c := newCrowd(t, map[string]string{assume.CoboSecondRequest: assume.Refused}, nil)
	a := c.rotate()
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var zombies sync.WaitGroup
	for range 3 {
		p := c.restarted().p
		zombies.Go(func() {
			for ctx.Err() == nil {
				if _, err := p.Retire(ctx, retirementOf(a)); err != nil && ctx.Err() == nil {
					class, _ := provider.ClassOf(err)
					if class == provider.Terminal || class == provider.Verification && !c.rotatedSince(a) {
						t.Errorf("%s: %v", class, err)
					}
				}
			}
		})
	}
	b := c.rotateInTheEnd()
	enough()
	zombies.Wait()
	first := retirementOf(a)
	first.ActiveShareSet, first.Later = b.PendingShareSet, []string{b.OldShareSet}
	c.cleanUp(first, provider.Retryable)
	c.cleanUp(retirementOf(b), provider.Retryable)
	c.wantFresh(c.signing, c.recovery)
}

func (o *organisation) rotatedSince(a provider.Attempt) bool {
	found, err := o.p.Inspect(context.Background(), o.wallet())
	return err == nil && found.ActiveShareSet != a.PendingShareSet
}

// rotateInTheEnd rotates as often as it takes, as the engine does: what failed is
// discarded, then tried anew.
func (o *organisation) rotateInTheEnd() provider.Attempt {
	o.t.Helper()
	var done provider.Attempt
	o.until(func() bool {
		a := o.attempt()
		s, err := o.open(&a)
		if err == nil {
			deadline := time.Now().Add(10 * time.Second)
			for {
				var ready provider.Readiness
				if ready, err = s.Await(o.t.Context()); err != nil || ready.Ready || time.Now().After(deadline) {
					break
				}
				o.pause(pace)
			}
		}
		if err == nil {
			err = o.p.Promote(o.t.Context(), a)
		}
		if err == nil && o.inspect().ActiveShareSet == a.PendingShareSet {
			done = a
			return true
		}
		o.until(func() bool { return o.p.Discard(o.t.Context(), a) == nil })
		return false
	})
	return done
}

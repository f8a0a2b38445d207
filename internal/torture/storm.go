package torture

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// storm breaks things until ctx ends. What it does to one part it does one
// after the other; the parts are broken side by side. It returns when
// everything is up again but for faults.
func (r *run) storm(ctx context.Context) error {
	breakers := []func(context.Context, *rand.Rand) error{r.breakDatabase, r.breakVendors, r.breakCalls}
	for _, replica := range r.replicas {
		breakers = append(breakers, func(ctx context.Context, random *rand.Rand) error { return r.breakReplica(ctx, random, replica) })
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for i, breaker := range breakers {
		random := rand.New(rand.NewPCG(uint64(r.Seed), uint64(i)))
		working.Go(func() {
			if err := breaker(ctx, random); err != nil {
				cancel(err)
			}
		})
	}
	working.Wait()
	if err := context.Cause(ctx); err != nil && ctx.Err() != nil && err != context.DeadlineExceeded && err != context.Canceled {
		return err
	}
	return nil
}

// calm is how long a part is left alone between two troubles. A short run is
// to have some as well.
func (r *run) calm(random *rand.Rand, least, most time.Duration) time.Duration {
	return time.Duration(float64(between(random, least, most)) * min(1, r.For.Seconds()/brisk.Seconds()))
}

// pause returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// databaseTimeout is for anything that is done to the database; a failover
// takes a few seconds, with the copy for the next standby.
const databaseTimeout = 2 * time.Minute

func (r *run) breakDatabase(ctx context.Context, random *rand.Rand) error {
	next := newDeck(random, crashes, failovers)
	for pause(ctx, r.calm(random, 5*time.Second, 15*time.Second)) {
		working, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseTimeout)
		what := next.deal()
		r.tell("database: %s", what)
		var err error
		switch what {
		case crashes:
			err = r.database.crash(working)
		case failovers:
			err = r.database.failOver(working, between(random, 200*time.Millisecond, 1500*time.Millisecond))
		}
		cancel()
		if err != nil {
			return err
		}
		r.tally.add(what, 1)
	}
	return nil
}

func (r *run) breakVendors(ctx context.Context, random *rand.Rand) error {
	next := newDeck(random, vendorRestarts, signerRestarts)
	for pause(ctx, r.calm(random, 4*time.Second, 15*time.Second)) {
		what := next.deal()
		r.tell("vendors: %s", what)
		down := between(random, 50*time.Millisecond, 3*time.Second)
		var err error
		switch what {
		case vendorRestarts:
			err = r.restartVendors(ctx, down)
		case signerRestarts:
			err = r.restartSigner(ctx, down)
		}
		if err != nil {
			return err
		}
		r.tally.add(what, 1)
	}
	return nil
}

// restartVendors shuts every door for a while; ceremonies under way fail.
func (r *run) restartVendors(ctx context.Context, down time.Duration) error {
	for _, replica := range r.replicas {
		replica.door.shut()
	}
	r.box.FailRooms()
	pause(ctx, down)
	for _, replica := range r.replicas {
		if err := replica.door.open(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) restartSigner(ctx context.Context, down time.Duration) error {
	if err := r.box.StopCosigner(); err != nil {
		return err
	}
	pause(ctx, down)
	return r.box.StartCosigner()
}

// breakCalls puts other faults in force every few seconds, and none now and
// then. Each fault has its turn before any has its second.
func (r *run) breakCalls(ctx context.Context, random *rand.Rand) error {
	next := newDeck(random, ills(r.box.Operations())...)
	for {
		n := random.IntN(16)
		var list []faults.Fault
		for range n {
			list = append(list, next.deal().fault(random))
		}
		if err := r.box.SetFaults(list...); err != nil {
			return err
		}
		r.tally.add(faultLists, 1)
		if !pause(ctx, r.calm(random, 2*time.Second, 6*time.Second)) {
			return nil
		}
	}
}

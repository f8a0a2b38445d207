package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// breakReplica does to one replica what happens to processes.
func (r *run) breakReplica(ctx context.Context, random *rand.Rand, replica *replica) error {
	next := newDeck(random, kills, zombies, kills, partitions, quits, databaseCuts, vendorCuts)
	for {
		calm, err := r.watch(ctx, replica, r.calm(random, 2*time.Second, 10*time.Second))
		if err != nil || !calm {
			return err
		}
		what := next.deal()
		r.tell("%s: %s", replica.name, what)
		switch what {
		case kills:
			err = r.restart(ctx, random, replica, (*process).kill)
		case quits:
			err = r.restart(ctx, random, replica, (*process).quit)
		case zombies:
			what, err = r.bury(ctx, replica)
		case partitions:
			replica.line.Hold()
			pause(ctx, heartbeatTimeout+callTimeout+between(random, 0, 3*time.Second))
			replica.line.Release()
		case databaseCuts:
			replica.line.Cut()
		case vendorCuts:
			err = replica.door.cut()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", replica.name, err)
		}
		r.tally.add(what, 1)
	}
}

// watch leaves a replica alone for a while, and starts it again when it has
// ended, as whatever runs services does. It returns false when ctx ended.
func (r *run) watch(ctx context.Context, replica *replica, d time.Duration) (calm bool, err error) {
	for over := time.Now().Add(d); time.Now().Before(over); {
		if err := r.revive(replica); err != nil {
			return false, err
		}
		if !pause(ctx, min(time.Until(over), 500*time.Millisecond)) {
			return false, r.revive(replica)
		}
	}
	return true, r.revive(replica)
}

// revive starts a replica that does not run. One that found no database when it
// started ends by itself, and may; one that was up must not.
func (r *run) revive(replica *replica) error {
	p := replica.now()
	if p.running() {
		return nil
	}
	if err := p.said.listenOn(); err != nil {
		return err
	}
	if p.said.count(saidStarted) > 0 {
		r.accuse("", "%s ended by itself: %v", replica.name, p.err)
	}
	return replica.start()
}

func (r *run) restart(ctx context.Context, random *rand.Rand, replica *replica, end func(*process) error) error {
	p := replica.now()
	up := p.running()
	if err := p.said.listenOn(); err != nil {
		return err
	}
	up = up && p.said.count(saidStarted) > 0
	switch err := end(p); {
	case errors.Is(err, errBadEnd) && up:
		r.accuse("", "%s: %v", replica.name, err)
	case err != nil && !errors.Is(err, errBadEnd):
		return err
	}
	pause(ctx, between(random, 0, 4*time.Second))
	return replica.start()
}

// buryTimeout is for the others to give a stopped replica up. They may be dead
// themselves, or without a database.
const buryTimeout = 25 * time.Second

// bury stops a replica until the others have given it up, and wakes it: it must
// find that out, and until then change nothing on record. What is returned is
// what has become of it.
func (r *run) bury(ctx context.Context, replica *replica) (what string, err error) {
	p := replica.now()
	if err := p.said.listenOn(); err != nil {
		return "", err
	}
	epochs := p.said.signedOn()
	r.graves <- struct{}{} // somebody must be left to give it up
	defer func() { <-r.graves }()
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.signal(syscall.SIGCONT)) }()
	if len(epochs) == 0 {
		pause(ctx, callTimeout)
		return naps, nil
	}
	epoch := epochs[len(epochs)-1].epoch
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), buryTimeout)
	defer cancel()
	if gone := r.person.awaitGone(waiting, epoch); !gone {
		return naps, nil
	}
	before, err := r.person.worksOf(waiting, epoch)
	if err != nil {
		return naps, nil // the database has just gone: nothing can be compared
	}
	replica.door.watch()
	if err := p.signal(syscall.SIGCONT); err != nil {
		return "", err
	}
	finding, cancelFinding := context.WithTimeout(context.WithoutCancel(ctx), buryTimeout)
	defer cancelFinding()
	switch err := p.until(finding, func() bool { return len(p.said.signedOn()) > len(epochs) }); {
	case errors.Is(err, context.DeadlineExceeded) && p.said.count(saidLost) < len(epochs):
		r.accuse("", "%s was given up as epoch %d, woke, and has not found out within %s", replica.name, epoch, buryTimeout)
		return zombies, nil
	case errors.Is(err, errEnded):
		return zombies, nil // revive says so
	case err != nil && !errors.Is(err, context.DeadlineExceeded):
		return "", err
	}
	again := time.Now()
	if now := p.said.signedOn(); len(now) > len(epochs) {
		again = now[len(epochs)].at
	}
	for _, at := range replica.door.seen() {
		if at.Before(again) {
			r.tally.add(lateCalls, 1)
		}
	}
	if after, err := r.person.worksOf(finding, epoch); err == nil && after != before {
		r.accuse("", "%s was given up as epoch %d, woke, and changed the record from %s to %s", replica.name, epoch, before, after)
	}
	return zombies, nil
}

package model

// step is where a replica stands: what it will do next.
type step uint8

const (
	idle step = iota
	// waiting
	tellCoSigner
	seekLeftover
	removeLeftover
	recordTold
	drop
	fail
	look
	lookCoSigner
	reconcile
	settle
	recordOpening
	// opening
	recordPlan
	open
	retreat
	seek
	recordReference
	// ceremony
	start
	await
	recordPrepared
	recordAbandoned
	// prepared
	whichIsActive
	askCoSigner
	promote
	confirm
	recordPromoted
	// promoted
	commit
	whichIsCurrent
	recordClosed
	// any
	park
	// clean-up
	lookBeforeRemoval
	removeOld
	recordRemoved
	putBack
)

// enter is where a rotation goes on that a replica has just read from the
// record.
func (m *model) enter(w *world, i int) {
	c, r := &w.record.row, &w.replicas[i]
	*r = replica{k: c.attempt, old: c.old, wish: c.wish, zombie: r.zombie}
	switch c.state {
	case waiting:
		m.wait(w, r)
	case opening, ceremony:
		m.found(w, r)
	case prepared:
		r.at = whichIsActive
	case promoted:
		r.at = commit
	}
}

// wait is rotation's wait: what comes first of what is left to do.
func (m *model) wait(w *world, r *replica) {
	c := &w.record.row
	r.wish = c.wish
	switch {
	case c.discard && m.coSigned && m.rules.on(discardBeforeNext):
		r.at = tellCoSigner
	case c.discard && m.rules.on(discardBeforeNext):
		r.at = seekLeftover
	case c.wish == wishAbort:
		r.at = drop
	case c.sealed != noCause:
		r.at, r.cause = fail, c.sealed
	case m.rules.on(lookBeforeAttempt):
		r.at = look
	default:
		r.at = recordOpening
	}
}

// found is a rotation in opening or ceremony that was begun elsewhere. Where
// the ceremony lived in another process it is given up; where the vendor can be
// searched, it goes on.
func (m *model) found(w *world, r *replica) {
	c := &w.record.row
	switch {
	case m.coSigned || !c.planned || c.wish == wishAbort && m.rules.on(wishHeeded):
		m.giveUp(r)
	case c.state == opening:
		r.at = seek
	default:
		r.at = await
	}
}

// giveUp abandons the attempt in hand: on record first, if that rule is on.
func (m *model) giveUp(r *replica) {
	switch {
	case m.rules.on(abandonedFirst):
		r.at = recordAbandoned
	case m.coSigned:
		r.at, r.early = tellCoSigner, true
	default:
		r.at, r.early = seekLeftover, true
	}
}

func (r *replica) parks(c cause) { r.at, r.cause = park, c }

// act is everything that replica i may do next.
func (m *model) act(w world, i int) {
	r := w.replicas[i]
	switch r.at {
	case idle:
		m.idle(w, i)
	case tellCoSigner, seekLeftover, removeLeftover, recordTold, lookBeforeRemoval, removeOld, recordRemoved, putBack:
		m.cleanUp(w, i)
	case drop, fail, look, lookCoSigner, reconcile, settle, recordOpening:
		m.begin(w, i)
	case recordPlan, open, retreat, seek, recordReference, start, await, recordPrepared, recordAbandoned:
		m.attempt(w, i)
	case park:
		m.write(w, i, "parks the rotation", r.k, func(c *record) bool { return c.row.state != none && c.row.wish == r.wish },
			func(n *world, r *replica) {
				c := &n.record.row
				c.owner, c.cause, c.halted = nobody, r.cause, r.cause != noCause
				*r = replica{zombie: r.zombie}
			})
	default:
		m.finish(w, i)
	}
}

// idle is a replica that looks for work.
func (m *model) idle(w world, i int) {
	c := &w.record.row
	switch {
	case c.state == none && m.due(&w):
		n := w
		n.record.ticks++
		n.record.row = row{state: waiting, owner: uint8(i + 1), attempt: w.record.row.attempt}
		m.enter(&n, i)
		m.emit(n, event{by: i, what: "claims the wallet"})
	case c.state == failed || c.state == none || c.halted:
	case c.owner == nobody || c.owner == uint8(i+1):
		n := w
		n.record.row.owner = uint8(i + 1)
		m.enter(&n, i)
		m.emit(n, event{by: i, what: "takes the rotation in hand, in " + c.state.String(), set: c.attempt})
	}
	for k := range w.record.retires {
		if x := w.record.retires[k]; x.due && x.committed && x.owner == nobody && x.cause == noCause &&
			c.cause != drift && c.cause != atRisk && m.graceOver(&w, set(k)) {
			n := w
			n.record.retires[k].owner = uint8(i + 1)
			n.replicas[i].at, n.replicas[i].k = lookBeforeRemoval, set(k)
			m.emit(n, event{by: i, what: "takes the clean-up in hand", set: set(k)})
		}
	}
}

// due says whether the schedule has the wallet rotated. There is always another
// tick for a swap that came late, as many as there may be of these.
func (m *model) due(w *world) bool {
	return w.record.ticks < maxTicks || w.record.ticks < maxTicks+m.faults && w.vendor.active != w.record.head
}

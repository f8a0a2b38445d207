package model

// nature is what happens by itself.
func (m *model) nature(w world) {
	for k := set(0); k < sets; k++ {
		for c := call(0); c < calls; c++ {
			if w.late.has(c, k) {
				n := w
				n.late &^= bit(c, k)
				m.arrive(&n, c, k)
				m.emit(n, event{by: outside, what: "the late request to " + callNames[c] + " it arrives", set: k})
			}
		}
		if m.coSigned {
			m.ceremony(w, k)
		} else if w.vendor.sets[k] == pending {
			n := w
			n.vendor.sets[k] = ready
			m.emit(n, event{by: outside, what: "people approve, the new set is complete", set: k})
		}
	}
	for i, r := range w.replicas {
		if r.down {
			n := w
			n.record.free(i)
			n.replicas[i] = replica{}
			m.emit(n, event{by: i, what: "is given up and starts again"})
		}
	}
	if c := &w.record.row; c.state == failed && c.cause == usedUp && w.record.ticks < maxTicks {
		n := w
		n.record.ticks++
		n.record.row.state, n.record.row.halted, n.record.row.cause = waiting, false, noCause
		m.emit(n, event{by: outside, what: "the next tick tries again"})
	}
}

// ceremony goes on between the vendor and the co-signer.
func (m *model) ceremony(w world, k set) {
	kept, stage := w.vendor.sets[k], w.coSigner.stages[k]
	if kept == pending && (stage == running || stage == durable) {
		n := w
		n.vendor.sets[k] = ready
		m.emit(n, event{by: outside, what: "the vendor's side is complete", set: k})
	}
	if stage == running {
		n := w
		if kept == pending || kept == ready {
			n.coSigner.stages[k], n.coSigner.held[k] = durable, true
			m.emit(n, event{by: outside, what: "the co-signer has stored its share", set: k})
		} else {
			n.coSigner.stages[k] = broken
			m.emit(n, event{by: outside, what: "the co-signer finds nobody in the room", set: k})
		}
	}
	if m.droppable(&w, k) {
		n := w
		n.coSigner.held[k] = false
		m.emit(n, event{by: outside, what: "the co-signer drops an old share", set: k})
	}
}

// droppable: a different set has been committed since, and the grace period is
// over.
func (m *model) droppable(w *world, k set) bool {
	return w.coSigner.held[k] && k < w.coSigner.current && m.graceOver(w, k)
}

// graceOver: a grace period is longer than a request to promote the set can be
// under way, and longer than a person takes to see that a set is in use that
// they have discarded.
func (m *model) graceOver(w *world, k set) bool {
	if !m.rules.on(graceBeforeRemoving) {
		return true
	}
	return !m.promotable(w, k) && !(w.vendor.active == k && w.record.fates[k]&abandoned != 0)
}

// promotable: a request to promote the set is under way or about to be sent, or
// a replica that does not know that it was given up may yet come to send one.
func (m *model) promotable(w *world, k set) bool {
	if w.late.has(promoteCall, k) {
		return true
	}
	for _, r := range w.replicas {
		if r.k == k && (r.at == promote || r.zombie && (r.at == askCoSigner || r.at == whichIsActive)) {
			return true
		}
	}
	return false
}

// mishaps are what goes wrong, beside what happens to calls.
func (m *model) mishaps(w world) {
	if w.faults == m.faults {
		return
	}
	w.faults++
	for i, r := range w.replicas {
		if r.at == idle || r.down {
			continue
		}
		n := w
		n.replicas[i] = replica{down: true}
		m.emit(n, event{by: i, what: "crashes", fault: true})
		if !r.zombie {
			n := w
			n.record.free(i)
			n.replicas[i].zombie = true
			m.emit(n, event{by: i, what: "stands still and is given up", fault: true})
		}
	}
	if w.record.row.state == none && w.record.made < maxAttempts && w.byHand == 0 {
		m.byHand(w)
	}
	for k := set(1); k < sets; k++ {
		if !m.coSigned {
			if w.vendor.sets[k] == pending {
				n := w
				n.vendor.sets[k] = gone
				m.emit(n, event{by: outside, what: "people reject it", set: k, fault: true})
			}
			continue
		}
		switch w.coSigner.stages[k] {
		case running:
			n := w
			n.coSigner.stages[k] = broken
			m.emit(n, event{by: outside, what: "the co-signer restarts in the ceremony", set: k, fault: true})
		case durable:
			n := w
			n.coSigner.stages[k], n.coSigner.held[k] = broken, false
			if w.vendor.active == k || m.promotable(&w, k) {
				n.doomed[k] = true
			}
			m.emit(n, event{by: outside, what: "the co-signer loses its prepared share", set: k, fault: true})
		}
	}
}

// byHand is somebody who rotates the wallet past us, and does it right: the
// co-signer has the new share. The set takes the number of the next attempt.
func (m *model) byHand(w world) {
	w.record.made++
	k := w.record.made
	w.byHand = k
	if m.coSigned {
		w.vendor.sets[w.vendor.active] = gone
		w.coSigner.stages[k], w.coSigner.held[k] = durable, true
		w.coSigner.commit(k)
	}
	w.vendor.active, w.vendor.sets[k] = k, used
	m.emit(w, event{by: outside, what: "somebody rotates by hand", set: k, fault: true})
}

// people ask for what the requests allow.
func (m *model) people(w world) {
	if w.orders == maxOrders {
		return
	}
	w.orders++
	order := func(what string, apply func(*row)) {
		n := w
		apply(&n.record.row)
		m.emit(n, event{by: outside, what: what, set: n.record.row.attempt, order: true})
	}
	c := w.record.row
	wake := func(c *row) { c.halted = c.halted && c.owner != nobody }
	switch c.state {
	case waiting, opening, ceremony, failed:
		order("a person asks to abort", func(c *row) {
			c.wish = wishAbort
			if c.state == failed {
				c.state = waiting
			}
			wake(c)
		})
	case prepared:
		if m.personErrs || c.halted && w.vendor.active == c.old && !m.promotable(&w, c.attempt) {
			order("a person asks to discard", func(c *row) { c.wish = wishDiscard; wake(c) })
		}
	}
	for k, x := range w.record.retires {
		if x.cause != noCause && x.owner == nobody {
			n := w
			n.record.retires[k].cause = noCause
			m.emit(n, event{by: outside, what: "a person asks to retry the clean-up", set: set(k), order: true})
		}
	}
	if c.state != none && c.owner == nobody {
		order("a person asks to retry", func(c *row) {
			if c.state == failed {
				c.state = waiting
			}
			c.halted, c.cause, c.sealed = false, noCause, noCause
		})
	}
}

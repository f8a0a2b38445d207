package model

// cleanUp is what is done about an abandoned attempt, and about an old set
// after its grace period.
func (m *model) cleanUp(w world, i int) {
	r := w.replicas[i]
	n := w
	x := &n.replicas[i]
	told := recordTold
	if r.early {
		told = recordAbandoned
	}
	switch r.at {
	case tellCoSigner:
		m.ask(w, i, abortCall, r.k, func(n *world, r *replica, a answer) {
			if r.at = told; a == doubt {
				r.parks(noCause)
			}
		})
	case seekLeftover:
		x.at = removeLeftover
		what := "looks for what the attempt left: there it is"
		if s := w.vendor.sets[r.k]; s == absent || s == gone {
			x.at, what = told, "looks for what the attempt left: nothing"
		} else if w.vendor.active == r.k && m.rules.on(lookBeforeRemoving) {
			x.at, what = told, "looks for what the attempt left: it is the active set"
		}
		m.emit(n, event{by: i, what: what, set: r.k})
	case removeLeftover:
		m.ask(w, i, removeCall, r.k, func(n *world, r *replica, a answer) {
			if r.at = told; a != done {
				r.parks(noCause)
			}
		})
	case recordTold:
		m.write(w, i, "records that everybody was told", r.k, func(c *record) bool { return c.in(r.k, waiting, failed) },
			func(n *world, r *replica) {
				n.record.row.discard = false
				m.wait(n, r)
			})
	case lookBeforeRemoval:
		m.lookBeforeRemoval(w, i)
	case removeOld:
		m.ask(w, i, removeCall, r.k, func(n *world, r *replica, a answer) {
			if r.at = recordRemoved; a != done {
				r.at, r.cause = putBack, noCause
			}
		})
	case recordRemoved:
		m.write(w, i, "records the clean-up as done", r.k, func(c *record) bool { return c.retires[r.k].owner == uint8(i+1) },
			func(n *world, r *replica) {
				n.record.retires[r.k] = retirement{}
				n.record.fates[r.k] |= retired
				*r = replica{zombie: r.zombie}
			})
	case putBack:
		m.write(w, i, "puts the clean-up back", r.k, func(c *record) bool { return c.retires[r.k].owner == uint8(i+1) },
			func(n *world, r *replica) {
				n.record.retires[r.k].owner, n.record.retires[r.k].cause = nobody, r.cause
				*r = replica{zombie: r.zombie}
			})
	}
}

// lookBeforeRemoval asks which set is active: neither the old one nor one that
// nobody knows of.
func (m *model) lookBeforeRemoval(w world, i int) {
	n := w
	r := &n.replicas[i]
	r.at = removeOld
	what := "looks before it deletes: the vendor's active set"
	switch active := w.vendor.active; {
	case !m.rules.on(lookBeforeRemoving):
		what = "does not look before it deletes"
	case active == r.k:
		r.at, r.cause = putBack, terminal
	case w.vendor.sets[r.k] == gone:
		r.at = recordRemoved
	case active != w.record.head && active < w.record.retires[r.k].by:
		r.at, r.cause = putBack, terminal
	}
	m.emit(n, event{by: i, what: what, set: w.vendor.active})
}

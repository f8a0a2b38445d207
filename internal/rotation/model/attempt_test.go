package model

// begin is a rotation in waiting: it is looked at, then opened.
func (m *model) begin(w world, i int) {
	r := w.replicas[i]
	isWaiting := func(c *record) bool { return c.row.state == waiting && c.row.attempt == r.k }
	switch r.at {
	case drop:
		m.write(w, i, "closes the rotation, aborted", r.k,
			func(c *record) bool { return isWaiting(c) && !c.row.discard },
			func(n *world, r *replica) {
				n.record.closed()
				*r = replica{zombie: r.zombie}
			})
	case fail:
		m.write(w, i, "fails the rotation", r.k,
			func(c *record) bool { return isWaiting(c) && c.row.wish == r.wish },
			func(n *world, r *replica) {
				c := &n.record.row
				c.state, c.owner, c.halted, c.cause, c.sealed = failed, nobody, true, r.cause, noCause
				*r = replica{zombie: r.zombie}
			})
	case look:
		n := w
		x := &n.replicas[i]
		x.heard = w.vendor.active
		switch {
		case m.coSigned:
			x.at = lookCoSigner
		case x.heard == w.record.head:
			x.at = recordOpening
		case w.record.fates[x.heard]&named != 0 && m.rules.on(neverAdopted):
			x.at, x.cause = fail, drift
		default:
			x.at = reconcile
		}
		m.emit(n, event{by: i, what: "looks: the vendor's active set", set: x.heard})
	case lookCoSigner:
		n := w
		x := &n.replicas[i]
		h := &w.coSigner
		switch known := w.record.head; {
		case x.heard != known && h.current != x.heard && !h.able(x.heard):
			x.at, x.cause = fail, drift
		case x.heard != known:
			x.at = reconcile
		case h.current == x.heard:
			x.at = recordOpening
		case h.able(x.heard):
			x.at = settle
		default:
			x.at, x.cause = fail, atRisk
		}
		m.emit(n, event{by: i, what: "looks: the co-signer's current set", set: h.current})
	case reconcile:
		m.write(w, i, "records as reconciled", r.heard, isWaiting, func(n *world, r *replica) {
			m.use(n, r.heard, n.record.head, reconciled)
			r.at = recordOpening
			if m.coSigned {
				r.at = lookCoSigner
			}
		})
	case settle:
		m.ask(w, i, commitCall, r.heard, func(n *world, r *replica, a answer) {
			r.parks(noCause)
			if a == done {
				r.at = recordOpening
			}
		})
	case recordOpening:
		m.recordOpening(w, i)
	}
}

// recordOpening makes the intent durable. The bound on attempts ends a rotation
// the way a person's abort would.
func (m *model) recordOpening(w world, i int) {
	r := w.replicas[i]
	k := w.record.made + 1
	if r.early {
		k = r.heard // opened already
	} else if w.record.made == maxAttempts {
		m.write(w, i, "closes the rotation, aborted (the bound)", r.k,
			func(c *record) bool { return c.row.state == waiting && !c.row.discard && c.row.wish == noWish },
			func(n *world, r *replica) {
				n.record.closed()
				*r = replica{zombie: r.zombie}
			})
		return
	}
	if !m.rules.on(intentFirst) && !r.early {
		w.record.made++
		w.from[k] = w.record.head
		m.ask(w, i, openCall, k, func(n *world, r *replica, a answer) {
			if r.early, r.heard = true, k; a != done {
				r.parks(noCause)
			}
		})
		return
	}
	m.write(w, i, "records the intent to open", k,
		func(c *record) bool {
			return c.row.state == waiting && c.row.attempt == r.k && c.row.wish == noWish && (!c.row.discard || !m.rules.on(discardBeforeNext))
		},
		func(n *world, r *replica) {
			c := &n.record
			c.made = max(c.made, k)
			n.from[k] = c.head
			c.row = row{state: opening, attempt: k, old: c.head, owner: c.row.owner}
			r.k, r.old, r.at, r.heard, r.cause = k, c.head, open, 0, noCause
			switch {
			case r.early:
				r.at, r.early = recordReference, false
			case !m.coSigned:
				r.at = recordPlan
			}
		})
}

// attempt is a rotation in opening or ceremony.
func (m *model) attempt(w world, i int) {
	r := w.replicas[i]
	in := func(states ...state) func(*record) bool {
		return func(c *record) bool { return c.in(r.k, states...) }
	}
	switch r.at {
	case recordPlan:
		m.write(w, i, "records what it will create", r.k, in(opening), func(n *world, r *replica) {
			n.record.row.planned = true
			r.at = open
		})
	case open:
		m.ask(w, i, openCall, r.k, func(n *world, r *replica, a answer) {
			switch {
			case a == done:
				r.at = recordReference
				if !m.rules.on(referenceFirst) {
					r.at = start
				}
			case m.coSigned && (a == no || !m.rules.on(doubtIsNoRefusal)):
				r.at = retreat
			case m.coSigned || a == no:
				m.giveUp(r)
			default:
				r.at = seek
			}
		})
	case retreat:
		m.write(w, i, "takes the attempt back, nothing was opened", r.k, in(opening), func(n *world, r *replica) {
			n.record.row.state = waiting
			m.wait(n, r)
		})
	case seek:
		n := w
		x := &n.replicas[i]
		what := "looks for what it may have created: nothing"
		if s := w.vendor.sets[r.k]; s != absent && s != gone {
			x.at, what = recordReference, "looks for what it may have created: there it is"
		} else {
			m.giveUp(x)
		}
		m.emit(n, event{by: i, what: what, set: r.k})
	case recordReference:
		m.write(w, i, "records the vendor's reference", r.k, in(opening), func(n *world, r *replica) {
			n.record.row.state = ceremony
			r.at = await
			if m.coSigned && m.rules.on(referenceFirst) {
				r.at = start
			}
		})
	case start:
		m.ask(w, i, startCall, r.k, func(n *world, r *replica, a answer) {
			switch {
			case a != done:
				m.giveUp(r)
			case m.rules.on(referenceFirst):
				r.at = await
			default:
				r.at = recordReference
			}
		})
	case await:
		m.await(w, i)
	case recordPrepared:
		m.write(w, i, "records prepared", r.k,
			func(c *record) bool { return c.in(r.k, ceremony) && c.row.wish == noWish },
			func(n *world, r *replica) {
				n.record.row.state = prepared
				r.at = askCoSigner
				if r.early {
					r.at, r.early = recordPromoted, false
				}
			})
	case recordAbandoned:
		m.recordAbandoned(w, i)
	}
}

// recordAbandoned may also find that it was the rotation's last attempt.
func (m *model) recordAbandoned(w world, i int) {
	r := w.replicas[i]
	causes := []cause{noCause, usedUp, terminal}
	if w.record.row.wish == wishAbort {
		causes = causes[:1] // it ends anyhow
	}
	for _, c := range causes {
		what := "records the attempt as abandoned"
		if c != noCause {
			what += ", the last one"
		}
		m.write(w, i, what, r.k,
			func(c *record) bool {
				return c.in(r.k, opening, ceremony) || c.in(r.k, prepared) && (r.wish == wishDiscard || !m.rules.on(doubtIsNoRefusal))
			},
			func(n *world, r *replica) {
				n.record.abandonOnRecord(c)
				if r.early {
					r.early, n.record.row.discard = false, false
				}
				m.wait(n, r)
			})
	}
}

// await is over when everybody whose word it takes has said that the new
// shares are complete.
func (m *model) await(w world, i int) {
	n := w
	r := &n.replicas[i]
	kept, stage := w.vendor.sets[r.k], w.coSigner.stages[r.k]
	switch {
	case kept == gone || m.coSigned && (stage == broken || stage == aborted || stage == unheard):
		m.giveUp(r)
		m.emit(n, event{by: i, what: "hears that the ceremony failed", set: r.k})
	case kept == ready && (!m.coSigned || w.coSigner.able(r.k)), kept == used && !m.coSigned:
		r.at = recordPrepared
		if !m.rules.on(preparedFirst) {
			r.at, r.early = askCoSigner, true
		}
		m.emit(n, event{by: i, what: "hears that the new shares are complete", set: r.k})
	case !m.coSigned:
		r.parks(noCause)
		m.emit(n, event{by: i, what: "hears that people are waited for", set: r.k})
	}
	if w.faults < m.faults {
		n := w
		n.faults++
		m.giveUp(&n.replicas[i])
		m.emit(n, event{by: i, what: "has waited for too long", set: r.k, fault: true})
	}
}

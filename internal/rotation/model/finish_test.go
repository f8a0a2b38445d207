package model

// finish is a rotation past the commit point: it rolls forward.
func (m *model) finish(w world, i int) {
	r := w.replicas[i]
	n := w
	x := &n.replicas[i]
	switch active := w.vendor.active; r.at {
	case whichIsActive:
		switch {
		case active == r.k:
			x.at = recordPromoted
		case active != r.old:
			x.parks(drift)
		case r.wish == wishDiscard:
			m.giveUp(x)
		default:
			x.at = askCoSigner
		}
		m.emit(n, event{by: i, what: "looks: the vendor's active set", set: active})
	case askCoSigner:
		m.askOnceMore(w, i)
	case promote:
		m.ask(w, i, promoteCall, r.k, func(n *world, r *replica, a answer) {
			r.cause = noCause
			switch {
			case a == doubt && !m.rules.on(doubtIsNoRefusal):
				m.giveUp(r)
			case a == done && !m.rules.on(statusProvesNothing):
				r.at = recordPromoted
			default:
				r.at = confirm
				if a == no {
					r.cause = refused
				}
			}
		})
	case confirm:
		switch {
		case active == r.k && r.early:
			x.at = recordPrepared
		case active == r.k:
			x.at = recordPromoted
		case active != r.old:
			x.parks(drift)
		default:
			x.parks(r.cause)
		}
		m.emit(n, event{by: i, what: "looks: the vendor's active set", set: active})
	case recordPromoted:
		m.write(w, i, "records the promotion", r.k,
			func(c *record) bool {
				return c.in(r.k, prepared) && c.head == r.old || !m.rules.on(guardOnPromotion)
			},
			func(n *world, r *replica) {
				if s := n.vendor.sets[r.k]; s == pending || s == ready {
					m.blame(n, recordedUntrue)
				}
				m.use(n, r.k, r.old, activated)
				n.record.row.state, n.record.row.cause = promoted, noCause
				r.at = commit
				if !m.coSigned || !m.rules.on(commitBeforeClosing) {
					r.at = recordClosed
				}
			})
	case commit:
		if !m.coSigned {
			x.at = recordClosed
			m.emit(n, event{by: i, what: "has nothing to commit", set: r.k})
			return
		}
		m.ask(w, i, commitCall, r.k, func(n *world, r *replica, a answer) {
			r.parks(noCause)
			switch {
			case a == done && r.early:
				r.at, r.early = promote, false
			case a == done:
				r.at = recordClosed
			case a == no && !r.early:
				r.at = whichIsCurrent
			}
		})
	case whichIsCurrent:
		if x.at = recordClosed; w.coSigner.current != r.k {
			x.parks(atRisk)
		}
		m.emit(n, event{by: i, what: "looks: the co-signer's current set", set: w.coSigner.current})
	case recordClosed:
		m.write(w, i, "closes the rotation, succeeded", r.k, func(c *record) bool { return c.in(r.k, promoted) },
			func(n *world, r *replica) {
				for k := range n.record.retires {
					if x := &n.record.retires[k]; x.due && x.by == r.k {
						x.committed = true
					}
				}
				n.record.closed()
				*r = replica{zombie: r.zombie}
			})
	}
}

// askOnceMore comes immediately before each promotion. Where there is a
// co-signer, it must have the share still; else the vendor is looked at, and
// must have the set as it was verified.
func (m *model) askOnceMore(w world, i int) {
	n := w
	r := &n.replicas[i]
	what := "asks once more: all is as it was verified"
	r.at = promote
	if m.coSigned && !m.rules.on(swapBeforeCommit) {
		r.at, r.early = commit, true
	}
	switch active := w.vendor.active; {
	case !m.rules.on(askedBeforePromote):
		what = "does not ask once more"
	case m.coSigned && !w.coSigner.able(r.k):
		r.parks(shareLost)
		what = "asks once more: the prepared share is not there"
	case m.coSigned:
	case active == r.k:
		r.at, r.cause = confirm, noCause
		what = "asks once more: it is active"
	case active != r.old:
		r.parks(drift)
		what = "asks once more: a third set is active"
	case w.vendor.sets[r.k] != ready && w.vendor.sets[r.k] != used:
		r.parks(refused)
		what = "asks once more: the new set is gone"
	}
	m.emit(n, event{by: i, what: what, set: r.k})
}

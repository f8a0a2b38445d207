package model

// call is a request that changes something at the vendor or the co-signer.
type call uint8

const (
	openCall    call = iota // vendor: make a pending share set
	promoteCall             // vendor: make it the active one
	removeCall              // vendor: delete it
	startCall               // co-signer: take part
	commitCall              // co-signer: the new share is current
	abortCall               // co-signer: mark
	calls
)

var callNames = [calls]string{"open", "promote", "delete", "start the ceremony of", "commit", "abort"}

// late are the requests that nobody waits for any more and that have not had
// their effect yet, one bit each.
type late uint32

func bit(c call, k set) late { return 1 << (uint(c)*sets + uint(k)) }

func (l late) has(c call, k set) bool { return l&bit(c, k) != 0 }

// arrive is the effect of a request; false: it is refused.
func (m *model) arrive(w *world, c call, k set) bool {
	v, h := &w.vendor, &w.coSigner
	switch c {
	case openCall:
		switch {
		case v.sets[k] != absent:
			return true
		case m.coSigned && v.active != w.from[k]:
			return false
		}
		if m.newestWins {
			for i, s := range v.sets {
				if (s == pending || s == ready) && set(i) != k {
					v.sets[i] = gone
				}
			}
		}
		v.sets[k] = pending
	case promoteCall:
		return m.swap(v, k)
	case removeCall:
		if k == v.active && !m.deletesActive {
			return false
		}
		v.sets[k] = gone
	case startCall:
		return h.start(k, w.from[k])
	case commitCall:
		return h.commit(k)
	case abortCall:
		if h.stages[k] == committed {
			return false
		}
		if h.stages[k] == running || h.stages[k] == durable {
			h.stages[k] = aborted
		}
	}
	return true
}

// swap is atomic. A vendor with a co-signer ends the old set by it; the other
// one converts it, so that it could be made the active one again.
func (m *model) swap(v *vendor, k set) bool {
	switch {
	case v.active == k:
		return true
	case v.sets[k] == ready, v.sets[k] == used && !m.coSigned:
	default:
		return false
	}
	if m.coSigned {
		v.sets[v.active] = gone
	}
	v.active, v.sets[k] = k, used
	return true
}

func (h *coSigner) start(k, previous set) bool {
	if h.stages[k] != unheard {
		return true
	}
	for _, s := range h.stages {
		if s == running {
			return false
		}
	}
	if h.current != previous || !h.held[previous] {
		return false
	}
	h.stages[k] = running
	return true
}

func (h *coSigner) commit(k set) bool {
	if h.stages[k] == committed {
		return true
	}
	if h.stages[k] != durable || !h.held[k] {
		return false
	}
	h.current, h.stages[k] = k, committed
	for i, s := range h.stages {
		if s == running || s == durable {
			h.stages[i] = aborted
		}
	}
	return true
}

// able says whether the co-signer could make the set's share current.
func (h *coSigner) able(k set) bool { return h.stages[k] == durable && h.held[k] }

// answer is how a call ended for its caller.
type answer uint8

const (
	done answer = iota
	no
	doubt // nobody knows
)

// ask sends a request and lets it end in every way. then goes on with the
// answer.
func (m *model) ask(w world, i int, c call, k set, then func(*world, *replica, answer)) {
	m.discipline(&w, i, c, k)
	one := func(what string, fault bool, effect func(*world) answer) {
		n := w
		if fault {
			if n.faults == m.faults {
				return
			}
			n.faults++
		}
		a := effect(&n)
		then(&n, &n.replicas[i], a)
		if a == no {
			what += ", it is refused"
		}
		m.emit(n, event{by: i, what: "asks to " + callNames[c] + " it" + what, set: k, fault: fault})
	}
	one("", false, func(n *world) answer {
		if m.arrive(n, c, k) {
			return done
		}
		return no
	})
	one(", the request is lost", true, func(*world) answer { return doubt })
	one(", the reply is lost", true, func(n *world) answer { m.arrive(n, c, k); return doubt })
	one(", it times out and comes late", true, func(n *world) answer { n.late |= bit(c, k); return doubt })
	switch c {
	case promoteCall:
		one(", it is accepted and not done yet", true, func(n *world) answer { n.late |= bit(c, k); return done })
		one(", it is accepted and never done", true, func(*world) answer { return done })
		one("", true, func(*world) answer { return no })
	case openCall, startCall:
		one("", true, func(*world) answer { return no })
	}
}

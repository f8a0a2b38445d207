package model

// wrong is what must never be.
type wrong uint8

const (
	nothing wrong = iota
	// keyLost: nobody holds the customer's share of the vendor's active set.
	keyLost
	// adoptedAbandoned: the record follows a set that it calls abandoned.
	adoptedAbandoned
	// promotedAbandoned: the vendor uses a set that the record calls abandoned.
	promotedAbandoned
	// recordedUntrue: the history says that a set was activated that never was.
	recordedUntrue
	// recordedTwice: one promotion is in the history twice.
	recordedTwice
	// twoHeads: the history does not say of exactly one set that it is in use.
	twoHeads
	// unsettled: nothing will happen any more, vendor, co-signer and record do
	// not agree, and nobody was called.
	unsettled
	// leftover: nothing will happen any more, and something of ours at the
	// vendor is neither in use nor on record as abandoned or to be cleaned up.
	leftover
	// stuck: without a further fault nothing leads to an end any more.
	stuck
	// promotedUnprepared: a replica in good standing asks for the promotion of
	// what is not prepared on record.
	promotedUnprepared
	// toldUnrecorded: somebody is told of the end of an attempt that the record
	// does not call abandoned.
	toldUnrecorded
	// committedUnproven: the co-signer is told to commit what the record does
	// not call active.
	committedUnproven
	// staleWrite: a write of a replica that was given up has counted.
	staleWrite
)

var wrongs = map[wrong]string{
	keyLost:            "nobody holds the customer's share of the vendor's active set",
	adoptedAbandoned:   "the record follows a set that it calls abandoned",
	promotedAbandoned:  "the vendor uses a set that the record calls abandoned",
	recordedUntrue:     "a set is on record as activated that never was",
	recordedTwice:      "one promotion is in the history twice",
	twoHeads:           "the history does not say of exactly one set that it is in use",
	unsettled:          "all is quiet, the parties do not agree, and nobody was called",
	leftover:           "all is quiet, and a set of ours at the vendor is on nobody's record",
	stuck:              "nothing leads to an end any more",
	promotedUnprepared: "a promotion is asked for that is not prepared on record",
	toldUnrecorded:     "somebody is told of an end that is not on record",
	committedUnproven:  "the co-signer is told to commit what is not active on record",
	staleWrite:         "a write counts of a replica that was given up",
}

func (m *model) blame(w *world, x wrong) {
	if w.wrong == nothing && m.watches(x) {
		w.wrong = x
	}
}

// discipline is what must hold of a request when it is sent. What a replica
// that was given up still sends was decided before; that it is harmless is for
// the other invariants to say.
func (m *model) discipline(w *world, i int, c call, k set) {
	fates := w.record.fates[k]
	switch c {
	case promoteCall:
		if !w.replicas[i].zombie && (!w.record.in(k, prepared) || fates&abandoned != 0) {
			m.blame(w, promotedUnprepared)
		}
	case removeCall, abortCall:
		if fates&abandoned == 0 && w.replicas[i].at != removeOld {
			m.blame(w, toldUnrecorded)
		}
	case commitCall:
		if fates&(activated|reconciled) == 0 {
			m.blame(w, committedUnproven)
		}
	}
}

// check is what must hold at every moment.
func (m *model) check(w *world) wrong {
	active := w.vendor.active
	lost := w.vendor.sets[active] == gone
	if m.coSigned {
		lost = !w.coSigner.held[active] && !w.doomed[active]
	}
	heads := 0
	for _, f := range w.record.fates {
		if f&inUse != 0 {
			heads++
		}
	}
	switch {
	case w.wrong != nothing:
		return w.wrong
	case lost && m.watches(keyLost):
		return keyLost
	case w.record.fates[active]&abandoned != 0 && !m.personErrs && m.watches(promotedAbandoned):
		return promotedAbandoned
	case (heads != 1 || w.record.fates[w.record.head]&inUse == 0) && m.watches(twoHeads):
		return twoHeads
	}
	return nothing
}

// checkQuiet is what must hold when nothing will happen any more.
func (m *model) checkQuiet(w *world) wrong {
	c, active := &w.record, w.vendor.active
	called := c.row.cause != noCause
	for _, x := range c.retires {
		called = called || x.cause != noCause
	}
	settled := c.row.state == none && c.head == active
	if m.coSigned {
		settled = settled && w.coSigner.current == active && w.coSigner.held[active]
	}
	if !settled && !called && m.watches(unsettled) {
		return unsettled
	}
	for k, s := range w.vendor.sets {
		f := c.fates[k]
		known := set(k) == active || set(k) == c.head || set(k) == w.byHand && k != 0 || c.row.state != none && (c.row.attempt == set(k) || c.row.old == set(k)) || c.retires[k].due
		switch {
		case known || s == absent || s == gone || f&(abandoned|named) == abandoned|named:
		case f&abandoned != 0 && !(m.coSigned && s == ready):
			// Nobody can name it, nor could it be made active.
		case m.watches(leftover):
			return leftover
		}
	}
	return nothing
}

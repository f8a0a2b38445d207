package model

// write is a durable step of replica i: one transaction with its guard, as the
// statements of package store are. A replica that was given up finds no row
// with its epoch, and begins anew under another one; a guard that fails sends
// it back to the record.
func (m *model) write(w world, i int, what string, k set, guard func(*record) bool, apply func(*world, *replica)) {
	r := &w.replicas[i]
	switch {
	case r.zombie && m.rules.on(epochOnEveryWrite):
		*r = replica{}
		m.emit(w, event{by: i, what: what + ": refused, its epoch is over", set: k})
	case !guard(&w.record):
		*r = replica{zombie: r.zombie}
		m.emit(w, event{by: i, what: what + ": refused by the record", set: k})
	default:
		if r.zombie {
			m.blame(&w, staleWrite)
		}
		apply(&w, r)
		m.emit(w, event{by: i, what: what, set: k})
	}
}

// in says whether the attempt on record is k, in one of the states.
func (c *record) in(k set, states ...state) bool {
	for _, s := range states {
		if c.row.state == s {
			return c.row.attempt == k
		}
	}
	return false
}

// use moves the head to a share set, and the mark of what is in use from the
// one that the writer believes to be replaced.
func (m *model) use(w *world, k, replaced set, as fate) {
	c := &w.record
	if c.fates[k]&as&activated != 0 {
		m.blame(w, recordedTwice)
	}
	if c.fates[k]&abandoned != 0 {
		m.blame(w, adoptedAbandoned)
	}
	c.fates[replaced] &^= inUse
	c.fates[k] |= inUse | as
	c.head = k
	if !m.coSigned {
		c.retires[k] = retirement{}
		c.retires[replaced] = retirement{due: true, by: k, committed: as == reconciled}
	}
}

// abandonOnRecord gives the attempt up: it will never be adopted.
func (c *record) abandonOnRecord(sealed cause) {
	k := c.row.attempt
	c.fates[k] |= abandoned
	if c.row.state != opening {
		c.fates[k] |= named
	}
	if c.row.wish == wishDiscard {
		c.row.wish = noWish
	}
	c.row.state, c.row.discard, c.row.sealed, c.row.cause = waiting, true, sealed, noCause
}

// closed takes the rotation off the record.
func (c *record) closed() { c.row = row{} }

// free parks whatever replica i had in hand.
func (c *record) free(i int) {
	if c.row.owner == uint8(i+1) {
		c.row.owner = nobody
	}
	for k := range c.retires {
		if c.retires[k].owner == uint8(i+1) {
			c.retires[k].owner = nobody
		}
	}
}

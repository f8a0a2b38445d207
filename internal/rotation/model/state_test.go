package model

import "github.com/rotatord/rotatord/internal/store"

// The bounds of the search, beside that on faults. Whatever is found lies within
// them.
const (
	maxAttempts = 3 // openings, over all rotations
	maxTicks    = 2 // firings of the schedule that claim the wallet whatever is so
	maxOrders   = 1 // what a person asks for
)

// set is a share set. 0 is the one before the first rotation, n that of the
// n-th attempt: an attempt opens one at most.
type set = uint8

const sets = maxAttempts + 1

const nobody = 0 // owner of what is parked; replica i owns as i+1

// row is the open rotation, as far as a decision hangs on it.
type row struct {
	state   state
	attempt set
	old     set
	owner   uint8
	planned bool // what will be created is on record (vendors that can be searched)
	discard bool // abandoned on record, not yet told to everybody
	halted  bool // parked until a person asks
	sealed  cause
	cause   cause // attention
	wish    wish
}

// state is store.State as a number; none: no rotation is open.
type state uint8

const (
	none state = iota
	waiting
	opening
	ceremony
	prepared
	promoted
	failed
)

var names = map[state]store.State{
	waiting: store.Waiting, opening: store.Opening, ceremony: store.Ceremony,
	prepared: store.Prepared, promoted: store.Promoted, failed: store.Failed,
}

// cause is why a person is called, as far as something hangs on it.
type cause uint8

const (
	noCause   cause = iota
	usedUp          // the next tick tries again
	terminal        // nothing but a person does
	drift           // nothing is cleaned up
	atRisk          // nothing is cleaned up
	shareLost       // the co-signer no longer has what it had prepared
	refused         // the vendor will not promote
)

type wish uint8

const (
	noWish wish = iota
	wishAbort
	wishDiscard
)

// fate is what the history says of a share set.
type fate uint8

const (
	inUse      fate = 1 << iota // the last row that activated something names it
	activated                   // by a promotion
	reconciled                  // found in use
	abandoned
	named // it was abandoned by name
	retired
)

// retirement is an old share set that is to be cleaned up at the vendor.
type retirement struct {
	due       bool
	by        set // what replaced it
	committed bool
	owner     uint8
	cause     cause
}

type record struct {
	row     row
	head    set // the active share set
	made    set // attempts so far
	ticks   uint8
	fates   [sets]fate
	retires [sets]retirement
}

// kept is what the vendor has of a share set.
type kept uint8

const (
	absent  kept = iota
	pending      // its ceremony is not complete
	ready        // it could be made the active one
	used         // it is or was the active one, and signs
	gone
)

type vendor struct {
	active set
	sets   [sets]kept
}

// stage is a ceremony at the co-signer.
type stage uint8

const (
	unheard stage = iota
	running
	durable // prepared
	committed
	aborted
	broken
)

type coSigner struct {
	current set
	stages  [sets]stage
	held    [sets]bool // a share of the set is there
}

// replica is one daemon, with what it believes of the rotation in hand.
type replica struct {
	at    step
	k     set // the attempt in hand, or the set that is cleaned up
	old   set
	heard set   // the vendor's active set, when it was asked last
	cause cause // with which the rotation will be parked or failed
	wish  wish  // that it knows of
	// zombie: it was given up for dead and does not know it.
	zombie bool
	down   bool
	// early: it does something before the record of it, against the rules.
	early bool
}

// world is everything at one moment.
type world struct {
	record   record
	vendor   vendor
	coSigner coSigner
	late     late
	from     [sets]set // that the attempts started from, as their requests say
	replicas [2]replica
	faults   uint8
	orders   uint8
	// doomed are sets whose share the co-signer lost when the vendor used them, or
	// was about to: nobody could help it.
	doomed [sets]bool
	// byHand is a set that somebody made past us. 0: none.
	byHand set
	wrong  wrong
}

// begin is a wallet before its first rotation.
func begin(coSigned bool) world {
	var w world
	w.record.fates[0] = inUse
	w.vendor.sets[0] = used
	if coSigned {
		w.coSigner.stages[0], w.coSigner.held[0] = committed, true
	}
	return w
}

func (s state) String() string {
	if s == none {
		return "closed"
	}
	return string(names[s])
}

package scheduler

import (
	"math/bits"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// Reason says why a wallet does not start. The first two are values of the
// label reason of rotations_skipped_total; the others are no skip, they are
// what a plan shows.
type Reason string

const (
	ReasonPaused Reason = "paused"
	ReasonWindow Reason = "window" // still due for the tick, but its run window is over

	ReasonCurrent Reason = "current" // the latest tick is satisfied
	ReasonJoined  Reason = "joined"  // it came to the policy after the tick
	ReasonNoTick  Reason = "no_tick" // the policy has not ticked yet
	ReasonByHand  Reason = "by_hand" // the policy has no schedule
)

const (
	// catchUpAfter: a tick that fires later than this fell into an outage. It
	// is twice the longest poll, so a lost notification is not taken for one.
	catchUpAfter = time.Minute
	// spreadBlock wallets with neighbouring ids share a slot. Discovery walks
	// ids in order, and a slot per wallet would scatter its reads and writes
	// over the whole table; 256 rows of wallet_state are a handful of pages.
	spreadBlock = 256
	// leadShare is the part of max_share_age that the emergency band may take.
	leadShare = 4
)

// Wallet is what decides when a wallet is due.
type Wallet struct {
	ID int64
	// CycleAt is the tick that was satisfied last; at first, the enrolment. It
	// never goes back.
	CycleAt time.Time
	// EligibleAfter holds back a wallet that joined or changed its policy until
	// the next tick.
	EligibleAfter time.Time
}

// Moment is the state of a wallet's policy, on the database's clock.
type Moment struct {
	Now time.Time
	// Tick is the latest tick that fired; zero: none yet.
	Tick time.Time
	// CatchUp: the tick fell into an outage, see FiredLate.
	CatchUp bool
	// Paused: the wallet, its policy, its provider or everything is paused.
	Paused bool
}

// Decision is the answer to "is this wallet due?". Limits, breakers, canaries
// and the failure budget are the caller's: they say how many of the due
// wallets may start, not which.
type Decision struct {
	Due bool
	// Trigger, when Due.
	Trigger store.Trigger
	// NotBefore, when Due: the wallet's slot in the spread, or the begin of the
	// emergency band. It may lie in the future.
	NotBefore time.Time
	// Reason, when not Due.
	Reason Reason
}

// Due decides whether a wallet is to be rotated, and from when. It reads no
// clock and no database, so every replica comes to the same answer. It is the
// specification of what a sweep claims: the part that must be fast is SQL
// (store.Discover, store.Claim), and TestSweepClaimsWhatIsDue compares the two.
//
// A wallet is due for the latest tick until it has satisfied it, inside the
// run window. In the emergency band it is due outside window and spread too,
// and also when it joined after the tick: the promise is about the share's
// age, not about the policy's memory of it. It only waits until EmergencyTick
// has passed the moment at which it joined.
func Due(w Wallet, s *Spec, m Moment) Decision {
	switch {
	case m.Paused:
		return Decision{Reason: ReasonPaused}
	case s.ByHand():
		return Decision{Reason: ReasonByHand}
	}
	scheduled := dueForTick(w, s, m)
	band, ok := s.EmergencyAt(w.CycleAt)
	if !ok || band.After(m.Now) {
		return scheduled
	}
	if scheduled.Due && !scheduled.NotBefore.After(m.Now) || w.EligibleAfter.After(s.EmergencyTick(m.Now)) {
		return scheduled
	}
	return Decision{Due: true, Trigger: store.Emergency, NotBefore: band}
}

func dueForTick(w Wallet, s *Spec, m Moment) Decision {
	switch {
	case m.Tick.IsZero() || m.Tick.After(m.Now):
		return Decision{Reason: ReasonNoTick}
	case !w.CycleAt.Before(m.Tick):
		return Decision{Reason: ReasonCurrent}
	case w.EligibleAfter.After(m.Tick):
		return Decision{Reason: ReasonJoined}
	case s.Missed(m.Tick, m.Now):
		return Decision{Reason: ReasonWindow}
	}
	d := Decision{Due: true, Trigger: store.Schedule, NotBefore: m.Tick.Add(s.Slot(w.ID))}
	if m.CatchUp {
		d.Trigger = store.CatchUp
	}
	return d
}

// FiredLate says that a tick fired so late that it fell into an outage: its
// cycle is a catch-up.
func FiredLate(tick, fired time.Time) bool {
	return fired.Sub(tick) > catchUpAfter
}

// Slot is how long after a tick a wallet starts: the same at every tick, so
// that its own rotations are one interval apart, and the same for the wallets
// of one block of ids.
func (s *Spec) Slot(walletID int64) time.Duration {
	slot, _ := bits.Mul64(mix(uint64(walletID)/spreadBlock), uint64(s.Spread))
	return time.Duration(slot)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring
// blocks land far apart. It must never change: a release with another one
// would move every wallet's slot.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// EmergencyAt is when the emergency band of a wallet begins: max_share_age
// less a lead, which is one interval, or a quarter of max_share_age if that is
// shorter. ok is false when the policy promises nothing or runs by hand.
func (s *Spec) EmergencyAt(cycleAt time.Time) (at time.Time, ok bool) {
	age, ok := s.emergencyAge()
	return cycleAt.Add(age), ok
}

// EmergencyCutoff turns EmergencyAt around for one range scan: wallets whose
// cycle_at is at or before cutoff are in the band.
func (s *Spec) EmergencyCutoff(now time.Time) (cutoff time.Time, ok bool) {
	age, ok := s.emergencyAge()
	return now.Add(-age), ok
}

func (s *Spec) emergencyAge() (time.Duration, bool) {
	if s.ByHand() || s.MaxShareAge == 0 {
		return 0, false
	}
	return s.MaxShareAge - min(s.Schedule.Interval(), s.MaxShareAge/leadShare), true
}

// EmergencyTick is the tick that an emergency rotation claimed now will
// satisfy: now, cut to the minute, because few distinct values keep sweeps of
// the index dense. Where the promise is a matter of minutes it is cut finer: a
// wallet must not be back in the band as soon as it has left it.
func (s *Spec) EmergencyTick(now time.Time) time.Time {
	age, _ := s.emergencyAge()
	return now.Truncate(min(time.Minute, (age / 8).Truncate(time.Microsecond)))
}

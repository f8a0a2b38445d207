// Package provider is the seam between a rotation and the vendor that holds
// the other half of a wallet's key. A vendor is one implementation of
// [Provider]; nothing outside its own package knows how it is spoken to.
package provider

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrSessionLost says that a ceremony cannot be picked up again because it
// lived in a process that is gone. The attempt is abandoned on record and a
// new one starts from the old share.
var ErrSessionLost = errors.New("the ceremony ended with the process that opened it")

// Wallet is what a provider needs to know of a wallet. It is a copy: a
// provider never changes it.
type Wallet struct {
	ID         int64
	ExternalID string // the vendor's own id: a Dynamic wallet id, a Cobo vault id
	Address    string // as the operator gave it or the baseline recorded it; may be empty before the baseline
	Chain      string // the vendor's name of the chain; may be empty
	Settings   json.RawMessage
}

// Inspection is what the vendor says about a wallet right now. Empty fields
// mean that the vendor does not tell, never that it said "nothing".
type Inspection struct {
	ActiveShareSet string // the vendor's reference of the share set it signs with
	Address        string
	Chain          string
	PublicKey      string // canonical text, comparable byte by byte with an earlier inspection
}

// Attempt is one try to take a wallet from its active share set to the next.
type Attempt struct {
	ID              uuid.UUID // also ceremony id and request id; new for every attempt
	Wallet          Wallet
	OldShareSet     string
	PendingShareSet string // empty until a checkpoint recorded it
	Refs            Refs   // what earlier checkpoints recorded
	// Interval is the shortest time between two rotations of this wallet by its
	// policy's schedule; zero: no schedule rotates it.
	Interval time.Duration
}

// Refs is what a vendor needs to find an attempt again after a crash. It is
// stored with the rotation as JSON and holds no secrets.
type Refs struct {
	// Room is the MPC room of the ceremony, where the vendor has rooms.
	Room string `json:"room,omitempty"`
	// ServerKeygenIDs and NewServerKeygenIDs name the vendor's parties before
	// and after the ceremony.
	ServerKeygenIDs    []string `json:"server_keygen_ids,omitempty"`
	NewServerKeygenIDs []string `json:"new_server_keygen_ids,omitempty"`
	// ShareSet is the pending share set of this attempt. It is kept here after
	// the attempt is abandoned, so that Discard still knows what to take back.
	ShareSet string `json:"share_set,omitempty"`
	// Vendor is anything else, in the provider's own form.
	Vendor json.RawMessage `json:"vendor,omitempty"`
}

// Checkpoint makes what Open has obtained durable before Open goes on. Once a
// checkpoint carried a non-empty pendingShareSet, the rotation is in its
// ceremony. When it returns an error, Open must stop at once and return it.
type Checkpoint func(ctx context.Context, pendingShareSet string, refs Refs) error

// Readiness is the answer to "may this attempt be promoted?".
type Readiness struct {
	// Ready: the vendor said that its side is complete for exactly ShareSet.
	Ready    bool
	ShareSet string
	// PublicKey of the new share set, where the vendor tells it; compared with
	// the baseline when not empty.
	PublicKey string
	// CheckAgain is when to ask again if not ready.
	CheckAgain time.Duration
	// WaitsFor names the people or parties that are waited for, for operators.
	WaitsFor string
}

// Session is a ceremony that is under way in this process.
type Session interface {
	// Await blocks while the vendor keeps the caller informed (Dynamic's event
	// stream), or answers "not yet, look again" (Cobo's approvals). It does not
	// promise that the new shares are durable anywhere.
	Await(ctx context.Context) (Readiness, error)
	// Close releases what the session holds here. It changes nothing at the
	// vendor, and may be called more than once.
	Close() error
}

// Retirement is what is left to do about an old share set.
type Retirement struct {
	Wallet      Wallet
	OldShareSet string
	NewShareSet string // what replaced it
	// ActiveShareSet is the one on record now; a later rotation may have
	// replaced NewShareSet.
	ActiveShareSet string
	// Earlier and Later are the old share sets of the wallet's other retirements
	// that are not done, by whether their swap came before or after this one's.
	// They are for those to clean up. Read at one moment with ActiveShareSet.
	Earlier, Later []string
	Refs           Refs // of the attempt that replaced it; empty if that was found by a look
}

// NotYet is what Retire answers when it goes on at the vendor, or waits for
// something there: the same call is to be made again after CheckAgain. It is no
// failure, whatever its number.
type NotYet struct {
	CheckAgain time.Duration
	// Doing says what goes on, for operators.
	Doing string
	// WaitsFor names the people or parties that are waited for, once somebody
	// should hear of it.
	WaitsFor string
	// Person says that it takes somebody's work, not an approval alone.
	Person bool
}

func (n *NotYet) Error() string {
	if n.WaitsFor != "" {
		return n.Doing + ": waits for " + n.WaitsFor
	}
	return n.Doing
}

// Provider is one configured account at a vendor. Implementations are safe
// for concurrent use. Every error is classified: see [ClassOf].
type Provider interface {
	// CoSigned says whether the customer's share is held by a co-signer that
	// must take part in each ceremony.
	CoSigned() bool

	// Inspect reads the vendor's view of the wallet. It changes nothing. A
	// wallet whose rotation would lose recovery is refused as Terminal, with
	// what was found beside the error.
	Inspect(ctx context.Context, w Wallet) (Inspection, error)

	// Open starts an attempt at the vendor and checkpoints every reference it
	// obtains. An error of class InDoubt means that a pending share set may
	// exist that nobody knows of; any other class means that none does, unless
	// a checkpoint recorded it. Open does not promise that the room is still
	// open when it returns.
	Open(ctx context.Context, a Attempt, checkpoint Checkpoint) (Session, error)

	// Resume finds an attempt again that an earlier process opened. It returns
	// ErrSessionLost when the ceremony died with that process. It never opens
	// anything new.
	Resume(ctx context.Context, a Attempt, checkpoint Checkpoint) (Session, error)

	// Promote asks the vendor to make the pending share set the active one. It
	// may be repeated with the same attempt. A nil error does not prove the
	// swap: only a following Inspect does. InDoubt: the call may have had its
	// effect. Any other class: the vendor refused, the old set is still active
	// as far as this reply tells.
	Promote(ctx context.Context, a Attempt) error

	// Discard takes back what an abandoned attempt left at the vendor. It is
	// called only after the attempt is abandoned on record; doing it twice, or
	// when there is nothing to take back, is not an error. It does not promise
	// that the vendor destroyed anything.
	Discard(ctx context.Context, a Attempt) error

	// RetireAfter is how long an old share set is kept before Retire; ok is
	// false when the vendor needs no clean-up at all.
	RetireAfter(w Wallet) (grace time.Duration, ok bool)

	// Retire cleans up the old share set after its grace period, and what else of
	// before the swap it is configured to. It looks again before it deletes
	// anything, may be repeated, and is: what takes long is answered with
	// [NotYet]. said is what the vendor did, for the history; empty says no more
	// than that it accepted. Retire does not promise that an old share was
	// destroyed.
	Retire(ctx context.Context, r Retirement) (said string, err error)
}

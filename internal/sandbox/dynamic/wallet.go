package dynamic

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/seed"
	"github.com/rotatord/rotatord/internal/sandbox/tally"
)

const twoOfTwo = "TWO_OF_TWO"

// wallet is the vendor's record of one key.
type wallet struct {
	id, address, chain, publicKey string

	scheme     string
	active     *shareSet
	pending    []*shareSet // oldest first
	retired    []*shareSet // oldest first
	generation int

	refreshes  int
	running    int // ceremonies
	peak       int // of running
	promotions tally.Promotions
}

type shareSet struct {
	id       string
	openedAt time.Time
	from     string    // the set that was active when its latest ceremony began
	share    mpc.Share // zero until the ceremony is complete
	complete bool
	asked    bool      // locations was called for it; see assume.PendingOnce
	ceremony *ceremony // the latest one
	backups  []backup
}

// backup is a WalletKeyShareInfo.
type backup struct {
	ID                string `json:"id"`
	BackupLocation    string `json:"backupLocation"`
	PasswordEncrypted bool   `json:"passwordEncrypted"`
	ExternalKeyShare  string `json:"externalKeyShareId,omitempty"`
	KeygenID          string `json:"keygenId,omitempty"`
}

func newWallet(random seed.Source, share mpc.Share, now time.Time) *wallet {
	return &wallet{
		id: random.UUID(), address: share.Address(), chain: share.Chain(), publicKey: share.PublicKeyHex(),
		scheme: twoOfTwo,
		active: &shareSet{
			id: random.UUID(), openedAt: now, share: share, complete: true,
			backups: []backup{{ID: random.UUID(), BackupLocation: "external"}},
		},
		promotions: make(tally.Promotions),
	}
}

// find returns the wallet's active or pending set of this id. The caller holds mu.
func (v *Vendor) find(w *wallet, id string) *shareSet {
	v.expire(w)
	if w.active.id == id {
		return w.active
	}
	for _, s := range w.pending {
		if s.id == id {
			return s
		}
	}
	return nil
}

// addPending opens a new pending set. The caller holds mu.
func (v *Vendor) addPending(w *wallet) *shareSet {
	s := &shareSet{id: uuid.NewString(), openedAt: v.now()}
	w.pending = append(w.pending, s)
	return s
}

// forget takes a set off the pending ones. The caller holds mu.
func (w *wallet) forget(s *shareSet) {
	w.pending = slices.DeleteFunc(w.pending, func(p *shareSet) bool { return p == s })
}

// discard forgets a pending set and fails its room. The caller holds mu.
func (v *Vendor) discard(w *wallet, s *shareSet) {
	w.forget(s)
	if s.ceremony != nil {
		v.rooms.Fail(s.ceremony.room)
	}
}

// expire discards what is too old, where sets expire. The caller holds mu.
func (v *Vendor) expire(w *wallet) {
	if !v.assume.Is(assume.PendingSets, assume.Expire) {
		return
	}
	for _, s := range slices.Clone(w.pending) {
		if v.now().Sub(s.openedAt) >= pendingLifetime {
			v.discard(w, s)
		}
	}
}

// swap makes a complete pending set the active one. The caller holds mu.
func (v *Vendor) swap(w *wallet, s *shareSet, backups []backup) {
	w.forget(s)
	w.retired = append(w.retired, w.active)
	w.active = s
	s.backups = backups
	w.generation++
	w.promotions.Of(s.id).Effects++
}

// signs says whether the vendor would use this set to sign: under
// dies_at_ceremony_end the active set does not once a set made from it is
// complete. The caller holds mu.
func (v *Vendor) signs(w *wallet, s *shareSet) bool {
	if s != w.active || !v.assume.Is(assume.OldShare, assume.DiesAtCeremonyEnd) {
		return s.complete
	}
	return !slices.ContainsFunc(w.pending, func(p *shareSet) bool { return p.complete && p.from == s.id })
}

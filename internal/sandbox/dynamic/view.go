package dynamic

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// View is the truth about one wallet, the vendor's shares included. It is for
// the sandbox's own verdicts and never leaves the process.
type View struct {
	ID, Address, Chain, PublicKey string
	Generation                    int
	Active                        SetView
	Pending                       []SetView // oldest first
	Retired                       []SetView // oldest first
}

// SetView is one share set. Share is zero while its ceremony is not complete.
type SetView struct {
	ID    string
	Share mpc.Share
	Signs bool // the vendor would sign with it
}

// View of one wallet; ok is false if there is none.
func (v *Vendor) View(id string) (view View, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.byID[id]
	if w == nil {
		return View{}, false
	}
	return v.view(w), true
}

// Views of all wallets, in the order they were made.
func (v *Vendor) Views() []View {
	v.mu.Lock()
	defer v.mu.Unlock()
	views := make([]View, len(v.wallets))
	for i, w := range v.wallets {
		views[i] = v.view(w)
	}
	return views
}

func (v *Vendor) view(w *wallet) View {
	v.expire(w)
	view := View{
		ID: w.id, Address: w.address, Chain: w.chain, PublicKey: w.publicKey, Generation: w.generation,
		Active: SetView{w.active.id, w.active.share, v.signs(w, w.active)},
	}
	for _, s := range w.pending {
		view.Pending = append(view.Pending, SetView{s.id, s.share, v.signs(w, s)})
	}
	for _, s := range w.retired {
		view.Retired = append(view.Retired, SetView{s.id, s.share, false})
	}
	return view
}

// Shape is what a wallet's rotation may be refused for.
type Shape struct {
	// Scheme is a threshold signature scheme: TWO_OF_TWO and so on. The sandbox
	// shows it; its arithmetic stays two-party.
	Scheme string `json:"threshold_signature_scheme"`
	// Backups are the backup locations of the active set.
	Backups []string `json:"backup_locations"`
	// PasswordEncrypted is shown with each of them.
	PasswordEncrypted bool `json:"password_encrypted"`
}

// SetShape changes what the vendor tells of a wallet's scheme and backups.
// Empty fields change nothing.
func (v *Vendor) SetShape(walletID string, shape Shape) error {
	schemes := map[string]bool{"": true, twoOfTwo: true, "TWO_OF_THREE": true, "THREE_OF_FIVE": true}
	if !schemes[shape.Scheme] {
		return fmt.Errorf("unknown threshold signature scheme %q", shape.Scheme)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.byID[walletID]
	if w == nil {
		return errors.New("no such wallet")
	}
	if shape.Scheme != "" {
		w.scheme = shape.Scheme
	}
	if len(shape.Backups) > 0 {
		w.active.backups = nil
		for _, name := range shape.Backups {
			w.active.backups = append(w.active.backups,
				backup{ID: uuid.NewString(), BackupLocation: name, PasswordEncrypted: shape.PasswordEncrypted})
		}
	}
	return nil
}

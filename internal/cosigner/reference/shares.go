package reference

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// KeptStatus says why a share is held.
type KeptStatus string

const (
	KeptCurrent  KeptStatus = "current"
	KeptPrepared KeptStatus = "prepared"
	KeptRetired  KeptStatus = "retired" // was current; in its grace period
	KeptAborted  KeptStatus = "aborted" // prepared once; kept all the same
)

// Kept is a share that can be selected for signing by its share set.
type Kept struct {
	ShareSetID string
	CeremonyID uuid.UUID // that made it; nil UUID for an imported one
	Status     KeptStatus
	Share      mpc.Share
	DropAfter  time.Time // zero while no end is in sight
}

// Import takes a share into custody that was made elsewhere, as the wallet's
// current one. Doing it again with the same share is fine; another share or
// share set for a wallet that has one is refused.
func (s *Server) Import(provider, wallet, shareSetID string, share mpc.Share) error {
	if provider == "" || wallet == "" || shareSetID == "" || share.IsZero() {
		return errors.New("importing a share: provider, wallet, share set and share are needed")
	}
	w, err := s.place(provider, wallet)
	if err != nil {
		return fmt.Errorf("importing a share: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.journal.Version != 0 {
		held, err := w.load(w.journal.Current)
		if err != nil {
			return fmt.Errorf("importing a share: %w", err)
		}
		if w.journal.Current.ShareSetID != shareSetID || held.Fingerprint() != share.Fingerprint() {
			return fmt.Errorf("importing a share: %w: the wallet has another one", errConflict)
		}
		return nil
	}
	if err := s.disk.makeFolder(s.folder, folderName(provider, wallet)); err != nil {
		return fmt.Errorf("importing a share: %w", err)
	}
	ref := shareRef{ShareSetID: shareSetID}
	if err := w.store(ref, share, s.options.Now()); err != nil {
		return fmt.Errorf("importing a share: %w", err)
	}
	if err := w.save(journal{Version: formatVersion, Provider: provider, Wallet: wallet, Current: ref}); err != nil {
		return fmt.Errorf("importing a share: %w", err)
	}
	return nil
}

// place is the wallet's, made if it is new. Its folder comes with the import.
func (s *Server) place(provider, name string) (*wallet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	folder := folderName(provider, name)
	if s.wallets[folder] == nil {
		s.wallets[folder] = newWallet(s.folder, folder, s.disk)
		s.wallets[folder].provider, s.wallets[folder].name = provider, name
	}
	return s.wallets[folder], nil
}

// Shares are all that is held for a wallet, read from disk: the share set that
// is current (empty if its share is lost), and for each share set the share
// that signs for it. Where two ceremonies led to the same set, that is the
// current one, else the newest prepared one.
func (s *Server) Shares(provider, wallet string) (current string, held map[string]Kept, err error) {
	w, err := s.wallet(provider, wallet)
	if err != nil {
		return "", nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.sweep(w)
	all, err := w.holdings()
	if err != nil {
		return "", nil, err
	}
	held = make(map[string]Kept, len(all))
	for _, k := range all {
		if _, taken := held[k.ShareSetID]; !taken {
			held[k.ShareSetID] = k
		}
		if k.Status == KeptCurrent {
			current = k.ShareSetID
		}
	}
	return current, held, nil
}

// holdings: the current share, prepared ones, retired ones, aborted ones, each
// newest first.
func (w *wallet) holdings() ([]Kept, error) {
	all, err := w.kept()
	if err != nil {
		return nil, err
	}
	for _, r := range append([]retired{{shareRef: w.journal.Current}}, w.journal.Retired...) {
		share, err := w.load(r.shareRef)
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return nil, err
		}
		status := KeptRetired
		if r.shareRef == w.journal.Current {
			status = KeptCurrent
		}
		all = append(all, Kept{
			ShareSetID: r.ShareSetID, CeremonyID: r.CeremonyID, Status: status, Share: share, DropAfter: r.DropAfter,
		})
	}
	order := []KeptStatus{KeptCurrent, KeptPrepared, KeptRetired, KeptAborted}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b Kept) int {
		return cmp.Compare(slices.Index(order, a.Status), slices.Index(order, b.Status))
	})
	return all, nil
}

// LoseState is a fault: the files of all prepared and aborted shares vanish, as
// after a restore from an old backup; with all, those of every share.
func (s *Server) LoseState(provider, wallet string, all bool) error {
	w, err := s.wallet(provider, wallet)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var lose []shareRef
	for _, r := range w.journal.Ceremonies {
		if all || r.State == cosigner.Prepared || r.State == cosigner.Aborted {
			lose = append(lose, r.ref())
		}
	}
	if all {
		lose = append(lose, w.journal.Current)
		for _, r := range w.journal.Retired {
			lose = append(lose, r.shareRef)
		}
	}
	for _, ref := range lose {
		if err := w.disk.remove(w.folder, ref.fileName()); err != nil {
			return fmt.Errorf("losing a share: %w", err)
		}
	}
	return nil
}

// WrongPublicKey is a fault: while it is on, the answers about the wallet's
// ceremonies tell another public key than the shares have.
func (s *Server) WrongPublicKey(provider, wallet string, on bool) error {
	w, err := s.wallet(provider, wallet)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrongKey = on
	return nil
}

func (s *Server) walletStatus(provider, name string) (cosigner.WalletStatus, error) {
	w, err := s.wallet(provider, name)
	if err != nil {
		return cosigner.WalletStatus{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.sweep(w)
	return w.walletStatus()
}

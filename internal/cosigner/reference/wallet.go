package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// errLost: the journal names a share whose file is not there.
var errLost = errors.New("the share is lost")

// wallet is one folder. What follows mu is guarded by it; it is held while
// files are written: one wallet does one thing at a time.
type wallet struct {
	provider, name string
	folder         string
	disk           disk

	mu sync.Mutex
	// journal as on disk, but for ceremonies that have come to their end since:
	// what the share files tell need not be written. Its version is 0 until
	// the wallet's first import has succeeded.
	journal journal
	// runs has the ceremonies whose room this process is in; the channel is
	// closed at the end. An aborted ceremony may still be here.
	runs map[uuid.UUID]chan struct{}
	// wrongKey is a fault: see Server.WrongPublicKey.
	wrongKey bool
}

func newWallet(parent, folder string, d disk) *wallet {
	return &wallet{folder: filepath.Join(parent, folder), disk: d, runs: make(map[uuid.UUID]chan struct{})}
}

// save makes next the journal. On an error the old one stays in force here;
// what is on disk may be either, and the next save decides.
func (w *wallet) save(next journal) error {
	text, err := json.MarshalIndent(next, "", "\t")
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if err := w.disk.write(w.folder, journalName, text); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	w.journal = next
	return nil
}

// store makes a share durable beside the others.
func (w *wallet) store(ref shareRef, share mpc.Share, now time.Time) error {
	text, err := json.Marshal(shareFile{
		Version: formatVersion, Provider: w.provider, Wallet: w.name, ShareSetID: ref.ShareSetID, CeremonyID: ref.CeremonyID,
		StoredAt: now, Share: share,
	})
	if err != nil {
		return fmt.Errorf("storing the share: %w", err)
	}
	if err := w.disk.write(w.folder, ref.fileName(), text); err != nil {
		return fmt.Errorf("storing the share: %w", err)
	}
	return nil
}

// load reads a share back; errLost if there is no file.
func (w *wallet) load(ref shareRef) (mpc.Share, error) {
	text, err := os.ReadFile(filepath.Join(w.folder, ref.fileName()))
	if errors.Is(err, fs.ErrNotExist) {
		return mpc.Share{}, errLost
	}
	if err != nil {
		return mpc.Share{}, fmt.Errorf("reading a share: %w", err)
	}
	f, err := decodeShareFile(text)
	if err != nil {
		return mpc.Share{}, fmt.Errorf("reading a share: %s: %w", ref.fileName(), err)
	}
	if f.ref() != ref || f.Provider != w.provider || f.Wallet != w.name {
		return mpc.Share{}, fmt.Errorf("reading a share: %s belongs to another share set or wallet", ref.fileName())
	}
	return f.Share, nil
}

// status of a ceremony, derived from its share.
func (w *wallet) status(r record) (cosigner.Status, error) {
	status := cosigner.Status{
		CeremonyID: r.Request.CeremonyID,
		State:      r.State,
		ShareSetID: r.Request.ShareSetID,
		Error:      r.Error,
	}
	if r.State == cosigner.Running || r.State == cosigner.Failed {
		return status, nil
	}
	share, err := w.load(r.ref())
	switch {
	case err == nil:
		status.Address = share.Address()
		status.PublicKey = w.publicKey(share)
		status.KeygenIDs = []string{share.KeygenID()}
		status.Fingerprint = share.Fingerprint()
	case !errors.Is(err, errLost):
		return cosigner.Status{}, err
	case r.State == cosigner.Committed && r.Dropped:
		status.Fingerprint = r.Fingerprint
	case r.State != cosigner.Aborted:
		// Whatever was said before: nobody may build on this share now.
		status.State, status.Error = cosigner.Failed, errLost.Error()
	}
	return status, nil
}

// publicKey tells another key while that fault is on.
func (w *wallet) publicKey(share mpc.Share) string {
	key := share.PublicKeyHex()
	if !w.wrongKey {
		return key
	}
	first := "0"
	if key[:1] == first {
		first = "1"
	}
	return first + key[1:]
}

// kept are the shares beside the current one that a ceremony prepared, newest
// last.
func (w *wallet) kept() ([]Kept, error) {
	var out []Kept
	for _, r := range w.journal.Ceremonies {
		if r.Dropped || r.State != cosigner.Prepared && r.State != cosigner.Aborted {
			continue
		}
		share, err := w.load(r.ref())
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return nil, err
		}
		status := KeptPrepared
		if r.State == cosigner.Aborted {
			status = KeptAborted
		}
		out = append(out, Kept{
			ShareSetID: r.Request.ShareSetID, CeremonyID: r.Request.CeremonyID,
			Status: status, Share: share, DropAfter: r.DropAfter,
		})
	}
	return out, nil
}

// walletStatus is what the shares on disk amount to; errUnknown if there are
// none.
func (w *wallet) walletStatus() (cosigner.WalletStatus, error) {
	kept, err := w.kept()
	if err != nil {
		return cosigner.WalletStatus{}, err
	}
	status := cosigner.WalletStatus{Prepared: []cosigner.PreparedShare{}}
	for _, k := range kept {
		state := cosigner.Prepared
		if k.Status == KeptAborted {
			state = cosigner.Aborted
		}
		status.Prepared = append(status.Prepared, cosigner.PreparedShare{
			CeremonyID: k.CeremonyID, ShareSetID: k.ShareSetID, Fingerprint: k.Share.Fingerprint(), State: state,
		})
	}
	share, err := w.load(w.journal.Current)
	switch {
	case err == nil:
		status.CurrentShareSetID = w.journal.Current.ShareSetID
	case !errors.Is(err, errLost):
		return cosigner.WalletStatus{}, err
	case len(kept) == 0:
		return cosigner.WalletStatus{}, fmt.Errorf("%w: no share of this wallet is held", errUnknown)
	default:
		share = kept[len(kept)-1].Share
	}
	status.Address = share.Address()
	status.PublicKey = share.PublicKeyHex()
	if status.CurrentShareSetID != "" {
		status.KeygenIDs = []string{share.KeygenID()}
	}
	return status, nil
}

package reference

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// recover reads every wallet's folder after whatever happened before.
func (s *Server) recover(dir string) error {
	if err := s.disk.makeFolder(dir, filepath.Base(s.folder)); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := s.recoverWallet(entry.Name()); err != nil {
			return fmt.Errorf("recovering %s: %w", entry.Name(), err)
		}
	}
	return nil
}

func (s *Server) recoverWallet(name string) error {
	w := newWallet(s.folder, name, s.disk)
	if err := removeTemps(w); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(w.folder, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		// An import ended between its share and its journal; nobody was told
		// that it succeeded. The share stays where it is.
		s.log.Warn("a wallet's folder has no journal: its import did not finish", "folder", name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	if w.journal, err = decodeJournal(text); err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	if folderName(w.journal.Provider, w.journal.Wallet) != name {
		return errors.New("reading the journal: it is another wallet's")
	}
	// A file may have been renamed into its place without the folder having
	// been synced. Before anybody is told of it, it must be there for good.
	if err := s.disk.syncFolder(w.folder); err != nil {
		return err
	}
	w.provider, w.name = w.journal.Provider, w.journal.Wallet
	if err := w.settle(); err != nil {
		return err
	}
	if err := w.finishDropping(); err != nil {
		return err
	}
	s.wallets[name] = w
	for _, r := range w.journal.Ceremonies {
		s.owners[r.Request.CeremonyID] = w
	}
	if w.hasDrops() {
		s.sweeping[w] = struct{}{}
	}
	return nil
}

// removeTemps: a file that was never renamed into its place was never relied
// upon by anybody.
func removeTemps(w *wallet) error {
	entries, err := os.ReadDir(w.folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), tempSuffix) {
			if err := w.disk.remove(w.folder, entry.Name()); err != nil {
				return fmt.Errorf("removing an unfinished file: %w", err)
			}
		}
	}
	return nil
}

// settle decides what became of the ceremonies that were in their room when
// the process ended. One that was running is prepared if its share is durable;
// if not it has failed, since nobody is in its room any more.
func (w *wallet) settle() error {
	for i := range w.journal.Ceremonies {
		r := &w.journal.Ceremonies[i]
		if r.State != cosigner.Running && r.State != cosigner.Aborted || r.Dropped {
			continue
		}
		_, err := os.Stat(filepath.Join(w.folder, r.ref().fileName()))
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("looking for a share: %w", err)
		case r.State == cosigner.Aborted:
			r.Dropped = err != nil
		case err == nil:
			r.State = cosigner.Prepared
		default:
			r.State, r.Error = cosigner.Failed, "the co-signer's process ended during the ceremony"
		}
	}
	return nil
}

// finishDropping removes what the journal gave free. It looks once more that
// nothing relies on it.
func (w *wallet) finishDropping() error {
	for _, ref := range w.journal.Dropping {
		if w.journal.needs(ref) {
			return fmt.Errorf("the journal would drop share set %s, which it needs", ref.ShareSetID)
		}
		if err := w.disk.remove(w.folder, ref.fileName()); err != nil {
			return fmt.Errorf("dropping a share: %w", err)
		}
	}
	w.journal.Dropping = nil
	return nil
}

// needs says whether a share may not be dropped.
func (j *journal) needs(ref shareRef) bool {
	return ref == j.Current ||
		slices.ContainsFunc(j.Retired, func(r retired) bool { return r.shareRef == ref }) ||
		slices.ContainsFunc(j.Ceremonies, func(r record) bool { return r.ref() == ref && !r.Dropped })
}

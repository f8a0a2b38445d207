package reference

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// ask tells how a ceremony stands.
func (s *Server) ask(id uuid.UUID) (cosigner.Status, error) {
	return s.decide(id, func(w *wallet, r record) error { return nil })
}

// commit makes the new share current and retires the old one.
func (s *Server) commit(id uuid.UUID, c cosigner.Commit) (cosigner.Status, error) {
	return s.decide(id, func(w *wallet, r record) error { return s.commitShare(w, r, c) })
}

// abort marks a ceremony. It leaves the room to its own end.
func (s *Server) abort(id uuid.UUID) (cosigner.Status, error) {
	return s.decide(id, func(w *wallet, r record) error {
		switch r.State {
		case cosigner.Committed:
			return fmt.Errorf("%w: the ceremony is committed", errConflict)
		case cosigner.Aborted, cosigner.Failed:
			return nil
		}
		next := w.journal.clone()
		next.find(id).State = cosigner.Aborted
		s.log.Info("ceremony aborted", "ceremony", id, "was", r.State)
		return w.save(next)
	})
}

// decide runs act with the wallet's lock held, then tells how the ceremony
// stands.
func (s *Server) decide(id uuid.UUID, act func(*wallet, record) error) (cosigner.Status, error) {
	w, err := s.owner(id)
	if err != nil {
		return cosigner.Status{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.sweep(w)
	r := w.journal.find(id)
	if r == nil {
		return cosigner.Status{}, fmt.Errorf("%w: no such ceremony", errUnknown)
	}
	if err := act(w, *r); err != nil {
		return cosigner.Status{}, err
	}
	return w.status(*w.journal.find(id))
}

func (s *Server) commitShare(w *wallet, r record, c cosigner.Commit) error {
	if c.ShareSetID != r.Request.ShareSetID {
		return fmt.Errorf("%w: the ceremony is for another share set", errConflict)
	}
	if r.State != cosigner.Prepared && r.State != cosigner.Committed {
		return fmt.Errorf("%w: the ceremony is %s", errConflict, r.State)
	}
	// What is read back from the disk is what will sign; nothing else counts.
	share, err := w.load(r.ref())
	fingerprint := r.Fingerprint
	switch {
	case err == nil:
		fingerprint = share.Fingerprint()
	case errors.Is(err, errLost) && !r.Dropped:
		return fmt.Errorf("%w: the new share is lost", errConflict)
	case !errors.Is(err, errLost):
		return err
	}
	if c.Fingerprint != fingerprint {
		return fmt.Errorf("%w: the share is another one", errConflict)
	}
	if r.State == cosigner.Committed {
		return nil
	}
	if w.journal.Current.ShareSetID != r.Request.PreviousShareSetID {
		return fmt.Errorf("%w: the previous share set is not the current one", errConflict)
	}
	if err := w.save(w.journal.clone().committed(r.ref(), fingerprint, s.options)); err != nil {
		return err
	}
	s.keepSweeping(w)
	s.log.Info("share set committed", "ceremony", r.Request.CeremonyID, "provider", w.provider, "wallet", w.name,
		"share_set", r.Request.ShareSetID, "retired", r.Request.PreviousShareSetID)
	return nil
}

// committed is the journal with the share of ref as the current one. Every
// share of a different set is to go when the grace period is over, and no
// other ceremony can be committed any more: each of them started from the
// share set that is now retired.
func (j journal) committed(ref shareRef, fingerprint string, o Options) journal {
	dropAfter := o.Now().Add(o.Grace)
	j.Retired = append(j.Retired, retired{shareRef: j.Current, DropAfter: dropAfter})
	j.Current = ref
	for i := range j.Ceremonies {
		r := &j.Ceremonies[i]
		switch {
		case r.ref() == ref:
			r.State, r.Fingerprint = cosigner.Committed, fingerprint
			continue
		case r.State == cosigner.Prepared || r.State == cosigner.Running:
			r.State, r.Error = cosigner.Aborted, "share set "+ref.ShareSetID+" was committed instead"
		}
		// Committed ones are current or retired, and have their time there.
		if r.State == cosigner.Aborted && r.Request.ShareSetID != ref.ShareSetID && r.DropAfter.IsZero() {
			r.DropAfter = dropAfter
		}
	}
	return j
}

package reference

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
	"github.com/rotatord/rotatord/internal/sandbox/relay"
)

// start takes part in a ceremony, waits at most Options.Wait for its end, and
// tells how it stands.
func (s *Server) start(ctx context.Context, c cosigner.Ceremony) (cosigner.Status, error) {
	if err := checkCeremony(c); err != nil {
		return cosigner.Status{}, err
	}
	w, ended, err := s.begin(c)
	if err != nil {
		return cosigner.Status{}, err
	}
	if ended != nil && s.options.Wait > 0 {
		patience := time.NewTimer(s.options.Wait)
		defer patience.Stop()
		select {
		case <-ended:
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.journal.find(c.CeremonyID)
	if r == nil {
		return cosigner.Status{}, fmt.Errorf("%w: no such ceremony", errUnknown)
	}
	return w.status(*r)
}

func checkCeremony(c cosigner.Ceremony) error {
	if c.CeremonyID == uuid.Nil {
		return fmt.Errorf("%w: a ceremony needs an id", errInvalid)
	}
	for _, text := range []string{c.Provider, c.Wallet, c.RoomID, c.ShareSetID, c.PreviousShareSetID} {
		if text == "" {
			return fmt.Errorf("%w: provider, wallet, room and both share sets are needed", errInvalid)
		}
	}
	return nil
}

// begin puts the ceremony on record and goes into its room, unless both has
// happened before. The channel is closed when the room is left; nil: it was.
func (s *Server) begin(c cosigner.Ceremony) (*wallet, <-chan struct{}, error) {
	if w, err := s.owner(c.CeremonyID); err == nil {
		if ended, found, err := w.again(c); found || err != nil {
			return w, ended, err
		}
	}
	w, err := s.wallet(c.Provider, c.Wallet)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Check again after the lock: the same call may have come twice.
	if r := w.journal.find(c.CeremonyID); r != nil {
		return w, w.runs[c.CeremonyID], sameRequest(*r, c)
	}
	old, err := w.mayBegin(c)
	if err != nil {
		return nil, nil, err
	}
	if err := s.claim(c.CeremonyID, w); err != nil {
		return nil, nil, err
	}
	next, forgotten := w.journal.clone().forgetOldest()
	next.Ceremonies = append(next.Ceremonies, record{Request: c, State: cosigner.Running, StartedAt: s.options.Now()})
	if err := w.save(next); err != nil {
		s.disown(c.CeremonyID)
		return nil, nil, err
	}
	s.disown(forgotten...)
	ended := make(chan struct{})
	if !s.goUnlessClosed(func() { s.run(w, c, old, ended) }) {
		w.journal.find(c.CeremonyID).State = cosigner.Failed
		return nil, nil, errClosed
	}
	w.runs[c.CeremonyID] = ended
	s.log.Info("ceremony started", "ceremony", c.CeremonyID, "provider", c.Provider, "wallet", c.Wallet, "share_set", c.ShareSetID)
	return w, ended, nil
}

// again is for a ceremony that is known by its id.
func (w *wallet) again(c cosigner.Ceremony) (ended <-chan struct{}, found bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.journal.find(c.CeremonyID)
	if r == nil {
		return nil, false, nil
	}
	return w.runs[c.CeremonyID], true, sameRequest(*r, c)
}

func sameRequest(r record, c cosigner.Ceremony) error {
	a, b := r.Request, c
	same := a.CeremonyID == b.CeremonyID && a.Provider == b.Provider && a.Wallet == b.Wallet &&
		a.Address == b.Address && a.Chain == b.Chain && a.RoomID == b.RoomID &&
		a.ShareSetID == b.ShareSetID && a.PreviousShareSetID == b.PreviousShareSetID &&
		slices.Equal(a.ServerKeygenIDs, b.ServerKeygenIDs) && slices.Equal(a.NewServerKeygenIDs, b.NewServerKeygenIDs)
	if !same {
		return fmt.Errorf("%w: the id was used for another ceremony", errConflict)
	}
	return nil
}

// mayBegin checks a new ceremony against what is held, and returns the current
// share.
func (w *wallet) mayBegin(c cosigner.Ceremony) (mpc.Share, error) {
	if w.journal.Version == 0 {
		return mpc.Share{}, fmt.Errorf("%w: no share of this wallet is held", errUnknown)
	}
	if w.journal.Current.ShareSetID != c.PreviousShareSetID {
		return mpc.Share{}, fmt.Errorf("%w: the previous share set is not the current one", errConflict)
	}
	if w.journal.Current.ShareSetID == c.ShareSetID ||
		slices.ContainsFunc(w.journal.Retired, func(r retired) bool { return r.ShareSetID == c.ShareSetID }) {
		return mpc.Share{}, fmt.Errorf("%w: the new share set is current or was", errConflict)
	}
	if slices.ContainsFunc(w.journal.Ceremonies, func(r record) bool { return r.State == cosigner.Running }) {
		return mpc.Share{}, fmt.Errorf("%w: another ceremony of the wallet is running", errConflict)
	}
	share, err := w.load(w.journal.Current)
	if errors.Is(err, errLost) {
		return mpc.Share{}, fmt.Errorf("%w: the current share is lost", errConflict)
	}
	return share, err
}

// forgetOldest makes room for one more record. Only ceremonies that left no
// share are forgotten: repeated later, their start is refused or joins a room
// that is gone.
func (j journal) forgetOldest() (journal, []uuid.UUID) {
	var forgotten []uuid.UUID
	excess := len(j.Ceremonies) + 1 - maxRecords
	j.Ceremonies = slices.DeleteFunc(j.Ceremonies, func(r record) bool {
		if excess <= 0 || r.State != cosigner.Failed && !r.Dropped || r.ref() == j.Current {
			return false
		}
		excess--
		forgotten = append(forgotten, r.Request.CeremonyID)
		return true
	})
	return j, forgotten
}

// claim gives a ceremony id to one wallet for good.
func (s *Server) claim(id uuid.UUID, w *wallet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner := s.owners[id]; owner != nil && owner != w {
		return fmt.Errorf("%w: the id was used for another ceremony", errConflict)
	}
	s.owners[id] = w
	return nil
}

func (s *Server) disown(ids ...uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.owners, id)
	}
}

// goUnlessClosed starts f so that Close waits for it.
func (s *Server) goUnlessClosed(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(f)
	return true
}

// run is one ceremony, from the room to the share on disk.
func (s *Server) run(w *wallet, c cosigner.Ceremony, old mpc.Share, ended chan<- struct{}) {
	defer close(ended)
	ctx, cancel := context.WithTimeout(s.ctx, s.options.CeremonyTimeout)
	defer cancel()
	share, err := relay.Join(ctx, s.options.RelayURL, c.RoomID, relay.Client, old)
	if err == nil && share.PublicKeyHex() != old.PublicKeyHex() {
		err = errors.New("the new share is of another public key")
	}
	s.disk.at("joined")

	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.runs, c.CeremonyID)
	r := w.journal.find(c.CeremonyID)
	if err == nil {
		err = w.store(r.ref(), share, s.options.Now())
	}
	log := s.log.With("ceremony", c.CeremonyID, "provider", c.Provider, "wallet", c.Wallet)
	switch {
	case r.State != cosigner.Running:
		// Without a share there is nothing to remember; the next save writes it.
		r.Dropped = r.Dropped || err != nil
		log.Info("aborted ceremony ended", "share_kept", err == nil)
	case err != nil:
		log.Warn("ceremony failed", "error", err)
		next := w.journal.clone()
		failed := next.find(c.CeremonyID)
		failed.State, failed.Error = cosigner.Failed, err.Error()
		if err := w.save(next); err != nil {
			// Unwritten, it is found to have failed at the next start.
			log.Error("recording the failure", "error", err)
			w.journal = next
		}
	default:
		r.State = cosigner.Prepared
		log.Info("ceremony prepared", "share_set", c.ShareSetID)
	}
}

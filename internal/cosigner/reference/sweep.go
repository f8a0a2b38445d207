package reference

import (
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// sweepLoop drops what nobody asks about any more. Every answer sweeps its own
// wallet first, so that what is told never depends on this loop's pace.
func (s *Server) sweepLoop() {
	tick := time.NewTicker(min(max(s.options.Grace/10, 100*time.Millisecond), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		wallets := make([]*wallet, 0, len(s.sweeping))
		for w := range s.sweeping {
			wallets = append(wallets, w)
		}
		s.mu.Unlock()
		for _, w := range wallets {
			w.mu.Lock()
			s.sweep(w)
			w.mu.Unlock()
		}
	}
}

// keepSweeping is called with the wallet's lock held, like sweep.
func (s *Server) keepSweeping(w *wallet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.hasDrops() {
		s.sweeping[w] = struct{}{}
	} else {
		delete(s.sweeping, w)
	}
}

// hasDrops says whether something is to be dropped, now or later.
func (w *wallet) hasDrops() bool {
	return len(w.journal.Retired) > 0 || slices.ContainsFunc(w.journal.Ceremonies, func(r record) bool {
		return !r.Dropped && !r.DropAfter.IsZero()
	})
}

// sweep drops the shares whose grace period is over. The point of no return is
// here, so it looks first that the current share can be read; what cannot be
// done now is left for the next time.
func (s *Server) sweep(w *wallet) {
	now := s.options.Now()
	over := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	next := w.journal.clone()
	next.Retired = slices.DeleteFunc(next.Retired, func(r retired) bool {
		if !over(r.DropAfter) {
			return false
		}
		next.Dropping = append(next.Dropping, r.shareRef)
		if made := next.find(r.CeremonyID); made != nil {
			made.Dropped = true
		}
		return true
	})
	for i := range next.Ceremonies {
		r := &next.Ceremonies[i]
		// An aborted one that is still in its room may yet leave a share.
		_, inRoom := w.runs[r.Request.CeremonyID]
		if r.State == cosigner.Aborted && !r.Dropped && over(r.DropAfter) && !inRoom {
			r.Dropped = true
			next.Dropping = append(next.Dropping, r.ref())
		}
	}
	if len(next.Dropping) == 0 {
		return
	}
	log := s.log.With("provider", w.provider, "wallet", w.name)
	if _, err := w.load(w.journal.Current); err != nil {
		log.Error("keeping old shares: the current one cannot be read", "error", err)
		return
	}
	if err := w.save(next); err != nil {
		log.Error("dropping old shares", "error", err)
		return
	}
	dropped := len(next.Dropping)
	if err := w.finishDropping(); err != nil {
		log.Error("dropping old shares", "error", err)
		return
	}
	s.keepSweeping(w)
	log.Info("dropped old shares", "count", dropped)
}

package rotation

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
)

// peers is a vendor of the other kind: the customer's party talks to it
// directly, the daemon has no co-signer to ask, people have to approve, and an
// attempt outlives the process that opened it. Underneath are the sandbox's
// vendor and co-signer, so that the shares and the swap are real.
type peers struct {
	provider.Provider
	rig *rig

	mu       sync.Mutex
	approved bool
	resume   error // what Resume meets with
	live     map[uuid.UUID]*peerRoom
}

type peerRoom struct {
	provider.Session
	peers  *peers
	a      provider.Attempt
	status cosigner.Status
}

func (r *rig) peers() *peers {
	p := &peers{Provider: r.spy, rig: r, live: map[uuid.UUID]*peerRoom{}}
	r.options.Providers = map[string]provider.Provider{"dynamic": p}
	r.options.CoSigner = func(string, string) *cosigner.Client { return nil }
	r.t.Cleanup(func() {
		for _, room := range p.live {
			if err := room.Session.Close(); err != nil {
				r.t.Error(err)
			}
		}
	})
	return p
}

func (p *peers) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *peers) CoSigned() bool { return false }

// Inspect tells the public key, as such vendors do.
func (p *peers) Inspect(ctx context.Context, w provider.Wallet) (provider.Inspection, error) {
	v, err := p.Provider.Inspect(ctx, w)
	if err != nil {
		return v, err
	}
	held, err := p.rig.signer.Wallet(ctx, "dynamic", w.ExternalID)
	v.PublicKey = held.PublicKey
	return v, err
}

func (p *peers) Open(ctx context.Context, a provider.Attempt, c provider.Checkpoint) (provider.Session, error) {
	session, err := p.Provider.Open(ctx, a, func(ctx context.Context, pending string, refs provider.Refs) error {
		a.PendingShareSet, a.Refs = pending, refs
		return c(ctx, pending, refs)
	})
	if err != nil {
		return nil, err
	}
	w := p.rig.truth(0)
	status, err := p.rig.signer.Start(ctx, cosigner.Ceremony{CeremonyID: a.ID, Provider: "dynamic", Wallet: a.Wallet.ExternalID,
		Address: w.Address, Chain: w.Chain, RoomID: a.Refs.Room, ShareSetID: a.PendingShareSet, PreviousShareSetID: a.OldShareSet,
		ServerKeygenIDs: a.Refs.ServerKeygenIDs, NewServerKeygenIDs: a.Refs.NewServerKeygenIDs})
	if err != nil {
		return nil, err
	}
	room := &peerRoom{session, p, a, status}
	p.set(func() { p.live[a.ID] = room })
	return room, nil
}

func (p *peers) Resume(_ context.Context, a provider.Attempt, _ provider.Checkpoint) (provider.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resume != nil {
		return nil, p.resume
	}
	if room := p.live[a.ID]; room != nil {
		return room, nil
	}
	return nil, provider.ErrSessionLost
}

func (p *peers) Promote(ctx context.Context, a provider.Attempt) error {
	if err := p.Provider.Promote(ctx, a); err != nil {
		return err
	}
	p.mu.Lock()
	s := p.live[a.ID].status
	p.mu.Unlock()
	_, err := p.rig.signer.Commit(ctx, a.ID, cosigner.Commit{ShareSetID: s.ShareSetID, Fingerprint: s.Fingerprint})
	return err
}

func (s *peerRoom) Await(ctx context.Context) (provider.Readiness, error) {
	s.peers.mu.Lock()
	approved := s.peers.approved
	s.peers.mu.Unlock()
	if !approved {
		return provider.Readiness{WaitsFor: "waits for bob", CheckAgain: 0}, nil
	}
	ready, err := s.Session.Await(ctx)
	ready.PublicKey = s.status.PublicKey
	return ready, err
}

// Close leaves the room open: it belongs to the parties, not to the daemon.
func (s *peerRoom) Close() error { return nil }

package relay

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
)

// Party in a room.
type Party string

const (
	Vendor Party = "vendor"
	Client Party = "client"
)

func (p Party) other() Party {
	if p == Vendor {
		return Client
	}
	return Vendor
}

var (
	// ErrNoRoom: there is no such room (HTTP 404).
	ErrNoRoom = errors.New("no such room")
	// ErrRoomClosed: the ceremony has ended or failed (HTTP 410).
	ErrRoomClosed = errors.New("the room is closed")
	// ErrOtherMessage: the party has posted something else in this round (HTTP 409).
	ErrOtherMessage = errors.New("another message was posted in this round")
)

// tombstones is how many closed rooms are remembered, so that a late party
// hears 410 and not 404. Older ones are forgotten.
const tombstones = 4096

// Rooms is the relay: every room that is open, or was open lately.
type Rooms struct {
	mu     sync.Mutex
	rooms  map[string]*room
	closed []string // ids in the order of closing
}

type place struct {
	party Party
	round int
}

type room struct {
	mu       sync.Mutex
	messages map[place][]byte
	changed  chan struct{} // closed and replaced at every change
	ended    bool
	failed   bool
}

// New makes a relay without rooms.
func New() *Rooms { return &Rooms{rooms: make(map[string]*room)} }

// Open opens a room and returns its id.
func (r *Rooms) Open() string {
	random := make([]byte, 16)
	rand.Read(random) // never fails: crypto/rand ends the process instead
	id := hex.EncodeToString(random)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rooms[id] = &room{messages: make(map[place][]byte), changed: make(chan struct{})}
	return id
}

// End closes a room after a ceremony that came to its end.
func (r *Rooms) End(id string) { r.close(id, false) }

// Fail closes a room whose ceremony will not come to its end.
func (r *Rooms) Fail(id string) { r.close(id, true) }

func (r *Rooms) close(id string, failed bool) {
	r.mu.Lock()
	room := r.rooms[id]
	r.mu.Unlock()
	if room == nil || !room.close(failed) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = append(r.closed, id)
	if len(r.closed) > tombstones {
		delete(r.rooms, r.closed[0])
		r.closed = r.closed[1:]
	}
}

// Close fails every room that is still open.
func (r *Rooms) Close() {
	r.mu.Lock()
	var ids []string
	for id := range r.rooms {
		ids = append(ids, id)
	}
	r.mu.Unlock()
	for _, id := range ids {
		r.Fail(id)
	}
}

// IsOpen says whether parties can still post in the room.
func (r *Rooms) IsOpen(id string) bool {
	room, err := r.find(id)
	if err != nil {
		return false
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	return !room.ended && !room.failed
}

func (r *Rooms) find(id string) (*room, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.rooms[id]
	if room == nil {
		return nil, ErrNoRoom
	}
	return room, nil
}

// close reports whether the room was open.
func (m *room) close(failed bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended || m.failed {
		return false
	}
	m.ended, m.failed = !failed, failed
	m.signal()
	return true
}

// signal wakes everybody who waits; the caller holds mu.
func (m *room) signal() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *room) post(party Party, round int, message []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := place{party, round}
	if posted, ok := m.messages[at]; ok {
		if bytes.Equal(posted, message) {
			return nil
		}
		return ErrOtherMessage
	}
	if m.ended || m.failed {
		return ErrRoomClosed
	}
	m.messages[at] = message
	m.signal()
	return nil
}

// receive waits for the message that the other party posts in the round.
func (m *room) receive(ctx context.Context, party Party, round int) ([]byte, error) {
	for {
		m.mu.Lock()
		message, ok := m.messages[place{party.other(), round}]
		ended, failed, changed := m.ended, m.failed, m.changed
		m.mu.Unlock()
		switch {
		case failed:
			return nil, ErrRoomClosed
		case ok:
			return message, nil
		case ended:
			return nil, ErrRoomClosed
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

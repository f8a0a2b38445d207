package api

import "sync"

// recentEvents is far above what a vendor has on its way at a time. What falls
// out and comes again costs one early look, and no more.
const recentEvents = 4096

// recent remembers the last events by their ids. The zero value is ready.
type recent struct {
	mu    sync.Mutex
	known map[string]struct{}
	ring  [recentEvents]string
	next  int
}

// has says whether an event was added lately. One without an id never was.
func (r *recent) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.known[id]
	return ok
}

func (r *recent) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[id]; ok || id == "" {
		return
	}
	if r.known == nil {
		r.known = make(map[string]struct{}, recentEvents)
	}
	delete(r.known, r.ring[r.next])
	r.known[id], r.ring[r.next] = struct{}{}, id
	r.next = (r.next + 1) % recentEvents
}

package cobo

import (
	"sync"
	"time"
)

const (
	// maxSightings bounds what is remembered of things that nobody comes back to.
	maxSightings = 4096
	// The vendor may put people between what it accepts and what it does, and
	// asking again may call them again: the wait before that doubles.
	minRest, maxRest = 5 * time.Second, time.Hour
)

// sightings remember since when something is so. They live in memory alone:
// what is lost with the process costs one call or one wait, never safety.
type sightings struct {
	mu    sync.Mutex
	byKey map[string]sighting
}

type sighting struct{ first, last time.Time }

// note adds a sighting and returns when the first one was.
func (s *sightings) note(key string, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.byKey[key]
	if !ok {
		if s.byKey == nil {
			s.byKey = make(map[string]sighting)
		}
		for other := range s.byKey {
			if len(s.byKey) < maxSightings {
				break
			}
			delete(s.byKey, other)
		}
		seen.first = now
	}
	seen.last = now
	s.byKey[key] = seen
	return seen.first
}

// rests says that something was noted so recently that it is not to be done
// again, and when it was noted first.
func (s *sightings) rests(key string, now time.Time) (since time.Time, rests bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.byKey[key]
	if !ok {
		return time.Time{}, false
	}
	return seen.first, now.Sub(seen.last) < min(max(seen.last.Sub(seen.first), minRest), maxRest)
}

func (s *sightings) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, key)
}

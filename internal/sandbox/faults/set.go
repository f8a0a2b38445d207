package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Set is the faults in force. It is safe for concurrent use.
type Set struct {
	seed uint64

	mu         sync.Mutex
	operations map[string]Operation
	closed     bool
	rules      []*rule
	struck     map[string]map[Kind]int // by operation, since the start
	random     map[string]*rand.Rand   // by operation, so that calls of one do not shift another's luck

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	late   sync.WaitGroup
}

// Operation is something that can fail.
type Operation struct {
	Name string
	// Generic kinds are done by [Set.Wrap], Own ones by the operation.
	Generic, Own []Kind
}

// Kinds of fault that it can have.
func (o Operation) Kinds() []Kind { return slices.Concat(o.Generic, o.Own) }

type rule struct {
	Fault
	hits int
}

// NewSet makes a set without faults. The same seed gives each operation the
// same luck.
func NewSet(seed uint64) *Set {
	ctx, cancel := context.WithCancel(context.Background())
	return &Set{
		seed: seed, operations: make(map[string]Operation), random: make(map[string]*rand.Rand),
		struck: make(map[string]map[Kind]int),
		ctx:    ctx, cancel: cancel,
	}
}

// Register makes an operation known.
func (s *Set) Register(o Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operations[o.Name] = o
	s.struck[o.Name] = make(map[Kind]int)
}

// Operations are those that are known, by name.
func (s *Set) Operations() []Operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.operations), func(a, b Operation) int { return strings.Compare(a.Name, b.Name) })
}

// Struck is how often each kind of fault has struck since the start, by
// operation.
func (s *Set) Struck() map[string]map[Kind]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]map[Kind]int, len(s.struck))
	for operation, kinds := range s.struck {
		all[operation] = maps.Clone(kinds)
	}
	return all
}

// Replace puts these faults in force instead of the ones before. If one is not
// valid nothing changes.
func (s *Set) Replace(list []Fault) error {
	rules := make([]*rule, len(list))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range list {
		operation, ok := s.operations[f.Operation]
		if !ok {
			return fmt.Errorf("fault %d: unknown operation %q; there are: %s", i, f.Operation,
				strings.Join(slices.Sorted(maps.Keys(s.operations)), ", "))
		}
		if !slices.Contains(operation.Kinds(), f.Kind) {
			return fmt.Errorf("fault %d: %s cannot have %q; it can have: %s", i, f.Operation, f.Kind, joinKinds(operation.Kinds()))
		}
		if err := f.complete(); err != nil {
			return fmt.Errorf("fault %d: %w", i, err)
		}
		rules[i] = &rule{Fault: f}
	}
	s.rules = rules
	return nil
}

func joinKinds(kinds []Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// Decide draws what befalls one call. Rules are asked in their order: Latency
// adds up, of the others the first that strikes is the one.
func (s *Set) Decide(operation, wallet string) Hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit Hit
	for _, r := range s.rules {
		if r.Operation != operation || (r.Wallet != "" && r.Wallet != wallet) {
			continue
		}
		if r.Kind != Latency && hit.Kind != "" {
			continue
		}
		if r.Times > 0 && r.hits >= r.Times {
			continue
		}
		if r.Rate < 1 && s.luck(operation).Float64() >= r.Rate {
			continue
		}
		r.hits++
		s.struck[operation][r.Kind]++
		if r.Kind == Latency {
			hit.Delay += r.Delay
			continue
		}
		hit.Kind, hit.Status, hit.RetryAfter, hit.Late, hit.Curve = r.Kind, r.Status, r.RetryAfter, r.Delay, r.Curve
	}
	return hit
}

// own says whether the operation does this kind itself.
func (s *Set) own(operation string, kind Kind) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.operations[operation].Own, kind)
}

// luck is the operation's own source; the caller holds mu.
func (s *Set) luck(operation string) *rand.Rand {
	source := s.random[operation]
	if source == nil {
		h := fnv.New64a()
		h.Write([]byte(operation))
		source = rand.New(rand.NewPCG(s.seed, h.Sum64()))
		s.random[operation] = source
	}
	return source
}

// MarshalJSON shows the faults in force and how often each struck.
func (s *Set) MarshalJSON() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]faultJSON, len(s.rules))
	for i, r := range s.rules {
		out[i] = faultJSON{
			Operation: r.Operation, Kind: r.Kind, Rate: &r.Rate, Status: r.Status, RetryAfter: r.RetryAfter,
			Delay: r.Delay.String(), Wallet: r.Wallet, Times: r.Times, Curve: r.Curve, Hits: r.hits,
		}
	}
	return json.Marshal(out)
}

// Close drops late effects that are still to come, and waits for those under
// way.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.late.Wait()
}

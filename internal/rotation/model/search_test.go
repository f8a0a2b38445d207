package model

import (
	"fmt"
	"hash/maphash"
	"regexp"
	"slices"
)

// model is one protocol, with its rules, among parties of one kind.
type model struct {
	parties
	rules rule
	// faults that may happen: crashes, takeovers, lost requests and replies,
	// refusals, lost shares.
	faults uint8
	// only these invariants are watched; empty: all.
	only []wrong

	out []edge
}

// parties are what is assumed of vendor and people.
type parties struct {
	name string
	// coSigned: the customer's share is at a co-signer, the vendor cannot be
	// searched, the ceremony dies with its process, and the swap ends the old
	// set. Else the vendor finds an attempt by its mark, and converts the old set.
	coSigned bool
	// newestWins: opening a set ends those that are pending.
	newestWins bool
	// deletesActive: the vendor deletes what it is told to, its active set too.
	deletesActive bool
	// personErrs: a person discards although a promotion may be under way.
	personErrs bool
}

// event is what happened between two worlds.
type event struct {
	by           int
	what         string
	set          set
	fault, order bool
}

const outside = -1

var aboutASet = regexp.MustCompile("active set|current set|old share|clean-up|delete")

type edge struct {
	to world
	event
}

func (m *model) emit(w world, e event) {
	m.out = append(m.out, edge{w, e})
}

func (m *model) watches(x wrong) bool {
	for _, y := range m.only {
		if x == y {
			return true
		}
	}
	return len(m.only) == 0
}

// next is everything that may happen in a world. The result is overwritten by
// the next call.
func (m *model) next(w world) []edge {
	m.out = m.out[:0]
	for i, r := range w.replicas {
		if !r.down {
			m.act(w, i)
		}
	}
	m.nature(w)
	m.mishaps(w)
	m.people(w)
	return m.out
}

// mirror exchanges the replicas, which makes no difference.
func (w world) mirror() world {
	w.replicas[0], w.replicas[1] = w.replicas[1], w.replicas[0]
	swap := [...]uint8{nobody, 2, 1}
	w.record.row.owner = swap[w.record.row.owner]
	for k := range w.record.retires {
		w.record.retires[k].owner = swap[w.record.retires[k].owner]
	}
	return w
}

func (r *replica) order() uint64 {
	o := uint64(r.at)
	for _, x := range []uint8{r.k, r.old, r.heard, uint8(r.cause), uint8(r.wish), number(r.zombie), number(r.down) + 2*number(r.early)} {
		o = o<<6 | uint64(x)
	}
	return o
}

func number(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// canonical is the same for a world and its mirror image.
func (w world) canonical() (c world, mirrored bool) {
	if w.replicas[0].order() < w.replicas[1].order() {
		return w.mirror(), true
	}
	return w, false
}

// search visits every world within the bounds, nearest first.
type search struct {
	*model
	worlds []world
	from   []int32
	// index finds a world by its hash; those that share one are chained.
	index map[uint64]int32
	chain []int32
	seed  maphash.Seed
	// moves are the changes of state that the record saw.
	moves map[[2]state]bool
	quiet int
	// ways lead from world to world without fault or order; nil: not wanted.
	ways []way
	ends []int32

	found wrong
	at    int32
}

type way struct{ from, to int32 }

// run searches until something is wrong, or to the end.
func (m *model) run() *search {
	s := &search{model: m, index: map[uint64]int32{}, seed: maphash.MakeSeed(), moves: map[[2]state]bool{}}
	s.add(begin(m.coSigned), -1)
	for i := int32(0); int(i) < len(s.worlds) && s.found == nothing; i++ {
		s.visit(i)
	}
	if s.found == nothing && m.watches(stuck) {
		s.checkProgress()
	}
	return s
}

func (s *search) add(w world, from int32) int32 {
	c, _ := w.canonical()
	hash := maphash.Comparable(s.seed, c)
	first, ok := s.index[hash]
	if !ok {
		first = -1
	}
	for i := first; i >= 0; i = s.chain[i] {
		if s.worlds[i] == c {
			return i
		}
	}
	i := int32(len(s.worlds))
	s.index[hash] = i
	s.worlds = append(s.worlds, c)
	s.from = append(s.from, from)
	s.chain = append(s.chain, first)
	if x := s.check(&c); x != nothing && s.found == nothing {
		s.found, s.at = x, i
	}
	return i
}

func (s *search) visit(i int32) {
	w := s.worlds[i]
	quiet := true
	for _, e := range s.next(w) {
		if a, b := w.record.row.state, e.to.record.row.state; a != b {
			s.moves[[2]state{a, b}] = true
		}
		j := s.add(e.to, i)
		if !e.fault && !e.order {
			quiet = false
			if s.watches(stuck) {
				s.ways = append(s.ways, way{i, j})
			}
		}
	}
	if !quiet || s.found != nothing {
		return
	}
	s.quiet++
	s.ends = append(s.ends, i)
	if x := s.checkQuiet(&w); x != nothing {
		s.found, s.at = x, i
	}
}

// checkProgress: from everywhere an end can be reached without a further fault.
func (s *search) checkProgress() {
	// The ways that lead to world i are back[first[i]:first[i+1]].
	first := make([]int32, len(s.worlds)+1)
	for _, w := range s.ways {
		first[w.to+1]++
	}
	for i := range s.worlds {
		first[i+1] += first[i]
	}
	back, filled := make([]int32, len(s.ways)), slices.Clone(first)
	for _, w := range s.ways {
		back[filled[w.to]] = w.from
		filled[w.to]++
	}
	reaches := make([]bool, len(s.worlds))
	for todo := slices.Clone(s.ends); len(todo) > 0; {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !reaches[i] {
			reaches[i] = true
			todo = append(todo, back[first[i]:first[i+1]]...)
		}
	}
	for i, ok := range reaches {
		if !ok {
			s.found, s.at = stuck, int32(i)
			return
		}
	}
}

// trace is the shortest way to what was found.
func (s *search) trace() []string {
	var path []int32
	for i := s.at; i >= 0 && s.found != nothing; i = s.from[i] {
		path = append(path, i)
	}
	var lines []string
	mirrored := false
	for n := len(path) - 1; n > 0; n-- {
		for _, e := range s.next(s.worlds[path[n]]) {
			c, turned := e.to.canonical()
			if c != s.worlds[path[n-1]] {
				continue
			}
			lines = append(lines, e.text(mirrored))
			mirrored = mirrored != turned
			break
		}
	}
	return lines
}

// text names the share set, but 0 only where it is one: else there is none.
func (e event) text(mirrored bool) string {
	what := e.what
	if e.set != 0 || aboutASet.MatchString(what) {
		what += fmt.Sprintf(" [%d]", e.set)
	}
	if e.by == outside {
		return what
	}
	return string(rune('A'+(e.by+int(number(mirrored)))%2)) + " " + what
}

package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// Screen shows lines and, below them, one status line: in place on a terminal,
// one after the other elsewhere. It is safe for concurrent use, so that a log can be
// written to it.
type Screen struct {
	w        io.Writer
	terminal bool

	mu     sync.Mutex
	status string // on the terminal right now
}

// NewScreen writes to w; terminal says that w understands how to clear a line.
func NewScreen(w io.Writer, terminal bool) *Screen { return &Screen{w: w, terminal: terminal} }

// Line shows a line that stays.
func (s *Screen) Line(format string, args ...any) {
	fmt.Fprintf(s, format+"\n", args...)
}

// Write shows text that stays, above the status line.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status == "" {
		return s.w.Write(text)
	}
	if _, err := fmt.Fprintf(s.w, "\r\x1b[K%s%s", text, s.status); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Status replaces the status line.
func (s *Screen) Status(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.status = text
		fmt.Fprintf(s.w, "\r\x1b[K%s", text)
		return
	}
	fmt.Fprintln(s.w, text)
}

// EndStatus leaves the last status line where it is.
func (s *Screen) EndStatus() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status != "" {
		s.status = ""
		fmt.Fprintln(s.w)
	}
}

package torture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"
)

// What daemons say in their logs, as far as it matters here.
const (
	saidStarted  = "started"
	saidSignedOn = "signed on"
	saidLost     = "lease lost: all work in hand is dropped and goes on under a new epoch"
	saidBuried   = "replicas given up for dead; their work goes on here or elsewhere"
	saidDoubt    = "swap in doubt"
	saidAhead    = "the vendor is ahead of the record"
)

// speech is the log of one process, read as far as it has been written.
type speech struct {
	mu     sync.Mutex
	path   string
	read   int64
	counts map[string]int // lines by message
	epochs []signOn       // in their order
	buried int            // replicas given up
	listen string         // where it serves HTTP
	cries  []string       // lines of a panic, or of the race detector
}

func newSpeech(path string) *speech { return &speech{path: path, counts: map[string]int{}} }

// signOn is one epoch of a process.
type signOn struct {
	epoch int64
	at    time.Time
}

// utterance is a line of the log.
type utterance struct {
	Time     time.Time `json:"time"`
	Message  string    `json:"msg"`
	Epoch    int64     `json:"epoch"`
	Replicas int       `json:"replicas"`
	Listen   string    `json:"listen"`
}

// listenOn reads what was written since it was last called.
func (s *speech) listenOn() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("reading a daemon's log: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(s.read, io.SeekStart); err != nil {
		return fmt.Errorf("reading a daemon's log: %w", err)
	}
	r := bufio.NewReader(file)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // the rest of a line comes later
		}
		if err != nil {
			return fmt.Errorf("reading a daemon's log: %w", err)
		}
		s.read += int64(len(text))
		s.hear(text)
	}
}

func (s *speech) hear(text []byte) {
	var l utterance
	if json.Unmarshal(text, &l) != nil {
		for _, cry := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
			if bytes.Contains(text, []byte(cry)) {
				s.cries = append(s.cries, string(bytes.TrimSpace(text)))
			}
		}
		return
	}
	s.counts[l.Message]++
	switch l.Message {
	case saidStarted:
		s.listen = l.Listen
	case saidSignedOn:
		s.epochs = append(s.epochs, signOn{l.Epoch, l.Time})
	case saidBuried:
		s.buried += l.Replicas
	}
}

func (s *speech) count(message string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[message]
}

// signedOn is under which epochs the process has worked, the last one last.
func (s *speech) signedOn() []signOn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.epochs)
}

// address is where the process serves HTTP; empty: nowhere yet.
func (s *speech) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listen
}

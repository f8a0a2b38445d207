package sandbox

import (
	"errors"
	"fmt"
)

// FailRooms fails every ceremony at Dynamic that is under way, as a restart of
// the vendor does. Share sets and everything else that is durable stay, and so
// do Cobo's TSS requests, which are jobs that outlive a restart.
func (s *Sandbox) FailRooms() { s.rooms.Close() }

// StopCosigner ends the co-signer: its ceremonies end, and until StartCosigner
// every connection to it breaks. What is on its disk stays.
func (s *Sandbox) StopCosigner() error {
	running := s.gate.signer.Swap(nil)
	if running == nil {
		return nil
	}
	if err := running.Close(); err != nil {
		return fmt.Errorf("stopping the co-signer: %w", err)
	}
	return nil
}

// StartCosigner starts the co-signer with what is on its disk.
func (s *Sandbox) StartCosigner() error {
	server, err := s.openSigner()
	if err != nil {
		return fmt.Errorf("starting the co-signer: %w", err)
	}
	if !s.gate.signer.CompareAndSwap(nil, &signer{server, server.Handler()}) {
		return errors.Join(errors.New("starting the co-signer: it runs already"), server.Close())
	}
	s.gate.honest() // its lies were in the memory of the one before
	return nil
}

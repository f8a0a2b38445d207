package dynamic

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// ceremony is a refresh whose event stream is open. One goroutine reads the
// stream to its end or to the first event that decides; Await may be called
// as often as the caller likes.
type ceremony struct {
	p        *Provider
	attempt  provider.Attempt
	request  request
	exchange *exchange
	events   *eventReader // nil when the reply was plain JSON
	pending  string       // the share set on record

	closing sync.Once
	limit   *time.Timer
	done    chan struct{} // closed once ready and err are final
	ready   provider.Readiness
	err     error
}

var errSessionClosed = errors.New("the session was closed")

// start begins to listen. The session then lives until Close.
func (s *ceremony) start() {
	s.request.op = opCeremony
	s.request.what = "waiting for the ceremony of wallet " + s.attempt.Wallet.ExternalID
	s.limit = time.AfterFunc(s.p.opts.CeremonyTimeout, func() { s.exchange.cancel(errCeremonyTimeout) })
	go func() {
		defer close(s.done)
		s.ready, s.err = s.listen()
		s.limit.Stop()
		s.exchange.close()
	}()
}

// listen reads the stream until the vendor has said what became of the
// ceremony. Events it does not know are passed over.
func (s *ceremony) listen() (provider.Readiness, error) {
	for {
		e, err := s.events.next()
		if err != nil {
			return provider.Readiness{}, s.request.broken(s.exchange, err)
		}
		switch e.name {
		case "ceremony_complete":
			return s.complete(e)
		case "error":
			return provider.Readiness{}, s.request.failEvent(e)
		}
	}
}

// complete checks that the vendor's word is about the set on record.
func (s *ceremony) complete(e event) (provider.Readiness, error) {
	var said struct {
		WalletID       string `json:"walletId"`
		AccountAddress string `json:"accountAddress"`
		ShareSetID     string `json:"shareSetId"`
	}
	if json.Unmarshal([]byte(e.data), &said) != nil {
		return provider.Readiness{}, s.request.garbled("ceremony_complete cannot be read")
	}
	if err := s.sameWallet(said.WalletID, said.AccountAddress); err != nil {
		return provider.Readiness{}, err
	}
	if said.ShareSetID != s.pending {
		return provider.Readiness{}, provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: ceremony_complete does not name the pending share set on record", s.request.what)
	}
	return provider.Readiness{Ready: true, ShareSet: said.ShareSetID}, nil
}

// failEvent is the error that an error event stands for.
func (r request) failEvent(e event) error {
	f := &failure{outcome: outcome{op: r.op, sent: true, status: 200, fault: faultEvent, code: errorCode([]byte(e.data))}}
	f.detail = "the vendor reported an error on the event stream"
	if f.code != "" {
		f.detail += ", code " + f.code
	}
	return r.fail(f)
}

// Await blocks until the vendor has said what became of the ceremony, for
// CeremonyTimeout at the longest. When ctx ends first, the session goes on and
// Await may be called again. It does not promise that the co-signer is done.
func (s *ceremony) Await(ctx context.Context) (provider.Readiness, error) {
	select {
	case <-s.done:
		return s.ready, s.err
	default:
	}
	select {
	case <-s.done:
		return s.ready, s.err
	case <-ctx.Done():
		return provider.Readiness{}, awaitEnded(ctx.Err())
	}
}

// Close ends the event stream. The room, if it still lives, is lost to us; the
// vendor is not told.
func (s *ceremony) Close() error {
	s.closing.Do(func() { s.exchange.cancel(errSessionClosed) })
	<-s.done
	return nil
}

package dynamic

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"

	"github.com/rotatord/rotatord/internal/provider"
)

// roomReply is the reply to a refresh, as plain JSON or as the data of the
// event room_created.
type roomReply struct {
	RoomID             string   `json:"roomId"`
	ServerKeygenIDs    []string `json:"serverKeygenIds"`
	NewServerKeygenIDs []string `json:"newServerKeygenIds"`
	WalletID           string   `json:"walletId"`
	AccountAddress     string   `json:"accountAddress"`
	ShareSetID         string   `json:"shareSetId"` // the pending one
}

// vendorRefs is what Promote must know and only Open has found out.
type vendorRefs struct {
	ClientShares int `json:"client_shares"`
}

// Open asks for a refresh of exactly the share set on record and checkpoints
// the room and the pending share set before anything else happens. The session
// keeps the vendor's event stream open, because the vendor's word that its side
// is complete comes on no other way.
//
// A wallet that Inspect has not just cleared is inspected here first: what
// would lose recovery is never refreshed.
func (p *Provider) Open(ctx context.Context, a provider.Attempt, checkpoint provider.Checkpoint) (provider.Session, error) {
	cl, err := p.clearanceFor(ctx, a)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"shareSetId": a.OldShareSet})
	if err != nil {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonInternal, "encoding a refresh: %w", err)
	}
	r := request{
		op: opRefresh, what: "refreshing wallet " + a.Wallet.ExternalID, method: http.MethodPost,
		path: p.walletRoute(a.Wallet.ExternalID, "refresh"), body: body,
		accept: eventStream, id: a.ID, with: withSession,
	}
	x, err := p.authorized(ctx, r)
	if err != nil {
		return nil, err
	}
	s := &ceremony{p: p, attempt: a, request: r, exchange: x, done: make(chan struct{})}
	kind, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	room, err := s.room(kind == eventStream)
	if err != nil {
		x.close()
		return nil, err
	}
	// From here on the call time-out must not cut the write of the checkpoint,
	// nor the caller's context the stream.
	alive := x.detach()
	if err := s.record(ctx, room, cl, checkpoint); err != nil {
		x.close()
		return nil, err
	}
	if s.events == nil {
		x.close()
		return p.openedInJSON(s)
	}
	if !alive {
		x.close()
		return nil, provider.Errorf(provider.Retryable, provider.ReasonTimeout, "%s: the time was up as the room opened", r.what)
	}
	s.start()
	return s, nil
}

// clearanceFor is the clearance of the attempt's wallet for exactly the share
// set it starts from.
func (p *Provider) clearanceFor(ctx context.Context, a provider.Attempt) (clearance, error) {
	if a.OldShareSet == "" {
		return clearance{}, provider.Errorf(provider.Terminal, provider.ReasonInternal,
			"refreshing wallet %s: no active share set is on record", a.Wallet.ExternalID)
	}
	if cl, ok := p.cleared.take(a.Wallet.ExternalID); ok && cl.shareSet == a.OldShareSet {
		return cl, nil
	}
	if _, err := p.Inspect(ctx, a.Wallet); err != nil {
		return clearance{}, err
	}
	cl, _ := p.cleared.take(a.Wallet.ExternalID)
	if cl.shareSet != a.OldShareSet {
		return clearance{}, provider.Errorf(provider.Verification, provider.ReasonVerification,
			"refreshing wallet %s: the vendor's active share set is not the one on record", a.Wallet.ExternalID)
	}
	return cl, nil
}

// room reads the room that a refresh opened, from either form of its reply.
func (s *ceremony) room(stream bool) (roomReply, error) {
	var room roomReply
	data, err := s.roomData(stream)
	if err != nil {
		return room, err
	}
	if json.Unmarshal(data, &room) != nil || room.RoomID == "" {
		return room, s.request.garbled("the reply describes no room")
	}
	return room, nil
}

func (s *ceremony) roomData(stream bool) ([]byte, error) {
	r, x := s.request, s.exchange
	if !stream {
		body, err := x.read(maxReply)
		if err != nil {
			return nil, r.broken(x, err)
		}
		return body, nil
	}
	s.events = newEventReader(x.Body)
	for {
		e, err := s.events.next()
		if err != nil {
			return nil, r.broken(x, err)
		}
		switch e.name {
		case "room_created":
			return []byte(e.data), nil
		case "error":
			return nil, r.failEvent(e)
		}
	}
}

// record checkpoints the room, then refuses one that cannot be carried on with.
func (s *ceremony) record(ctx context.Context, room roomReply, cl clearance, checkpoint provider.Checkpoint) error {
	a := s.attempt
	vendor, err := json.Marshal(vendorRefs{ClientShares: cl.shares})
	if err != nil {
		return provider.Errorf(provider.Terminal, provider.ReasonInternal, "encoding references: %w", err)
	}
	pending := room.ShareSetID
	if pending == a.OldShareSet {
		pending = "" // not a pending set; recorded as one, it would be the active one that is given up later
	}
	refs := provider.Refs{
		Room: room.RoomID, ServerKeygenIDs: room.ServerKeygenIDs,
		NewServerKeygenIDs: room.NewServerKeygenIDs, Vendor: vendor,
	}
	if err := checkpoint(ctx, pending, refs); err != nil {
		return err
	}
	s.pending = pending
	what := s.request.what
	switch {
	case room.ShareSetID == "":
		// An older backend. The co-signer files the new share under the pending
		// id before the ceremony, and the swap must name it: without the id
		// neither is possible, and ceremony_complete, which might bring it,
		// does not come before the co-signer has joined.
		return provider.Errorf(provider.Terminal, provider.ReasonProviderError,
			"%s: the vendor opened a room without naming the pending share set; this backend is too old for a safe swap", what)
	case pending == "":
		return provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: the vendor names the active share set as the pending one", what)
	}
	return s.sameWallet(room.WalletID, room.AccountAddress)
}

// sameWallet refuses a message that speaks of another wallet.
func (s *ceremony) sameWallet(id, address string) error {
	w := s.attempt.Wallet
	if (id != "" && id != w.ExternalID) || (address != "" && w.Address != "" && !sameAddress(address, w.Address)) {
		return provider.Errorf(provider.Verification, provider.ReasonVerification,
			"%s: the vendor answered for another wallet", s.request.what)
	}
	return nil
}

// openedInJSON makes the session of a refresh that was answered in plain JSON.
func (p *Provider) openedInJSON(s *ceremony) (provider.Session, error) {
	if p.opts.RequireCeremonyComplete {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonProviderError,
			"%s: the vendor answered without an event stream, and ceremony_complete is required", s.request.what)
	}
	p.log.Warn("refresh was answered without an event stream; completeness rests on the co-signer alone",
		"wallet", s.attempt.Wallet.ExternalID, "request_id", s.attempt.ID.String())
	return answered{provider.Readiness{Ready: true, ShareSet: s.pending}}, nil
}

// answered is the session of a ceremony that the vendor says no more about, see
// the package comment.
type answered struct{ readiness provider.Readiness }

func (a answered) Await(ctx context.Context) (provider.Readiness, error) {
	if err := ctx.Err(); err != nil {
		return provider.Readiness{}, awaitEnded(err)
	}
	return a.readiness, nil
}

func (answered) Close() error { return nil }

// awaitEnded is the error of an Await whose caller did not want to wait longer.
func awaitEnded(err error) error {
	reason := provider.ReasonInternal
	if errors.Is(err, context.DeadlineExceeded) {
		reason = provider.ReasonTimeout
	}
	return provider.Errorf(provider.Retryable, reason, "waiting for the vendor to complete the ceremony: %w", err)
}

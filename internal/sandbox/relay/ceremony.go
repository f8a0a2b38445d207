package relay

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// line is a party's end of a room.
type line interface {
	send(ctx context.Context, round int, message []byte) error
	receive(ctx context.Context, round int) ([]byte, error)
}

// contribution is round 0.
type contribution struct {
	Delta mpc.Delta `json:"delta"`
}

// confirmation is round 1.
type confirmation struct {
	Point string `json:"point"`
}

// refresh runs one party's half of the ceremony.
func refresh(ctx context.Context, l line, share mpc.Share, mine mpc.Delta) (mpc.Share, error) {
	if err := sendJSON(ctx, l, 0, contribution{mine}); err != nil {
		return mpc.Share{}, err
	}
	var theirs contribution
	if err := receiveJSON(ctx, l, 0, &theirs); err != nil {
		return mpc.Share{}, err
	}
	next, err := share.Refreshed(mine, theirs.Delta)
	if err != nil {
		return mpc.Share{}, fmt.Errorf("refreshing the share: %w", err)
	}
	if err := sendJSON(ctx, l, 1, confirmation{next.PointHex()}); err != nil {
		return mpc.Share{}, err
	}
	var confirmed confirmation
	if err := receiveJSON(ctx, l, 1, &confirmed); err != nil {
		return mpc.Share{}, err
	}
	if err := next.ConfirmPeer(confirmed.Point); err != nil {
		return mpc.Share{}, fmt.Errorf("confirming the refresh: %w", err)
	}
	return next, nil
}

func sendJSON(ctx context.Context, l line, round int, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("writing the message of round %d: %w", round, err)
	}
	if err := l.send(ctx, round, text); err != nil {
		return fmt.Errorf("sending the message of round %d: %w", round, err)
	}
	return nil
}

func receiveJSON(ctx context.Context, l line, round int, into any) error {
	text, err := l.receive(ctx, round)
	if err != nil {
		return fmt.Errorf("waiting for the other party's message of round %d: %w", round, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading the message of round %d: %w", round, err)
	}
	return nil
}

// Join takes part in the ceremony of a room within this process. mine is the
// party's own contribution, drawn before the room was announced. It leaves the
// room open: whoever opened it calls End or Fail.
func (r *Rooms) Join(ctx context.Context, id string, party Party, share mpc.Share, mine mpc.Delta) (mpc.Share, error) {
	room, err := r.find(id)
	if err != nil {
		return mpc.Share{}, err
	}
	return refresh(ctx, seat{room, party}, share, mine)
}

// seat is a line within the process.
type seat struct {
	room  *room
	party Party
}

func (s seat) send(_ context.Context, round int, message []byte) error {
	return s.room.post(s.party, round, message)
}

func (s seat) receive(ctx context.Context, round int) ([]byte, error) {
	return s.room.receive(ctx, s.party, round)
}

// Join takes part in the ceremony of a room over HTTP and returns the new
// share. base is the relay's URL, up to and without the room's id. The new
// share exists only in memory: the caller makes it durable. A connection that
// breaks is retried until ctx ends; ErrNoRoom and ErrRoomClosed end it at once.
func Join(ctx context.Context, base, room string, party Party, share mpc.Share) (mpc.Share, error) {
	mine, err := mpc.NewDelta(share.Curve(), rand.Reader)
	if err != nil {
		return mpc.Share{}, fmt.Errorf("drawing the contribution: %w", err)
	}
	l := newRemote(base, room, party)
	defer l.close()
	return refresh(ctx, l, share, mine)
}

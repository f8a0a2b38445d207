package relay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// longPoll is how long a GET waits before it answers 204; shorter than the
	// 30 s after which common proxies give up on a silent connection.
	longPoll = 20 * time.Second
	// maxMessage is far above what a round needs.
	maxMessage = 16 << 10
	// maxRound keeps a party from filling the memory.
	maxRound = 7
)

// Handler serves /{room}/{party}; mount it with http.StripPrefix.
func (r *Rooms) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{room}/{party}", r.servePost)
	mux.HandleFunc("GET /{room}/{party}", r.serveGet)
	return mux
}

func (r *Rooms) servePost(w http.ResponseWriter, req *http.Request) {
	room, party, round, ok := r.enter(w, req)
	if !ok {
		return
	}
	message, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxMessage))
	if err != nil {
		http.Error(w, "the message is too long or was cut off", http.StatusRequestEntityTooLarge)
		return
	}
	if err := room.post(party, round, message); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *Rooms) serveGet(w http.ResponseWriter, req *http.Request) {
	room, party, round, ok := r.enter(w, req)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), longPoll)
	defer cancel()
	message, err := room.receive(ctx, party, round)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		w.WriteHeader(http.StatusNoContent)
	case err != nil:
		refuse(w, err)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(message)
	}
}

func (r *Rooms) enter(w http.ResponseWriter, req *http.Request) (room *room, party Party, round int, ok bool) {
	party = Party(req.PathValue("party"))
	if party != Vendor && party != Client {
		http.Error(w, "no such party", http.StatusNotFound)
		return nil, "", 0, false
	}
	round, err := strconv.Atoi(req.URL.Query().Get("round"))
	if err != nil || round < 0 || round > maxRound {
		http.Error(w, "round must be a number from 0 to "+strconv.Itoa(maxRound), http.StatusBadRequest)
		return nil, "", 0, false
	}
	room, err = r.find(req.PathValue("room"))
	if err != nil {
		refuse(w, err)
		return nil, "", 0, false
	}
	return room, party, round, true
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNoRoom):
		status = http.StatusNotFound
	case errors.Is(err, ErrRoomClosed):
		status = http.StatusGone
	case errors.Is(err, ErrOtherMessage):
		status = http.StatusConflict
	}
	http.Error(w, err.Error(), status)
}

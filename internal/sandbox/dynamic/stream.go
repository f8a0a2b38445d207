package dynamic

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// completeEvent is the data of ceremony_complete.
type completeEvent struct {
	AccountAddress string `json:"accountAddress,omitempty"`
	WalletID       string `json:"walletId"`
	ShareSetID     string `json:"shareSetId,omitempty"`
	ShareSetType   string `json:"shareSetType,omitempty"`
}

// stream answers a refresh with events: room_created, then ceremony_complete or
// error when the vendor's half of the ceremony has ended.
func (v *Vendor) stream(w http.ResponseWriter, r *http.Request, reply refreshReply, c *ceremony) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	if !send(w, "room_created", reply) {
		return
	}
	if faults.From(r.Context()).Kind == faults.DropStream || c.hit.Kind == faults.DropStream {
		panic(http.ErrAbortHandler)
	}
	if c.hit.Kind == faults.LateEffect {
		return // the stream ends; the ceremony has yet to begin
	}
	select {
	case <-c.done:
	case <-r.Context().Done():
		return
	}
	switch {
	case c.err != nil:
		send(w, "error", map[string]string{"error": "ceremony failed: " + c.err.Error()})
	case c.hit.Kind == faults.LostReply:
		// The ceremony is complete, the event never comes.
	default:
		send(w, "ceremony_complete", completeEvent{
			AccountAddress: reply.AccountAddress, WalletID: reply.WalletID,
			ShareSetID: reply.ShareSetID, ShareSetType: reply.ShareSetType,
		})
	}
}

// send writes one event and reports whether the caller is still there. The
// official parser wants a name, data on one line, nothing after data, and LF.
func send(w http.ResponseWriter, event string, data any) bool {
	text, err := json.Marshal(data)
	if err != nil {
		return false
	}
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text); err != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}

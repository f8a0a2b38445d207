package dynamic

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// maxBody is far above what any request of these routes needs.
const maxBody = 256 << 10

// refreshReply is the vendor's RefreshKeySharesResponse.
type refreshReply struct {
	RoomID             string   `json:"roomId"`
	ServerKeygenIDs    []string `json:"serverKeygenIds"`
	NewServerKeygenIDs []string `json:"newServerKeygenIds,omitempty"`
	WalletID           string   `json:"walletId,omitempty"`
	AccountAddress     string   `json:"accountAddress,omitempty"`
	ShareSetID         string   `json:"shareSetId,omitempty"`
	ShareSetType       string   `json:"shareSetType,omitempty"`
}

// refresh opens a room and a pending share set. The room's ceremony goes on
// whether or not the caller stays to listen.
func (v *Vendor) refresh(w http.ResponseWriter, r *http.Request) {
	named, refusal := readShareSetID(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	hit := faults.From(r.Context())
	if hit.Kind == faults.Reject {
		refusedWithCode(http.StatusUnprocessableEntity, "wallet_service_connection_error", "Wallet service connection error").write(w)
		return
	}
	wallet, refusal := v.walletByID(r.PathValue("wallet"))
	if refusal != nil {
		refusal.write(w)
		return
	}
	set, c, refusal := v.open(wallet, named)
	if refusal != nil {
		refusal.write(w)
		return
	}

	reply := refreshReply{
		RoomID: c.room, ServerKeygenIDs: c.keygenIDs, NewServerKeygenIDs: []string{c.newKeygenID}, WalletID: wallet.id,
	}
	if v.assume.Is(assume.RefreshFields, assume.Full) {
		reply.AccountAddress, reply.ShareSetID, reply.ShareSetType = wallet.address, set.id, "rootUser"
		if hit.Kind == faults.WrongPublicKey {
			reply.AccountAddress = otherAddress(wallet)
		}
	}
	if wantsStream(r) && v.assume.Is(assume.RefreshReply, assume.ByAccept) {
		v.stream(w, r, reply, c)
		return
	}
	writeJSON(w, http.StatusOK, reply)
	if hit.Kind == faults.DropStream || c.hit.Kind == faults.DropStream {
		panic(http.ErrAbortHandler)
	}
}

// open finds or makes the pending set that answers a refresh, and its room.
func (v *Vendor) open(w *wallet, named string) (*shareSet, *ceremony, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire(w)
	if named != "" && named != w.active.id {
		return nil, nil, v.stale("the share set is not the active one")
	}
	var set *shareSet
	if len(w.pending) > 0 {
		switch {
		case v.assume.Is(assume.SecondRefresh, assume.Refused):
			return nil, nil, refused(http.StatusConflict, "another share set of this wallet is pending")
		case v.assume.Is(assume.SecondRefresh, assume.InvalidatesOlder):
			for len(w.pending) > 0 {
				v.discard(w, w.pending[0])
			}
		case v.assume.Is(assume.SecondRefresh, assume.Same):
			set = w.pending[len(w.pending)-1]
			if v.rooms.IsOpen(set.ceremony.room) {
				return set, set.ceremony, nil
			}
		}
	}
	if set == nil {
		set = v.addPending(w)
	}
	c, err := v.begin(w, set)
	if err != nil {
		return nil, nil, refused(http.StatusInternalServerError, err.Error())
	}
	return set, c, nil
}

// stale is the answer to a share set id that is not what the call needs.
func (v *Vendor) stale(text string) *refusal {
	if v.assume.Is(assume.StaleShareSet, assume.Unprocessable) {
		return refusedWithCode(http.StatusUnprocessableEntity, "wallet_not_active", text)
	}
	return refusedWithCode(http.StatusNotFound, "share_set_not_found", text)
}

func wantsStream(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

// readShareSetID reads the optional body of a refresh; empty if there is none.
func readShareSetID(w http.ResponseWriter, r *http.Request) (string, *refusal) {
	var body struct {
		ShareSetID *string `json:"shareSetId"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", tooLong(err)
	}
	if len(text) == 0 {
		return "", nil
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return "", refused(http.StatusBadRequest, "the body is not valid JSON of this request")
	}
	if body.ShareSetID == nil {
		return "", nil
	}
	if !isUUID(*body.ShareSetID) {
		return "", refused(http.StatusBadRequest, "shareSetId must be a lower-case uuid")
	}
	return *body.ShareSetID, nil
}

func tooLong(err error) *refusal {
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return refused(http.StatusRequestEntityTooLarge, "the body is too long")
	}
	return refused(http.StatusBadRequest, "the body was cut off")
}

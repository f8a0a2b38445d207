package dynamic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// settle is how long locations waits for a ceremony that is about to end: the
// client hears of the last message before the vendor has booked it.
const settle = 250 * time.Millisecond

type location struct {
	Location           string  `json:"location"`
	KeygenID           string  `json:"keygenId"`
	ExternalKeyShareID *string `json:"externalKeyShareId"`
	PasswordEncrypted  bool    `json:"passwordEncrypted"`
}

var locationNames = []string{"googleDrive", "iCloud", "dynamic", "external", "delegated", "offlineRecovery"}

type locationsRequest struct {
	Locations             []location `json:"locations"`
	ShareSetID            *string    `json:"shareSetId"`
	PasswordUpdateBatchID *string    `json:"passwordUpdateBatchId"`
	BusinessAccountID     *string    `json:"businessAccountId"`
}

type locationReply struct {
	Location           string  `json:"location"`
	KeyShareID         string  `json:"keyShareId"`
	ExternalKeyShareID *string `json:"externalKeyShareId"`
}

// locationsReply is BackupKeySharesToLocationsResponse, and without locations
// its pending form.
type locationsReply struct {
	Message                string          `json:"message"`
	WalletID               string          `json:"walletId"`
	LocationsWithKeyShares []locationReply `json:"locationsWithKeyShares,omitempty"`
	ShareSetID             string          `json:"shareSetId,omitempty"`
	ShareSetType           string          `json:"shareSetType,omitempty"`
	WalletActive           *bool           `json:"walletActive,omitempty"`
	PasswordUpdateStatus   string          `json:"passwordUpdateStatus,omitempty"`
}

// locations records where the client's shares are kept, and so makes the named
// pending set the active one. The swap is atomic: a reader sees the old set or
// the new one.
func (v *Vendor) locations(w http.ResponseWriter, r *http.Request) {
	request, refusal := readLocations(w, r)
	if refusal != nil {
		refusal.write(w)
		return
	}
	wallet, refusal := v.walletByID(r.PathValue("wallet"))
	if refusal != nil {
		refusal.write(w)
		return
	}
	id, refusal := v.target(wallet, request.ShareSetID, faults.From(r.Context()).Kind)
	if refusal != nil {
		refusal.write(w)
		return
	}
	v.awaitCeremony(r.Context(), wallet, id)
	v.options.BeforeSwap(wallet.id)
	reply, refusal := v.activate(wallet, id, request)
	if refusal != nil {
		refusal.write(w)
		return
	}
	writeJSON(w, http.StatusCreated, reply)
}

// target is the id of the set that the call is about, counted as a call.
func (v *Vendor) target(w *wallet, named *string, fault faults.Kind) (string, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	id := w.active.id
	switch {
	case named != nil:
		id = *named
	case v.assume.Is(assume.BareLocations, assume.Refused):
		return "", refusedWithCode(http.StatusUnprocessableEntity, "share_set_id_required", "shareSetId is required")
	case v.assume.Is(assume.BareLocations, assume.SwapsNewest):
		for _, s := range w.pending {
			if s.complete {
				id = s.id
			}
		}
	}
	w.promotions.Of(id).Calls++
	switch fault {
	case faults.Reject:
		return "", refusedWithCode(http.StatusUnprocessableEntity, "wallet_not_active", "the wallet is not active")
	case faults.LoseState:
		if s := v.find(w, id); s != nil && s != w.active {
			v.discard(w, s)
		}
	}
	return id, nil
}

// awaitCeremony gives a ceremony that is about to end the time to do so.
func (v *Vendor) awaitCeremony(ctx context.Context, w *wallet, id string) {
	v.mu.Lock()
	set := v.find(w, id)
	var done chan struct{}
	if set != nil && !set.complete && set.ceremony != nil {
		done = set.ceremony.done
	}
	v.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (v *Vendor) activate(w *wallet, id string, request locationsRequest) (locationsReply, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	set := v.find(w, id)
	switch {
	case set == nil:
		return locationsReply{}, v.stale("the share set is neither active nor pending")
	case !set.complete:
		return locationsReply{}, refusedWithCode(http.StatusUnprocessableEntity, "wallet_not_active", "the ceremony of this share set is not complete")
	case set == w.active && request.ShareSetID != nil && v.assume.Is(assume.RepeatedLocations, assume.AlreadyBackedUp):
		return locationsReply{}, refusedWithCode(http.StatusUnprocessableEntity, "key_share_already_backed_up", "key shares are backed up already")
	case set != w.active && !set.asked && v.assume.Is(assume.LocationsReply, assume.PendingOnce):
		set.asked = true
		return locationsReply{Message: "password update is pending", WalletID: w.id, PasswordUpdateStatus: "pending"}, nil
	}

	active := true
	reply := locationsReply{
		Message: "key shares backed up", WalletID: w.id, ShareSetID: set.id, ShareSetType: "rootUser", WalletActive: &active,
	}
	if request.PasswordUpdateBatchID != nil {
		reply.PasswordUpdateStatus = "activated"
	}
	var backups []backup
	for _, l := range request.Locations {
		b := backup{ID: uuid.NewString(), BackupLocation: l.Location, PasswordEncrypted: l.PasswordEncrypted, KeygenID: l.KeygenID}
		if l.ExternalKeyShareID != nil {
			b.ExternalKeyShare = *l.ExternalKeyShareID
		}
		backups = append(backups, b)
		reply.LocationsWithKeyShares = append(reply.LocationsWithKeyShares,
			locationReply{Location: l.Location, KeyShareID: b.ID, ExternalKeyShareID: l.ExternalKeyShareID})
	}
	if set == w.active {
		set.backups = backups
	} else {
		v.swap(w, set, backups)
	}
	return reply, nil
}

func readLocations(w http.ResponseWriter, r *http.Request) (locationsRequest, *refusal) {
	var request locationsRequest
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return request, tooLong(err)
	}
	if err := json.Unmarshal(text, &request); err != nil {
		return request, refused(http.StatusBadRequest, "the body is not valid JSON of this request")
	}
	if len(request.Locations) == 0 {
		return request, refused(http.StatusBadRequest, "locations is required")
	}
	for _, l := range request.Locations {
		if !slices.Contains(locationNames, l.Location) {
			return request, refused(http.StatusBadRequest, fmt.Sprintf("location %q is unknown", l.Location))
		}
		if l.ExternalKeyShareID != nil && !isUUID(*l.ExternalKeyShareID) {
			return request, refused(http.StatusBadRequest, "externalKeyShareId must be a lower-case uuid")
		}
		if l.Location == "dynamic" && l.ExternalKeyShareID == nil {
			return request, refused(http.StatusBadRequest, "location dynamic needs externalKeyShareId")
		}
	}
	for name, id := range map[string]*string{
		"shareSetId": request.ShareSetID, "passwordUpdateBatchId": request.PasswordUpdateBatchID,
		"businessAccountId": request.BusinessAccountID,
	} {
		if id != nil && !isUUID(*id) {
			return request, refused(http.StatusBadRequest, name+" must be a lower-case uuid")
		}
	}
	return request, nil
}

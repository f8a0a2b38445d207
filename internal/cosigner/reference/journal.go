package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// formatVersion of journals and share files. A file of another version is
// refused: guessing at key material is how keys are lost.
const formatVersion = 1

// maxRecords is how many ceremonies a journal remembers before it forgets the
// oldest ones that hold no share any more.
const maxRecords = 64

// journal is what a wallet's folder says beside its shares.
type journal struct {
	Version  int    `json:"version"`
	Provider string `json:"provider"`
	Wallet   string `json:"wallet"`
	// Current is decided here and nowhere else.
	Current    shareRef   `json:"current"`
	Retired    []retired  `json:"retired,omitempty"`
	Ceremonies []record   `json:"ceremonies,omitempty"`
	Dropping   []shareRef `json:"dropping,omitempty"` // files that may be removed
}

// retired is a share that was current. It is kept until DropAfter.
type retired struct {
	shareRef
	DropAfter time.Time `json:"drop_after"`
}

// record is one ceremony, oldest first in the journal.
type record struct {
	Request cosigner.Ceremony `json:"request"`
	// State running may be out of date on disk: the share file decides.
	State     cosigner.State `json:"state"`
	Error     string         `json:"error,omitempty"`
	StartedAt time.Time      `json:"started_at"`
	// Fingerprint of the share that was committed, so that a repeated commit
	// can be answered when that share has been dropped in its turn.
	Fingerprint string `json:"fingerprint,omitempty"`
	// DropAfter is set once a different share set was committed.
	DropAfter time.Time `json:"drop_after,omitzero"`
	// Dropped: no share of this ceremony is held any more, as it should be.
	Dropped bool `json:"dropped,omitempty"`
}

func (r record) ref() shareRef {
	return shareRef{ShareSetID: r.Request.ShareSetID, CeremonyID: r.Request.CeremonyID}
}

// clone is for changing: nothing of the copy's own fields is shared.
func (j journal) clone() journal {
	j.Retired = slices.Clone(j.Retired)
	j.Ceremonies = slices.Clone(j.Ceremonies)
	j.Dropping = slices.Clone(j.Dropping)
	return j
}

// find returns the record of a ceremony, to be changed in place, or nil.
func (j *journal) find(id uuid.UUID) *record {
	i := slices.IndexFunc(j.Ceremonies, func(r record) bool { return r.Request.CeremonyID == id })
	if i < 0 {
		return nil
	}
	return &j.Ceremonies[i]
}

func decodeJournal(text []byte) (journal, error) {
	var j journal
	if err := json.Unmarshal(text, &j); err != nil {
		return journal{}, errors.New("it is not JSON of a journal")
	}
	switch {
	case j.Version != formatVersion:
		return journal{}, fmt.Errorf("its version is %d, this is %d", j.Version, formatVersion)
	case j.Wallet == "" || j.Provider == "" || j.Current.ShareSetID == "":
		return journal{}, errors.New("it lacks provider, wallet or current share set")
	}
	seen := make(map[uuid.UUID]bool, len(j.Ceremonies))
	for _, r := range j.Ceremonies {
		id := r.Request.CeremonyID
		if id == uuid.Nil || seen[id] || r.Request.ShareSetID == "" {
			return journal{}, errors.New("a ceremony in it has no id of its own, or no share set")
		}
		seen[id] = true
		switch r.State {
		case cosigner.Running, cosigner.Prepared, cosigner.Committed, cosigner.Aborted, cosigner.Failed:
		default:
			return journal{}, errors.New("a ceremony in it is in no known state")
		}
	}
	return j, nil
}

// shareFile says by itself whose share it is, so that a folder which lost its
// journal can be put together by hand.
type shareFile struct {
	Version    int       `json:"version"`
	Provider   string    `json:"provider"`
	Wallet     string    `json:"wallet"`
	ShareSetID string    `json:"share_set_id"`
	CeremonyID uuid.UUID `json:"ceremony_id"`
	StoredAt   time.Time `json:"stored_at"`
	Share      mpc.Share `json:"share"`
}

func (f shareFile) ref() shareRef {
	return shareRef{ShareSetID: f.ShareSetID, CeremonyID: f.CeremonyID}
}

// decodeShareFile never quotes its input in an error.
func decodeShareFile(text []byte) (shareFile, error) {
	var f shareFile
	if err := json.Unmarshal(text, &f); err != nil {
		return shareFile{}, errors.New("it is not JSON of a share")
	}
	if f.Version != formatVersion {
		return shareFile{}, fmt.Errorf("its version is %d, this is %d", f.Version, formatVersion)
	}
	if f.Share.IsZero() {
		return shareFile{}, errors.New("it holds no share")
	}
	return f, nil
}

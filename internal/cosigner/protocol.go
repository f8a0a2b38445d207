// Package cosigner is the protocol between rotatord and the customer's
// co-signer: the party that holds the customer's key share and takes part in
// each ceremony. rotatord never sees key material; all that crosses this wire
// are names, addresses, public keys and fingerprints.
//
// The protocol is HTTP with JSON, over TLS with a client certificate or a
// bearer token:
//
//	GET  /v1/wallets/{provider}/{wallet}     WalletStatus, derived from the shares it holds
//	POST /v1/ceremonies                      Ceremony → Status; 200 when prepared, 202 while running
//	GET  /v1/ceremonies/{id}                 Status
//	POST /v1/ceremonies/{id}/commit          Commit → Status
//	POST /v1/ceremonies/{id}/abort           → Status; a prepared share is kept
//
// Every call is idempotent by ceremony id. An unknown id is 404. The same id
// with another body, commit after abort, abort after commit, a second running
// ceremony for a wallet, and a previous_share_set_id that is not current are
// 409. {provider} and {wallet} are path-escaped.
package cosigner

import "github.com/google/uuid"

// State of a ceremony at the co-signer.
type State string

const (
	Running   State = "running"
	Prepared  State = "prepared"  // the new share is durable beside the old one
	Committed State = "committed" // the new share is current
	Aborted   State = "aborted"
	Failed    State = "failed"
)

// Ceremony asks the co-signer to take part in a refresh with its current
// share, and to store the new share beside the old one.
type Ceremony struct {
	CeremonyID         uuid.UUID `json:"ceremony_id"`
	Provider           string    `json:"provider"`
	Wallet             string    `json:"wallet"` // the vendor's wallet id
	Address            string    `json:"address"`
	Chain              string    `json:"chain,omitempty"`
	RoomID             string    `json:"room_id"`
	ShareSetID         string    `json:"share_set_id"`          // the pending one
	PreviousShareSetID string    `json:"previous_share_set_id"` // must be current at the co-signer
	ServerKeygenIDs    []string  `json:"server_keygen_ids,omitempty"`
	NewServerKeygenIDs []string  `json:"new_server_keygen_ids,omitempty"`
}

// Status of a ceremony. Address, PublicKey and KeygenIDs are derived from the
// new share, not echoed from the request; they are empty while running.
type Status struct {
	CeremonyID  uuid.UUID `json:"ceremony_id"`
	State       State     `json:"state"`
	ShareSetID  string    `json:"share_set_id"`
	Address     string    `json:"address,omitempty"`
	PublicKey   string    `json:"public_key,omitempty"` // lower-case hex
	KeygenIDs   []string  `json:"keygen_ids,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // names this very share without telling it
	Error       string    `json:"error,omitempty"`
}

// Commit names the share that becomes current. A mismatch is refused.
type Commit struct {
	ShareSetID  string `json:"share_set_id"`
	Fingerprint string `json:"fingerprint"`
}

// WalletStatus is what the co-signer holds for a wallet.
type WalletStatus struct {
	CurrentShareSetID string          `json:"current_share_set_id"`
	Prepared          []PreparedShare `json:"prepared"` // kept beside the current one, aborted ceremonies included
	Address           string          `json:"address"`
	PublicKey         string          `json:"public_key"`
	KeygenIDs         []string        `json:"keygen_ids,omitempty"`
}

// PreparedShare is a share that could become current.
type PreparedShare struct {
	CeremonyID  uuid.UUID `json:"ceremony_id"`
	ShareSetID  string    `json:"share_set_id"`
	Fingerprint string    `json:"fingerprint"`
	State       State     `json:"state"` // prepared or aborted
}

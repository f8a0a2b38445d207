package cobo

import "github.com/rotatord/rotatord/internal/sandbox/mpc"

// The vendor's words.
const (
	MainGroup     = "MainGroup"
	SigningGroup  = "SigningGroup"
	RecoveryGroup = "RecoveryGroup"

	StatusNew         = "New"
	StatusValid       = "Valid"
	StatusUnavailable = "Unavailable"

	HolderCobo   = "Cobo"
	HolderMobile = "Mobile"
	HolderAPI    = "API" // a server co-signer

	KeyGen             = "KeyGen"
	KeyGenFromKeyGroup = "KeyGenFromKeyGroup"
	Recovery           = "Recovery"

	PendingKeyHolderConfirmation = "PendingKeyHolderConfirmation"
	MPCProcessing                = "MPCProcessing"
	KeyGenerating                = "KeyGenerating"
	KeyHolderConfirmationFailed  = "KeyHolderConfirmationFailed"
	KeyGeneratingFailed          = "KeyGeneratingFailed"
	Success                      = "Success"

	orgControlled  = "Org-Controlled"
	userControlled = "User-Controlled"

	upgradeToMainGroup    = "UpgradeToMainGroup"
	invalidate            = "Invalidate"
	convertToSigningGroup = "ConvertToSigningGroup"
)

// curveNames in the order in which the vendor's answers list them.
var curveNames = []struct {
	curve mpc.Curve
	name  string
}{{mpc.BIP340, "SECP256K1"}, {mpc.Ed25519, "ED25519"}}

type rootPubkey struct {
	RootPubkey string `json:"root_pubkey"`
	Curve      string `json:"curve"`
}

type vaultJSON struct {
	VaultID     string       `json:"vault_id"`
	Name        string       `json:"name"`
	Type        string       `json:"type"`
	RootPubkeys []rootPubkey `json:"root_pubkeys"`
	Created     int64        `json:"created_timestamp"` // Unix ms, as are all
}

type groupJSON struct {
	ID             string          `json:"key_share_holder_group_id"`
	Type           string          `json:"type"`
	KeyShareGroups []keyShareGroup `json:"tss_key_share_groups,omitempty"`
	Holders        []holderJSON    `json:"key_share_holders"`
	Participants   int             `json:"participants"`
	Threshold      int             `json:"threshold"`
	Status         string          `json:"status"`
	Created        int64           `json:"created_timestamp"`
}

type keyShareGroup struct {
	ID         string `json:"tss_key_share_group_id"`
	Curve      string `json:"curve"`
	RootPubkey string `json:"root_pubkey"`
}

type holderJSON struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	TSSNodeID string `json:"tss_node_id"`
	Online    bool   `json:"online"`
	Signer    bool   `json:"signer"`
	Status    string `json:"status"`
}

type requestJSON struct {
	ID          string       `json:"tss_request_id"`
	Source      *sourceGroup `json:"source_key_share_holder_group,omitempty"`
	Target      string       `json:"target_key_share_holder_group_id"`
	Type        string       `json:"type"`
	Status      string       `json:"status"`
	Description string       `json:"description"`
	Created     int64        `json:"created_timestamp"`
}

type sourceGroup struct {
	ID         string   `json:"key_share_holder_group_id"`
	TSSNodeIDs []string `json:"tss_node_ids,omitempty"`
}

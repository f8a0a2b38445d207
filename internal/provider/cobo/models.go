package cobo

import (
	"errors"
	"regexp"
	"slices"
)

// The vendor's words. Each of them is an open set: a word that is not here is
// never taken for success.
const (
	mainGroup     = "MainGroup"
	signingGroup  = "SigningGroup"
	recoveryGroup = "RecoveryGroup"

	groupNew         = "New"
	groupValid       = "Valid"
	groupUnavailable = "Unavailable" // a holder with a phone is changing it

	holderCobo   = "Cobo"
	holderMobile = "Mobile"
	holderAPI    = "API" // a TSS node, "server co-signer"
	holderValid  = "Valid"

	keyGenFromKeyGroup = "KeyGenFromKeyGroup"

	requestPending            = "PendingKeyHolderConfirmation"
	requestProcessing         = "MPCProcessing"
	requestGenerating         = "KeyGenerating"
	requestConfirmationFailed = "KeyHolderConfirmationFailed"
	requestGeneratingFailed   = "KeyGeneratingFailed"
	requestSuccess            = "Success" // also of a request that was cancelled

	orgControlled = "Org-Controlled"
)

// What comes from the vendor goes into paths, records, logs and comparisons, so
// its form is checked first.
var (
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	curvePattern  = regexp.MustCompile(`^[A-Z0-9_]{1,32}$`)
	pubkeyPattern = regexp.MustCompile(`^[A-Za-z0-9]{1,256}$`)
	wordPattern   = regexp.MustCompile(`^[A-Z][A-Za-z]{0,39}$`)
)

// quoted is a word of the vendor's for people to read.
func quoted(word string) string {
	switch {
	case word == "":
		return "nothing"
	case wordPattern.MatchString(word):
		return word
	}
	return "an unknown word"
}

// vault is the vendor's MPCVault. All fields of all models are optional in the
// vendor's specification; empty means not told.
type vault struct {
	ID          string    `json:"vault_id"`
	Type        string    `json:"type"`
	RootPubkeys []rootKey `json:"root_pubkeys"`
}

// rootKey is a root extended public key; in a group, with the id of the group's
// shares of it.
type rootKey struct {
	ShareGroup string `json:"tss_key_share_group_id"`
	Curve      string `json:"curve"`
	RootPubkey string `json:"root_pubkey"`
}

// group is the vendor's KeyShareHolderGroup: one set of shares of all root keys.
type group struct {
	ID           string    `json:"key_share_holder_group_id"`
	Type         string    `json:"type"`
	Keys         []rootKey `json:"tss_key_share_groups"`
	Holders      []holder  `json:"key_share_holders"`
	Participants int       `json:"participants"`
	Threshold    int       `json:"threshold"`
	Status       string    `json:"status"`
	Created      int64     `json:"created_timestamp"` // Unix ms, by the vendor's clock
}

// holder is the vendor's KeyShareHolder.
type holder struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Node   string `json:"tss_node_id"`
	Online *bool  `json:"online"`
	Signer *bool  `json:"signer"`
	Status string `json:"status"`
}

// tssRequest is the vendor's TSSRequest.
type tssRequest struct {
	ID          string       `json:"tss_request_id"`
	Source      *sourceGroup `json:"source_key_share_holder_group"`
	Target      string       `json:"target_key_share_holder_group_id"`
	Type        string       `json:"type"`
	Status      string       `json:"status"`
	Description string       `json:"description"`
	Created     int64        `json:"created_timestamp"` // Unix ms
}

type sourceGroup struct {
	ID    string   `json:"key_share_holder_group_id"`
	Nodes []string `json:"tss_node_ids,omitempty"`
}

var errForm = errors.New("the reply holds an id or key of an impossible form")

func (v vault) check() error {
	if !idPattern.MatchString(v.ID) {
		return errForm
	}
	return checkKeys(v.RootPubkeys)
}

func (g group) check() error {
	if !idPattern.MatchString(g.ID) {
		return errForm
	}
	for _, h := range g.Holders {
		if h.Node != "" && !idPattern.MatchString(h.Node) {
			return errForm
		}
	}
	return checkKeys(g.Keys)
}

func (q tssRequest) check() error {
	if !idPattern.MatchString(q.ID) || q.Target != "" && !idPattern.MatchString(q.Target) {
		return errForm
	}
	return nil
}

func checkKeys(keys []rootKey) error {
	for _, k := range keys {
		if !curvePattern.MatchString(k.Curve) || !pubkeyPattern.MatchString(k.RootPubkey) ||
			k.ShareGroup != "" && !idPattern.MatchString(k.ShareGroup) {
			return errForm
		}
	}
	return nil
}

// online is what the vendor says, not what it leaves out.
func (h holder) online() bool { return h.Online != nil && *h.Online }

// ready says that the holder can take part at once.
func (h holder) ready() bool { return h.online() && (h.Status == holderValid || h.Status == "") }

// customers are the holders that are not the vendor's own.
func (g group) customers() []holder {
	return slices.DeleteFunc(slices.Clone(g.Holders), func(h holder) bool { return h.Type == holderCobo })
}

// alive says that the group has shares or is waiting for them. A deleted group
// may stay listed, as Unavailable or with a status that is not documented; so
// may one whose holder is changing a phone, and that one lives.
func (g group) alive() bool {
	return g.Status == "" || g.Status == groupNew || g.Status == groupValid ||
		slices.ContainsFunc(g.Holders, func(h holder) bool { return h.Type == holderMobile })
}

// ended says that no more will come of the request. Not of a status that is
// unknown.
func (q tssRequest) ended() bool {
	switch q.Status {
	case requestConfirmationFailed, requestGeneratingFailed, requestSuccess:
		return true
	}
	return false
}

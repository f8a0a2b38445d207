package dynamic

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/rotatord/rotatord/internal/provider"
)

// walletName marks the credentials of a user that are MPC wallets.
const walletName = "dynamicwaas"

// keyShare is one client key share as the vendor lists it: not the share, but
// where it is backed up.
type keyShare struct {
	BackupLocation string `json:"backupLocation"`
}

// walletView is what a reply says about one wallet. Empty means not told; a
// keyShares that is empty but not nil was told to be empty.
type walletView struct {
	ID           string     `json:"walletId"`
	Address      string     `json:"accountAddress"`
	Chain        string     `json:"chainName"`
	Scheme       string     `json:"thresholdSignatureScheme"`
	ShareSet     string     `json:"shareSetId"`
	ShareSetType string     `json:"shareSetType"`
	KeyShares    []keyShare `json:"keyShares"`
}

// walletCredential is a wallet as part of a user. The vendor's wallet clients read it
// in camel case, its API client in snake case; both are in use.
type walletCredential struct {
	ID              string     `json:"id"`
	Address         string     `json:"address"`
	Chain           string     `json:"chain"`
	Name            string     `json:"walletName"`
	NameSnake       string     `json:"wallet_name"`
	Properties      walletView `json:"walletProperties"`
	PropertiesSnake walletView `json:"wallet_properties"`
}

func (c walletCredential) view() walletView {
	v := c.Properties
	v.fill(c.PropertiesSnake)
	v.fill(walletView{ID: c.ID, Address: c.Address, Chain: c.Chain})
	return v
}

func (c walletCredential) isMPC() bool { return c.Name == walletName || c.NameSnake == walletName }

// walletReply is a reply about wallets in either of the vendor's two forms: a
// wallet object, or a user with the wallet among its credentials. Other active
// share sets, which both may list, belong to other parties (delegates, offline
// recovery) and are none of ours.
type walletReply struct {
	Wallet           *walletView        `json:"wallet"`
	Credentials      []walletCredential `json:"verifiedCredentials"`
	CredentialsSnake []walletCredential `json:"verified_credentials"`
}

func (r walletReply) credentials() []walletCredential {
	if r.Credentials != nil {
		return r.Credentials
	}
	return r.CredentialsSnake
}

var (
	errNotAWallet    = errors.New("the reply describes no wallet")
	errContradictory = errors.New("the reply names two different active share sets")
)

// parseWallet finds the wallet w in a reply.
func parseWallet(body []byte, w provider.Wallet) (walletView, error) {
	var reply walletReply
	if err := json.Unmarshal(body, &reply); err != nil {
		return walletView{}, errNotAWallet // not err: it may quote the reply
	}
	var v walletView
	found := false
	if reply.Wallet != nil {
		v, found = *reply.Wallet, true
	}
	for _, c := range reply.credentials() {
		cv := c.view()
		if !c.isMPC() || (cv.ID != w.ExternalID && !sameAddress(cv.Address, w.Address)) {
			continue
		}
		if v.ShareSet != "" && cv.ShareSet != "" && v.ShareSet != cv.ShareSet {
			return walletView{}, errContradictory
		}
		v.fill(cv)
		found = true
	}
	if !found {
		return walletView{}, errNotAWallet
	}
	return v, nil
}

// fill takes from other what v does not tell.
func (v *walletView) fill(other walletView) {
	for _, f := range []struct{ to, from *string }{
		{&v.ID, &other.ID},
		{&v.Address, &other.Address},
		{&v.Chain, &other.Chain},
		{&v.Scheme, &other.Scheme},
		{&v.ShareSet, &other.ShareSet},
		{&v.ShareSetType, &other.ShareSetType},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if v.KeyShares == nil {
		v.KeyShares = other.KeyShares
	}
}

// sameAddress compares addresses. Hexadecimal ones carry a checksum in the case
// of their letters and are the same without it; all others are exact.
func sameAddress(a, b string) bool {
	if a == b {
		return a != ""
	}
	return strings.HasPrefix(a, "0x") && strings.HasPrefix(b, "0x") && strings.EqualFold(a, b)
}

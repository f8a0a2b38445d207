package dynamic

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// walletObject is WaasWalletResponse.wallet of the wallet packages and
// WaasWallet of the admin API. Only active share sets are ever shown.
type walletObject struct {
	WalletID                 string     `json:"walletId"`
	AccountAddress           string     `json:"accountAddress"`
	ChainName                string     `json:"chainName"`
	DerivationPath           string     `json:"derivationPath"`
	ThresholdSignatureScheme string     `json:"thresholdSignatureScheme"`
	ShareSetID               string     `json:"shareSetId"`
	ShareSetType             string     `json:"shareSetType"`
	OtherShareSets           []struct{} `json:"otherShareSets"`
	KeyShares                []backup   `json:"keyShares"`
}

// properties is WaasWalletProperties.
type properties struct {
	KeyShares                []backup   `json:"keyShares"`
	ThresholdSignatureScheme string     `json:"thresholdSignatureScheme"`
	DerivationPath           string     `json:"derivationPath"`
	ShareSetID               string     `json:"shareSetId"`
	ShareSetType             string     `json:"shareSetType"`
	OtherShareSets           []struct{} `json:"otherShareSets"`
	Version                  string     `json:"version"`
}

// verifiedCredential has both cases: the wallet packages read camel case from
// the raw body, the API client parses snake case.
type verifiedCredential struct {
	ID              string     `json:"id"`
	Format          string     `json:"format"`
	Address         string     `json:"address"`
	Chain           string     `json:"chain"`
	SignInEnabled   bool       `json:"signInEnabled"`
	WalletName      string     `json:"walletName"`
	WalletNameSnake string     `json:"wallet_name"`
	Provider        string     `json:"walletProvider"`
	ProviderSnake   string     `json:"wallet_provider"`
	Properties      properties `json:"walletProperties"`
	PropertiesSnake properties `json:"wallet_properties"`
	VerifiedAt      time.Time  `json:"verifiedAt"`
}

// user is SdkUser.
type user struct {
	ID                   string               `json:"id"`
	ProjectEnvironmentID string               `json:"projectEnvironmentId"`
	VerifiedCredentials  []verifiedCredential `json:"verifiedCredentials"`
	SessionID            string               `json:"sessionId"`
}

// userWithWallet answers byWalletAddress in both shapes at once.
type userWithWallet struct {
	*user
	Wallet *walletObject `json:"wallet,omitempty"`
}

func (v *Vendor) byWalletAddress(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	wallet := v.byAddress[r.PathValue("address")]
	v.mu.Unlock()
	fault := faults.From(r.Context()).Kind
	if refusal := walletFault(fault); refusal != nil {
		refusal.write(w)
		return
	}
	if wallet == nil {
		unknownWallet().write(w)
		return
	}
	object, credential := v.show(wallet)
	if fault == faults.WrongPublicKey {
		object.AccountAddress = otherAddress(wallet)
		credential.Address = object.AccountAddress
	}
	u := v.user([]verifiedCredential{credential})
	switch {
	case v.assume.Is(assume.WalletReply, assume.WalletOnly):
		writeJSON(w, http.StatusOK, map[string]walletObject{"wallet": object})
	case v.assume.Is(assume.WalletReply, assume.UserOnly):
		writeJSON(w, http.StatusOK, u)
	default:
		writeJSON(w, http.StatusOK, userWithWallet{&u, &object})
	}
}

func (v *Vendor) byWalletID(w http.ResponseWriter, r *http.Request) {
	fault := faults.From(r.Context()).Kind
	if refusal := walletFault(fault); refusal != nil {
		refusal.write(w)
		return
	}
	wallet, refusal := v.walletByID(r.PathValue("wallet"))
	if refusal != nil {
		refusal.write(w)
		return
	}
	object, _ := v.show(wallet)
	if fault == faults.WrongPublicKey {
		object.AccountAddress = otherAddress(wallet)
	}
	writeJSON(w, http.StatusOK, map[string]walletObject{"wallet": object})
}

func (v *Vendor) users(w http.ResponseWriter, _ *http.Request) {
	v.mu.Lock()
	wallets := v.wallets
	v.mu.Unlock()
	credentials := make([]verifiedCredential, len(wallets))
	for i, wallet := range wallets {
		_, credentials[i] = v.show(wallet)
	}
	writeJSON(w, http.StatusOK, v.user(credentials))
}

func (v *Vendor) user(credentials []verifiedCredential) user {
	return user{
		ID: v.userID, ProjectEnvironmentID: v.environmentID, VerifiedCredentials: credentials, SessionID: v.userID,
	}
}

// show is what the vendor tells of a wallet, in its two shapes.
func (v *Vendor) show(w *wallet) (walletObject, verifiedCredential) {
	v.mu.Lock()
	defer v.mu.Unlock()
	const path = "m/44/0/0/0/0" // the keys of the sandbox are not derived; the field is required
	object := walletObject{
		WalletID: w.id, AccountAddress: w.address, ChainName: w.chain, DerivationPath: path,
		ThresholdSignatureScheme: w.scheme, ShareSetID: w.active.id, ShareSetType: "rootUser",
		OtherShareSets: []struct{}{}, KeyShares: w.active.backups,
	}
	p := properties{
		KeyShares: w.active.backups, ThresholdSignatureScheme: w.scheme, DerivationPath: path,
		ShareSetID: w.active.id, ShareSetType: "rootUser", OtherShareSets: []struct{}{}, Version: "V3",
	}
	chain := "solana"
	if w.chain == "BTC" {
		chain = "bip122"
	}
	return object, verifiedCredential{
		ID: w.id, Format: "blockchain", Address: w.address, Chain: chain,
		WalletName: "dynamicwaas", WalletNameSnake: "dynamicwaas",
		Provider: "embeddedWallet", ProviderSnake: "embeddedWallet",
		Properties: p, PropertiesSnake: p, VerifiedAt: w.active.openedAt,
	}
}

// walletByID finds a wallet, or says in the vendor's words why not.
func (v *Vendor) walletByID(id string) (*wallet, *refusal) {
	if !isUUID(id) {
		return nil, refused(http.StatusBadRequest, "walletId must be a lower-case uuid")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if w := v.byID[id]; w != nil {
		return w, nil
	}
	return nil, unknownWallet()
}

func unknownWallet() *refusal {
	return refusedWithCode(http.StatusNotFound, "wallet_not_found", "Wallet not found")
}

func walletFault(fault faults.Kind) *refusal {
	switch fault {
	case faults.Reject:
		return forbidden("access_denied", "access to this wallet is denied")
	case faults.LoseState:
		return unknownWallet()
	}
	return nil
}

// otherAddress is a valid address of the wallet's chain that is not its own.
func otherAddress(w *wallet) string {
	for _, curve := range mpc.Curves() {
		if curve.Chain() != w.chain {
			continue
		}
		if share, _, err := mpc.Generate(curve, rand.Reader); err == nil {
			return share.Address()
		}
	}
	return ""
}

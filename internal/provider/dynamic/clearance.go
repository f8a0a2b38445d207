package dynamic

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/rotatord/rotatord/internal/provider"
)

// clientShares is how many of a scheme's shares the customer holds; the vendor
// holds the rest.
var clientShares = map[string]int{
	"TWO_OF_TWO":    1,
	"TWO_OF_THREE":  2,
	"THREE_OF_FIVE": 3,
}

// backupLocations are the vendor's names of places where a client share may be
// kept. Only a known name is quoted in an error.
var backupLocations = []string{"googleDrive", "iCloud", "dynamic", "external", "delegated", "offlineRecovery"}

const external = "external"

// settings is what an operator may say of a wallet in wallets.settings.
type settings struct {
	// ExternalClientShares states that the wallet has so many client shares,
	// all of them kept outside the vendor. It counts only where the vendor does
	// not say so itself.
	ExternalClientShares int `json:"external_client_shares"`
}

func parseSettings(w provider.Wallet) (settings, error) {
	var s settings
	if len(w.Settings) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(w.Settings, &s); err != nil {
		return s, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"reading the settings of wallet %s: %w", w.ExternalID, err)
	}
	return s, nil
}

// clearance says that a refresh of a wallet loses no way of recovery: every
// client share is kept externally, which is where the co-signer puts the new
// ones, and there are as many as the scheme asks for.
type clearance struct {
	shareSet string // the active one it holds for
	shares   int    // client shares, each of them a location in the swap
}

// clearanceOf decides whether a wallet may be refreshed.
//
// A share backed up at the vendor, in a cloud drive or with a delegate would
// stay there as it is and be worthless after the swap; whoever relies on it
// would learn that when it is needed. A wallet of which the vendor tells no key
// shares at all is refused too: an active wallet has at least one, so silence
// means that this backend or this token does not show them, not that there are
// no other backups. The operator's settings can speak in that case, and only
// in that case.
func clearanceOf(v walletView, s settings) (clearance, error) {
	refuse := func(format string, args ...any) (clearance, error) {
		return clearance{}, fmt.Errorf(format+": a refresh would lose recovery", args...)
	}
	if v.ShareSetType == "delegated" || v.ShareSetType == "offlineRecovery" {
		return clearance{}, fmt.Errorf("its active share set is of type %s, which only its user can refresh", v.ShareSetType)
	}
	if v.KeyShares == nil {
		n := s.ExternalClientShares
		if n < 1 {
			return refuse("the vendor does not tell where its key shares are backed up (settings: external_client_shares)")
		}
		if want, ok := clientShares[v.Scheme]; ok && want != n {
			return refuse("its settings speak of %d client shares, its scheme of %d", n, want)
		}
		return clearance{v.ShareSet, n}, nil
	}
	for _, share := range v.KeyShares {
		if share.BackupLocation == external {
			continue
		}
		place := "an unknown place"
		if slices.Contains(backupLocations, share.BackupLocation) {
			place = share.BackupLocation
		}
		return refuse("a key share is backed up at %s, not only external", place)
	}
	want, ok := clientShares[v.Scheme]
	if !ok {
		return refuse("its threshold scheme is not known, nor therefore the number of client shares")
	}
	if len(v.KeyShares) != want {
		return refuse("it has %d client shares on record, its scheme has %d", len(v.KeyShares), want)
	}
	return clearance{v.ShareSet, want}, nil
}

// maxClearances limits what Inspect leaves behind for wallets that are only
// looked at and never opened.
const maxClearances = 4096

// clearances hands what Inspect found over to the Open that follows, so that
// the check costs no second request; each serves for one Open. Where it is
// missing, Open looks for itself.
type clearances struct {
	mu       sync.Mutex
	byWallet map[string]clearance
}

func (c *clearances) put(wallet string, cl clearance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byWallet == nil {
		c.byWallet = make(map[string]clearance)
	}
	for other := range c.byWallet {
		if len(c.byWallet) < maxClearances {
			break
		}
		delete(c.byWallet, other)
	}
	c.byWallet[wallet] = cl
}

func (c *clearances) drop(wallet string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byWallet, wallet)
}

func (c *clearances) take(wallet string) (clearance, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, ok := c.byWallet[wallet]
	delete(c.byWallet, wallet)
	return cl, ok
}

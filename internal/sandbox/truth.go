package sandbox

import (
	"runtime"
	"sync"

	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// WalletState is the truth about one wallet or vault, proven by signatures.
type WalletState struct {
	Provider         string   `json:"provider"` // the vendor: dynamic or cobo
	ID               string   `json:"id"`
	Address          string   `json:"address"`
	Chain            string   `json:"chain"`
	PublicKey        string   `json:"public_key"`       // Cobo: CURVE:xpub of both curves, by name, with ; between
	ActiveShareSet   string   `json:"active_share_set"` // Cobo: the Valid Main Group
	PendingShareSets []string `json:"pending_share_sets"`
	Generation       int      `json:"generation"` // swaps so far
	CosignerShareSet string   `json:"cosigner_share_set"`
	// CanSign: a fresh signature made with both parties' current shares stands
	// under the wallet's first public key. Between the swap and the co-signer's
	// commit it does not.
	CanSign bool `json:"can_sign"`
	// Recoverable: some share that the co-signer holds, current or not, signs
	// with the vendor's active one. If not, the key is lost.
	Recoverable bool `json:"recoverable"`
	// OldShareSigns: a share of a retired set, of either party, combines with
	// one that is not retired.
	OldShareSigns bool `json:"old_share_signs"`
	// Retiring: the vendor still keeps a retired set, so that it signs. Dynamic
	// drops it with the swap, so never there; Cobo keeps a Main Group that was
	// converted until it is deleted.
	Retiring bool `json:"retiring"`
}

// State of every wallet and vault, in a fixed order.
func (s *Sandbox) State() []WalletState {
	wallets, vaults := s.vendor.Views(), s.cobo.Views()
	states := make([]WalletState, len(wallets)+len(vaults))
	// Signatures are all CPU.
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				if i < len(wallets) {
					states[i] = s.judge(wallets[i])
				} else {
					states[i] = s.judgeVault(vaults[i-len(wallets)])
				}
			}
		})
	}
	for i := range states {
		next <- i
	}
	close(next)
	workers.Wait()
	return states
}

// WalletState of one wallet or vault; ok is false if there is none.
func (s *Sandbox) WalletState(id string) (state WalletState, ok bool) {
	if view, ok := s.vendor.View(id); ok {
		return s.judge(view), true
	}
	if view, ok := s.cobo.View(id); ok {
		return s.judgeVault(view), true
	}
	return WalletState{}, false
}

// remember archives what the co-signer holds for a wallet.
func (s *Sandbox) remember(wallet string) { s.held(wallet) }

// held is what the co-signer has; nothing, if it lost everything or is down.
func (s *Sandbox) held(wallet string) (current string, shares map[string]reference.Kept) {
	running := s.gate.signer.Load()
	if running == nil {
		return "", nil
	}
	current, shares, err := running.Shares(s.provider, wallet)
	if err != nil {
		return "", nil
	}
	for id, k := range shares {
		s.archive.keep(wallet, id, k.Share)
	}
	return current, shares
}

func (s *Sandbox) judge(v dynamic.View) WalletState {
	current, held := s.held(v.ID)
	state := WalletState{
		Provider: "dynamic", ID: v.ID, Address: v.Address, Chain: v.Chain, PublicKey: v.PublicKey,
		ActiveShareSet: v.Active.ID, PendingShareSets: []string{}, Generation: v.Generation,
		CosignerShareSet: current,
	}

	retiredSets := make(map[string]bool)
	var vendorRetired []mpc.Share
	for _, set := range v.Retired {
		retiredSets[set.ID] = true
		vendorRetired = append(vendorRetired, set.Share)
	}
	vendorLive := []mpc.Share{v.Active.Share}
	for _, set := range v.Pending {
		state.PendingShareSets = append(state.PendingShareSets, set.ID)
		vendorLive = append(vendorLive, set.Share)
	}
	var clientLive []mpc.Share
	for id, k := range held {
		if !retiredSets[id] {
			clientLive = append(clientLive, k.Share)
		}
	}
	// Compared with the key of the first day, not with what the shares say now.
	sameKey := v.Active.Share.PublicKeyHex() == v.PublicKey
	signs := sameKey && mpc.CanSign(held[current].Share, v.Active.Share)
	state.CanSign = signs && v.Active.Signs
	state.Recoverable = signs
	for _, k := range held {
		state.Recoverable = state.Recoverable || sameKey && mpc.CanSign(k.Share, v.Active.Share)
	}
	state.OldShareSigns = s.archive.anySign(s.archive.of(v.ID, retiredSets), vendorLive) ||
		s.archive.anySign(vendorRetired, clientLive)
	return state
}

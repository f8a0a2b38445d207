package sandbox

import (
	"bytes"
	"math/bits"
	"strings"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// judgeVault is judge for a vault: t-of-n, and a key on each curve.
func (s *Sandbox) judgeVault(v cobo.View) WalletState {
	state := WalletState{
		Provider: "cobo", ID: v.ID, PublicKey: publicKeys(v), PendingShareSets: []string{}, Generation: v.Generation,
	}
	for _, g := range v.Groups {
		signs := !g.Deleted && groupSigns(v, g)
		if g.Main {
			state.ActiveShareSet, state.CanSign = g.ID, signs
		}
		state.Recoverable = state.Recoverable || signs
		if g.Pending {
			state.PendingShareSets = append(state.PendingShareSets, g.ID)
		}
		state.Retiring = state.Retiring || g.WasMain && !g.Main && !g.Deleted
	}
	state.OldShareSigns = s.oldSharesSign(v)
	return state
}

// SignsFromBefore is [SignFromBefore] of one of the vaults.
func (s *Sandbox) SignsFromBefore(vault string) (groups []string) {
	v, ok := s.cobo.View(vault)
	if !ok {
		return nil
	}
	return SignFromBefore(v)
}

// VaultGroups are the types of a vault's groups that are not deleted.
func (s *Sandbox) VaultGroups(vault string) (types []string) {
	v, _ := s.cobo.View(vault)
	for _, g := range v.Groups {
		if !g.Deleted {
			types = append(types, g.Type)
		}
	}
	return types
}

// SignFromBefore names the groups of a vault whose shares are older than those of
// its Main Group and sign on some curve: by themselves, as long as the vendor has
// not dropped its share, or together with shares that are in use. If there is
// none, no share of before the last rotation is worth anything, whatever it was
// for. Unlike OldShareSigns this counts groups that nobody meant to retire.
func SignFromBefore(v cobo.View) (groups []string) {
	var main cobo.GroupView
	for _, g := range v.Groups {
		if g.Main {
			main = g
		}
	}
	for _, old := range v.Groups {
		if old.Keyed == 0 || old.Keyed >= main.Keyed {
			continue
		}
		for _, live := range v.Groups {
			if !live.Deleted && signTogether(v, old, live) {
				groups = append(groups, old.ID)
				break
			}
		}
	}
	return groups
}

// signTogether tries some shares of each on every curve; of one group, if both
// are the same.
func signTogether(v cobo.View, old, live cobo.GroupView) bool {
	for curve := range v.RootPubkeys {
		if len(old.Shares[curve]) > 0 && len(live.Shares[curve]) > 0 && combine(old.Shares[curve], live.Shares[curve]) {
			return true
		}
	}
	return false
}

// publicKeys is both root keys as one text, by the name of the curve.
func publicKeys(v cobo.View) string {
	return "ED25519:" + v.RootPubkeys[mpc.Ed25519] + ";SECP256K1:" + v.RootPubkeys[mpc.BIP340]
}

// groupSigns says whether every qualified subset of a group signs, on every
// curve, under the key of the first day.
func groupSigns(v cobo.View, g cobo.GroupView) bool {
	for curve, root := range v.RootPubkeys {
		shares := g.Shares[curve]
		if len(shares) == 0 || !sameKey(root, shares[0].RootPubkey()) {
			return false
		}
		signs := true
		eachSubset(shares, func(subset []mpc.ThresholdShare, _ int) {
			if len(subset) == shares[0].Threshold() {
				signs = signs && mpc.CanSignJointly(subset)
			}
		})
		if !signs {
			return false
		}
	}
	return true
}

// sameKey compares the keys inside two extended public keys.
func sameKey(a, b string) bool {
	curve, key, err := mpc.DecodeRootPubkey(a)
	if err != nil {
		return false
	}
	otherCurve, otherKey, err := mpc.DecodeRootPubkey(b)
	return err == nil && curve == otherCurve && bytes.Equal(key, otherKey)
}

// oldSharesSign tries the shares of every group that is retired (it was the
// Main Group, or it is deleted) together with those that are still in use, the
// way a thief would who has some of each.
func (s *Sandbox) oldSharesSign(v cobo.View) bool {
	for _, old := range v.Groups {
		if old.Main || !old.WasMain && !old.Deleted {
			continue
		}
		for _, live := range v.Groups {
			if live.Deleted {
				continue
			}
			for curve := range v.RootPubkeys {
				pair := [2]string{old.ID, strings.Join([]string{live.ID, string(curve)}, " ")}
				if len(old.Shares[curve]) > 0 && len(live.Shares[curve]) > 0 &&
					s.archive.verdict(pair, func() bool { return combine(old.Shares[curve], live.Shares[curve]) }) {
					return true
				}
			}
		}
	}
	return false
}

// combine says whether some of each sharing sign together. A sharing combines
// with itself.
func combine(old, live []mpc.ThresholdShare) bool {
	signs := false
	if old[0].Fingerprint() == live[0].Fingerprint() {
		live = nil
	}
	most := old[0].Threshold()
	if live != nil {
		most = max(most, live[0].Threshold())
	}
	both := append(append([]mpc.ThresholdShare{}, old...), live...)
	eachSubset(both, func(subset []mpc.ThresholdShare, mask int) {
		ofOld := mask & (1<<len(old) - 1)
		if signs || len(subset) > most || ofOld == 0 || live != nil && ofOld == mask {
			return
		}
		signs = mpc.CanSignJointly(subset)
	})
	return signs
}

// eachSubset calls with every subset but the empty one, and with the bits of
// the shares that are in it.
func eachSubset(shares []mpc.ThresholdShare, call func(subset []mpc.ThresholdShare, mask int)) {
	for mask := 1; mask < 1<<len(shares); mask++ {
		subset := make([]mpc.ThresholdShare, 0, bits.OnesCount(uint(mask)))
		for i, share := range shares {
			if mask>>i&1 == 1 {
				subset = append(subset, share)
			}
		}
		call(subset, mask)
	}
}

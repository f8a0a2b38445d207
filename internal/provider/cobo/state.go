package cobo

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rotatord/rotatord/internal/provider"
)

// state is what the vendor says about a vault at one moment: the vault and all
// of its groups.
type state struct {
	vault  vault
	groups []group
}

// look reads the state of a vault.
func (p *Provider) look(ctx context.Context, vaultID string) (state, error) {
	if !idPattern.MatchString(vaultID) {
		return state{}, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"vault %q: this cannot be the id of a Cobo vault", vaultID)
	}
	v, err := p.getVault(ctx, vaultID)
	if err != nil {
		return state{}, err
	}
	if v.ID != vaultID {
		return state{}, mismatch("the vendor answered for another vault than %s", vaultID)
	}
	groups, err := p.listGroups(ctx, vaultID)
	return state{v, groups}, err
}

func mismatch(format string, args ...any) error {
	return provider.Errorf(provider.Verification, provider.ReasonVerification, format, args...)
}

// rootKeys are root extended public keys by curve.
type rootKeys map[string]string

// String is one text for one set of keys: "ED25519:xpub…;SECP256K1:xpub…". The
// forms of curves and keys leave no room for another reading.
func (k rootKeys) String() string {
	var parts []string
	for _, curve := range slices.Sorted(maps.Keys(k)) {
		parts = append(parts, curve+":"+k[curve])
	}
	return strings.Join(parts, ";")
}

// keysOf are the keys of a list that names each curve once.
func keysOf(list []rootKey, of string) (rootKeys, error) {
	keys := make(rootKeys, len(list))
	for _, k := range list {
		if _, twice := keys[k.Curve]; twice {
			return nil, mismatch("%s has two root keys for curve %s", of, k.Curve)
		}
		keys[k.Curve] = k.RootPubkey
	}
	return keys, nil
}

// main is the one Valid Main Group. During a recovery, and wherever several are
// listed, the others are not Valid.
func (s state) main() (group, error) {
	var valid, unavailable []group
	for _, g := range s.groups {
		switch {
		case g.Type != mainGroup:
		case g.Status == groupValid:
			valid = append(valid, g)
		case g.alive():
			unavailable = append(unavailable, g)
		}
	}
	switch {
	case len(valid) == 1:
		return valid[0], nil
	case len(valid) > 1:
		return group{}, mismatch("vault %s has %d valid Main Groups: %s and %s", s.vault.ID, len(valid), valid[0].ID, valid[1].ID)
	case len(unavailable) > 0:
		return group{}, provider.Errorf(provider.Terminal, provider.ReasonPartyUnavailable,
			"the Main Group %s of vault %s is %s: a holder is setting up a phone", unavailable[0].ID, s.vault.ID, quoted(unavailable[0].Status))
	}
	return group{}, provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
		"vault %s has no valid Main Group: its first key is made in the Portal", s.vault.ID)
}

// keys are the vault's root keys, on which the vault and its Main Group must
// agree.
func (s state) keys() (rootKeys, error) {
	m, err := s.main()
	if err != nil {
		return nil, err
	}
	said, err := keysOf(s.vault.RootPubkeys, "vault "+s.vault.ID)
	if err != nil {
		return nil, err
	}
	held, err := keysOf(m.Keys, "group "+m.ID)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 {
		return nil, mismatch("the vendor tells no root keys for the Main Group %s of vault %s", m.ID, s.vault.ID)
	}
	if !maps.Equal(said, held) {
		return nil, mismatch("vault %s and its Main Group %s have different root keys", s.vault.ID, m.ID)
	}
	return held, nil
}

func (s state) find(id string) (group, bool) {
	i := slices.IndexFunc(s.groups, func(g group) bool { return g.ID == id })
	if i < 0 {
		return group{}, false
	}
	return s.groups[i], true
}

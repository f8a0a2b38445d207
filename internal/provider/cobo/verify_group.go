package cobo

import (
	"fmt"
	"maps"
	"slices"
)

// errIncomplete: nothing is wrong with what the vendor tells, but something is
// missing.
var errIncomplete = fmt.Errorf("the new group is not complete")

// verify is what "prepared" promises of a group that is Valid: one key per
// curve of the vault, each of them the root key of before and newly shared
// (another share group id), on the nodes, with the threshold and the number of
// participants that were asked for. It returns the group's root keys and the
// holders that are not online. Every other answer is a Verification error.
//
// When the group is the Main Group already, because our own record is older
// than the vendor's, it is compared with the old group as far as that is still
// listed.
func (r vendorRefs) verify(s state, g group, oldID string) (keys rootKeys, absent []holder, err error) {
	vaultKeys, err := s.keys()
	if err != nil {
		return nil, nil, err
	}
	m, err := s.main()
	if err != nil {
		return nil, nil, err
	}
	if vaultKeys.String() != r.RootKeys {
		return nil, nil, mismatch("the root keys of vault %s are not the ones on record", s.vault.ID)
	}
	if m.ID != oldID && m.ID != g.ID {
		return nil, nil, mismatch("the Main Group of vault %s is %s, neither the one on record nor the new one", s.vault.ID, m.ID)
	}
	if g.ID == oldID || g.Type != signingGroup && g.ID != m.ID {
		return nil, nil, mismatch("group %s of vault %s is of type %s", g.ID, s.vault.ID, quoted(g.Type))
	}
	old, _ := s.find(oldID)
	return r.complete(s.vault.ID, vaultKeys, g, []group{old})
}

// complete is what verify promises of the group alone. Its shares must differ
// from those of the others.
func (r vendorRefs) complete(vaultID string, vaultKeys rootKeys, g group, others []group) (keys rootKeys, absent []holder, err error) {
	if keys, err = keysOf(g.Keys, "group "+g.ID); err != nil {
		return nil, nil, err
	}
	for curve, key := range keys {
		switch known, ok := vaultKeys[curve]; {
		case !ok:
			return nil, nil, mismatch("group %s of vault %s has a key for curve %s, of which the vault has none", g.ID, vaultID, curve)
		case key != known:
			return nil, nil, mismatch("group %s of vault %s has another root key for curve %s than the vault", g.ID, vaultID, curve)
		}
	}
	for _, old := range others {
		for _, k := range g.Keys {
			if slices.ContainsFunc(old.Keys, func(o rootKey) bool { return o.ShareGroup == k.ShareGroup }) {
				return nil, nil, mismatch("group %s of vault %s has the shares of group %s for curve %s", g.ID, vaultID, old.ID, k.Curve)
			}
		}
	}
	if g.Participants != r.Participants || g.Threshold != r.Threshold {
		return nil, nil, mismatch("group %s of vault %s is %d of %d, asked for was %d of %d",
			g.ID, vaultID, g.Threshold, g.Participants, r.Threshold, r.Participants)
	}
	if !sameNodes(nodesOf(g.customers()), r.Nodes) {
		return nil, nil, mismatch("group %s of vault %s is on other TSS nodes than asked for", g.ID, vaultID)
	}
	if slices.ContainsFunc(g.Keys, func(k rootKey) bool { return k.ShareGroup == "" }) || len(keys) < len(vaultKeys) {
		return nil, nil, incomplete(g, slices.Sorted(maps.Keys(keys)))
	}
	for _, h := range g.Holders {
		if !h.ready() {
			absent = append(absent, h)
		}
	}
	return keys, absent, nil
}

func incomplete(g group, curves []string) error {
	return mismatch("group %s has keys for %d curves only %v, or does not name their shares: %w", g.ID, len(curves), curves, errIncomplete)
}

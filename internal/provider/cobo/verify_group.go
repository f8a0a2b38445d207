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
	if keys, err = keysOf(g.Keys, "group "+g.ID); err != nil {
		return nil, nil, err
	}
	for curve, key := range keys {
		switch known, ok := vaultKeys[curve]; {
		case !ok:
			return nil, nil, mismatch("group %s of vault %s has a key for curve %s, of which the vault has none", g.ID, s.vault.ID, curve)
		case key != known:
			return nil, nil, mismatch("group %s of vault %s has another root key for curve %s than the vault", g.ID, s.vault.ID, curve)
		}
	}
	old, _ := s.find(oldID)
	for _, k := range g.Keys {
		if slices.ContainsFunc(old.Keys, func(o rootKey) bool { return o.ShareGroup == k.ShareGroup }) {
			return nil, nil, mismatch("group %s of vault %s has the shares of the old group for curve %s", g.ID, s.vault.ID, k.Curve)
		}
	}
	if g.Participants != r.Participants || g.Threshold != r.Threshold {
		return nil, nil, mismatch("group %s of vault %s is %d of %d, asked for was %d of %d",
			g.ID, s.vault.ID, g.Threshold, g.Participants, r.Threshold, r.Participants)
	}
	if !sameNodes(nodesOf(g.customers()), r.Nodes) {
		return nil, nil, mismatch("group %s of vault %s is on other TSS nodes than asked for", g.ID, s.vault.ID)
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

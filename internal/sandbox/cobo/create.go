package cobo

import (
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// offered are the schemes on the vendor's list: threshold of participants.
var offered = [][2]int{{2, 2}, {2, 3}, {3, 3}}

type createGroupRequest struct {
	Type         string       `json:"key_share_holder_group_type"`
	Participants *int         `json:"participants"`
	Threshold    *int         `json:"threshold"`
	Holders      []holderSpec `json:"key_share_holders"`
}

// holderSpec is the vendor's CreateKeyShareHolder.
type holderSpec struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	TSSNodeID string `json:"tss_node_id"`
	Signer    bool   `json:"signer"`
}

func readCreateGroup(body []byte) (createGroupRequest, *refusal) {
	var in createGroupRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return in, invalid("the body is not JSON of this request")
	}
	switch {
	case in.Type == "":
		return in, missing("key_share_holder_group_type")
	case in.Participants == nil:
		return in, missing("participants")
	case in.Threshold == nil:
		return in, missing("threshold")
	case len(in.Holders) == 0:
		return in, missing("key_share_holders")
	case !slices.Contains([]string{MainGroup, SigningGroup, RecoveryGroup}, in.Type):
		return in, invalid("key_share_holder_group_type")
	case !slices.Contains(offered, [2]int{*in.Threshold, *in.Participants}):
		return in, invalid("threshold and participants are of no scheme that is offered")
	}
	return in, nil
}

// createGroup makes a group without a key. It is not idempotent, as little as
// the vendor's.
func (v *Vendor) createGroup(c *call) (any, *refusal) {
	in, refusal := readCreateGroup(c.body)
	if refusal != nil {
		return nil, refusal
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	holders, refusal := v.newHolders(c.vault, in)
	if refusal != nil {
		return nil, refusal
	}
	g := &group{
		at: v.next(), id: uuid.NewString(), kind: in.Type, status: StatusNew, threshold: *in.Threshold,
		holders: holders, created: v.now(),
	}
	if c.hit.Kind != faults.LoseState {
		c.vault.groups = append(c.vault.groups, g)
	}
	return v.groupJSON(g, c.hit), nil
}

// newHolders checks the holders that a request names and adds Cobo's own, where
// the vendor does so. The caller holds mu.
func (v *Vendor) newHolders(vt *vault, in createGroupRequest) ([]*holder, *refusal) {
	var holders []*holder
	if in.Type != RecoveryGroup {
		holders = append(holders, v.coboHolder(vt.number))
	}
	for _, spec := range in.Holders {
		switch {
		case spec.Type != HolderAPI:
			return nil, invalid("key_share_holders: type %q; the simulator has server co-signers only", spec.Type)
		case !v.isCustomers(spec.TSSNodeID):
			return nil, invalid("key_share_holders: unknown tss_node_id %q", spec.TSSNodeID)
		case slices.ContainsFunc(holders, func(h *holder) bool { return h.nodeID == spec.TSSNodeID }):
			return nil, invalid("key_share_holders: a tss_node_id comes twice")
		}
		if reason := v.occupied(vt, spec.TSSNodeID); reason != "" {
			return nil, v.wrongState(reason)
		}
		holders = append(holders,
			&holder{name: spec.Name, kind: spec.Type, nodeID: spec.TSSNodeID, signer: spec.Signer, status: StatusValid})
	}
	if len(holders) != *in.Participants {
		return nil, invalid("participants is %d, and the holders are %d, Cobo included", *in.Participants, len(holders))
	}
	return holders, nil
}

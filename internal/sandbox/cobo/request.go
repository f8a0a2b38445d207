package cobo

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// request is a TSS request.
type request struct {
	at                        int
	id                        string
	kind, status, description string
	source                    *sourceGroup
	target                    string
	created                   time.Time

	stop     chan struct{} // closed at its end
	approved chan struct{} // closed when people need not be waited for any more
	call     faults.Hit    // what befell the call that made it
	ceremony faults.Hit    // and what befalls the TSS nodes
}

// ended says that nothing more will come of it.
func (q *request) ended() bool {
	select {
	case <-q.stop:
		return true
	default:
		return false
	}
}

func (q *request) json() requestJSON {
	return requestJSON{
		ID: q.id, Source: q.source, Target: q.target, Type: q.kind, Status: q.status,
		Description: q.description, Created: q.created.UnixMilli(),
	}
}

// busy says that a running TSS request reads or makes this group's key. The
// caller holds mu.
func (vt *vault) busy(g *group) bool {
	return slices.ContainsFunc(vt.requests, func(q *request) bool {
		return !q.ended() && (q.target == g.id || q.source != nil && q.source.ID == g.id)
	})
}

type createTSSRequest struct {
	Type        string       `json:"type"`
	Target      string       `json:"target_key_share_holder_group_id"`
	Source      *sourceGroup `json:"source_key_share_holder_group"`
	Description string       `json:"description"`
}

func readCreateTSSRequest(body []byte) (createTSSRequest, *refusal) {
	var in createTSSRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return in, invalid("the body is not JSON of this request")
	}
	switch {
	case in.Type == "":
		return in, missing("type")
	case in.Target == "":
		return in, missing("target_key_share_holder_group_id")
	case !slices.Contains([]string{KeyGen, KeyGenFromKeyGroup, Recovery}, in.Type):
		return in, invalid("type")
	case in.Type != KeyGen && (in.Source == nil || in.Source.ID == ""):
		return in, missing("source_key_share_holder_group")
	}
	return in, nil
}

func (v *Vendor) createRequest(c *call) (any, *refusal) {
	in, refusal := readCreateTSSRequest(c.body)
	if refusal != nil {
		return nil, refusal
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if refusal := v.checkRequest(c.vault, in); refusal != nil {
		return nil, refusal
	}
	q := v.newRequest(c.vault, in)
	q.call = c.hit
	v.begin(c.vault, q)
	return q.json(), nil
}

// checkRequest says why a TSS request cannot be. The caller holds mu.
func (v *Vendor) checkRequest(vt *vault, in createTSSRequest) *refusal {
	if in.Type == KeyGen {
		return v.wrongState("the vault has its root keys already")
	}
	target, source := vt.find(in.Target), vt.find(in.Source.ID)
	if !v.shown(target) {
		return notFound("target key share holder group")
	}
	if !v.shown(source) {
		return notFound("source key share holder group")
	}
	from, to := []string{MainGroup}, []string{SigningGroup, RecoveryGroup}
	if in.Type == Recovery {
		from, to = []string{RecoveryGroup}, []string{MainGroup}
	}
	running := slices.ContainsFunc(vt.requests, func(q *request) bool { return !q.ended() })
	switch {
	case target.status != StatusNew || target.deleted || !slices.Contains(to, target.kind):
		return v.wrongState("the target group does not wait for a key of this type of request")
	case source.status != StatusValid || source.deleted || !slices.Contains(from, source.kind):
		return v.wrongState("the source group has no key for this type of request")
	case vt.busy(target):
		return v.wrongState("a TSS request of the target group is running")
	case target.spent && v.assume.Is(assume.CoboFailedRequest, assume.Refused):
		return v.wrongState("a TSS request of the target group failed")
	case running && v.assume.Is(assume.CoboSecondRequest, assume.Refused):
		return v.wrongState("a TSS request of the vault is running")
	}
	return checkNodes(source, in.Source.TSSNodeIDs)
}

// checkNodes checks which of a source group's holders are to take part. Nobody
// named means that it is left to the vendor.
func checkNodes(source *group, ids []string) *refusal {
	if len(ids) == 0 {
		return nil
	}
	seen := make(map[string]bool)
	cobo := source.kind == RecoveryGroup
	for _, id := range ids {
		i := slices.IndexFunc(source.holders, func(h *holder) bool { return h.nodeID == id })
		if i < 0 || seen[id] {
			return invalid("tss_node_ids: %q is no holder of the source group, or comes twice", id)
		}
		seen[id] = true
		cobo = cobo || source.holders[i].kind == HolderCobo
	}
	if len(ids) < source.threshold || !cobo {
		return invalid("tss_node_ids must have one of Cobo's and reach the threshold of %d", source.threshold)
	}
	return nil
}

// newRequest puts a request on record. The caller holds mu.
func (v *Vendor) newRequest(vt *vault, in createTSSRequest) *request {
	at, now := v.next(), v.now()
	q := &request{
		at: at, id: fmt.Sprintf("%s%018d", now.UTC().Format("20060102150405"), at),
		kind: in.Type, status: PendingKeyHolderConfirmation, description: in.Description,
		source: in.Source, target: in.Target, created: now,
		stop: make(chan struct{}), approved: make(chan struct{}),
	}
	vt.requests = append(vt.requests, q)
	return q
}

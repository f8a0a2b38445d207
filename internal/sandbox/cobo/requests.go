package cobo

import (
	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

func (v *Vendor) listRequests(c *call) (any, *refusal) {
	query := c.URL.Query()
	id := query.Get("key_share_holder_group_id")
	if id == "" {
		return nil, missing("key_share_holder_group_id")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.vault.find(id) == nil {
		return nil, notFound("key share holder group")
	}
	both := v.assume.Is(assume.CoboListRequests, assume.Both)
	var entries []entry[requestJSON]
	for _, q := range c.vault.requests {
		matches := q.target == id || both && q.source != nil && q.source.ID == id
		if matches && c.hit.Kind != faults.LoseState {
			entries = append(entries, entry[requestJSON]{q.at, q.json()})
		}
	}
	return paginate(query, entries)
}

func (v *Vendor) getRequest(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := c.vault.request(c.PathValue("request"))
	if q == nil || c.hit.Kind == faults.LoseState {
		return nil, notFound("TSS request")
	}
	return q.json(), nil
}

// cancelRequest ends a request. Its status is then Success, as the vendor's
// documentation says.
func (v *Vendor) cancelRequest(c *call) (any, *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := c.vault.request(c.PathValue("request"))
	switch {
	case q == nil:
		return nil, notFound("TSS request")
	case q.ended():
		return nil, v.wrongState("the TSS request has ended")
	}
	if c.hit.Kind == faults.LoseState {
		lie := q.json()
		lie.Status = Success
		return lie, nil
	}
	v.end(c.vault, q, Success)
	target := c.vault.find(q.target)
	target.spent = true
	if v.assume.Is(assume.CoboAfterCancel, assume.GroupVanishes) {
		v.drop(target)
	}
	return q.json(), nil
}

// request of a vault; the caller holds mu.
func (vt *vault) request(id string) *request {
	for _, q := range vt.requests {
		if q.id == id {
			return q
		}
	}
	return nil
}

package cobo

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/mpc"
)

// What people do at the Portal, beside whatever the daemon does: for tests.

// NewGroup is a group that a person makes. None of the API's rules apply.
type NewGroup struct {
	Type      string      `json:"type"`      // any text; empty: SigningGroup
	Status    string      `json:"status"`    // any text; empty: Valid
	Threshold int         `json:"threshold"` // zero: all of them
	Holders   []NewHolder `json:"holders"`
}

// NewHolder of such a group. Its node is made if it does not exist; a person's
// phone is offline until SetNode says otherwise.
type NewHolder struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	TSSNodeID string `json:"tss_node_id"`
	Signer    bool   `json:"signer"`
	Status    string `json:"status"` // empty: Valid
}

// AddGroup makes a group and returns its id. Unless its status is New it has
// shares of the vault's keys, made from those of the Main Group.
func (v *Vendor) AddGroup(vaultID string, spec NewGroup) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	vt := v.byID[vaultID]
	if vt == nil || len(spec.Holders) == 0 {
		return "", errors.New("no such vault, or no holders")
	}
	g := &group{
		at: v.next(), id: uuid.NewString(), kind: cmp.Or(spec.Type, SigningGroup), status: cmp.Or(spec.Status, StatusValid),
		threshold: cmp.Or(spec.Threshold, len(spec.Holders)), created: v.now(),
	}
	for _, h := range spec.Holders {
		if v.node(h.TSSNodeID) == nil {
			v.others = append(v.others, &node{id: h.TSSNodeID})
		}
		g.holders = append(g.holders, &holder{
			name: h.Name, kind: h.Type, nodeID: h.TSSNodeID, signer: h.Signer, status: cmp.Or(h.Status, StatusValid),
		})
	}
	if g.status != StatusNew {
		from := vt.main()
		if from == nil {
			return "", errors.New("the vault has no Main Group")
		}
		g.keys, g.keyed = make(map[mpc.Curve]sharing), v.next()
		for curve, key := range from.keys {
			shares, err := mpc.Reshare(key.shares, g.threshold, len(g.holders), rand.Reader)
			if err != nil {
				return "", err
			}
			g.keys[curve] = sharing{id: uuid.NewString(), shares: shares}
		}
		g.wasMain = g.kind == MainGroup && g.status == StatusValid
	}
	vt.groups = append(vt.groups, g)
	return g.id, nil
}

// GroupChange is what a person changes; empty fields stay.
type GroupChange struct {
	Type   string `json:"type"`   // any text
	Status string `json:"status"` // any text
	Delete bool   `json:"delete"`
	// Upgrade makes it the Main Group; the value says what becomes of the old
	// one: Invalidate or ConvertToSigningGroup.
	Upgrade string `json:"upgrade"`
}

// ChangeGroup changes a group, of any vault, by none of the API's rules.
func (v *Vendor) ChangeGroup(id string, change GroupChange) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, vt := range v.vaults {
		if g := vt.find(id); g != nil {
			g.kind, g.status = cmp.Or(change.Type, g.kind), cmp.Or(change.Status, g.status)
			if change.Upgrade != "" {
				v.promote(vt, g, change.Upgrade)
			}
			if change.Delete {
				v.drop(g)
			}
			return nil
		}
	}
	return fmt.Errorf("no group %q", id)
}

// NewRequest is a TSS request that a person makes. The API's rules apply.
type NewRequest struct {
	Type        string `json:"type"` // empty: KeyGenFromKeyGroup
	Source      string `json:"source"`
	Target      string `json:"target"`
	Description string `json:"description"`
}

// AddRequest makes a TSS request and returns its id.
func (v *Vendor) AddRequest(vaultID string, spec NewRequest) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	vt := v.byID[vaultID]
	if vt == nil {
		return "", fmt.Errorf("no vault %q", vaultID)
	}
	in := createTSSRequest{
		Type: cmp.Or(spec.Type, KeyGenFromKeyGroup), Target: spec.Target,
		Source: &sourceGroup{ID: spec.Source}, Description: spec.Description,
	}
	if refusal := v.checkRequest(vt, in); refusal != nil {
		return "", errors.New(refusal.message)
	}
	q := v.newRequest(vt, in)
	v.begin(vt, q)
	return q.id, nil
}

// RequestChange is what people decide about a TSS request.
type RequestChange struct {
	// Approve ends the wait for people at once.
	Approve bool `json:"approve"`
	// Status ends the request. One that the API does not have is shown from now
	// on and nothing more comes of it.
	Status string `json:"status"`
}

// ChangeRequest changes a running TSS request, of any vault.
func (v *Vendor) ChangeRequest(id string, change RequestChange) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, vt := range v.vaults {
		q := vt.request(id)
		switch {
		case q == nil:
			continue
		case q.ended():
			return errors.New("the TSS request has ended")
		}
		if change.Approve {
			select {
			case <-q.approved:
			default:
				close(q.approved)
			}
		}
		if change.Status != "" {
			v.end(vt, q, change.Status)
			vt.find(q.target).spent = true
		}
		return nil
	}
	return fmt.Errorf("no TSS request %q", id)
}

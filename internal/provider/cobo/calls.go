package cobo

import (
	"context"
	"net/http"
	"net/url"
)

const vaultsPath = "/wallets/mpc/vaults"

func groupsPath(vaultID string, parts ...string) string {
	return below(vaultsPath, append([]string{vaultID, "key_share_holder_groups"}, parts...)...)
}

func requestsPath(vaultID string, parts ...string) string {
	return below(vaultsPath, append([]string{vaultID, "tss_requests"}, parts...)...)
}

// below needs no escaping: all ids have the form of idPattern.
func below(path string, parts ...string) string {
	for _, part := range parts {
		path += "/" + part
	}
	return path
}

func (p *Provider) getVault(ctx context.Context, vaultID string) (vault, error) {
	r := request{op: opGetVault, what: "reading vault " + vaultID, method: http.MethodGet, path: below(vaultsPath, vaultID)}
	return one[vault](ctx, p, r)
}

func (p *Provider) listGroups(ctx context.Context, vaultID string) ([]group, error) {
	r := request{op: opListGroups, what: "listing the groups of vault " + vaultID, method: http.MethodGet, path: groupsPath(vaultID)}
	return collect(ctx, p, r, func(g group) string { return g.ID })
}

func (p *Provider) getGroup(ctx context.Context, vaultID, groupID string) (group, error) {
	r := request{
		op: opGetGroup, what: "reading group " + groupID + " of vault " + vaultID,
		method: http.MethodGet, path: groupsPath(vaultID, groupID),
	}
	g, err := one[group](ctx, p, r)
	if err == nil && g.ID != groupID {
		err = r.garbled("the reply is about another group")
	}
	return g, err
}

// newGroup is the vendor's CreateKeyShareHolderGroupRequest.
type newGroup struct {
	Type         string      `json:"key_share_holder_group_type"`
	Participants int         `json:"participants"`
	Threshold    int         `json:"threshold"`
	Holders      []newHolder `json:"key_share_holders"`
}

type newHolder struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Node   string `json:"tss_node_id"`
	Signer bool   `json:"signer"`
}

func (p *Provider) createGroup(ctx context.Context, vaultID string, spec newGroup) (group, error) {
	r := request{
		op: opCreateGroup, what: "creating a " + spec.Type + " in vault " + vaultID,
		method: http.MethodPost, path: groupsPath(vaultID), body: spec,
	}
	return one[group](ctx, p, r)
}

// upgrade has no field that may be left out: without a handling the vendor
// would invalidate the old group.
type upgrade struct {
	Action   string `json:"update_key_share_holder_group_action"`
	Handling string `json:"original_main_group_handling"`
}

func (p *Provider) upgradeGroup(ctx context.Context, vaultID, groupID string) (group, error) {
	r := request{
		op: opUpgradeGroup, what: "upgrading group " + groupID + " of vault " + vaultID,
		method: http.MethodPut, path: groupsPath(vaultID, groupID),
		body: upgrade{Action: "UpgradeToMainGroup", Handling: p.opts.MainGroupHandling},
	}
	return one[group](ctx, p, r)
}

func (p *Provider) deleteGroup(ctx context.Context, vaultID, groupID string) error {
	r := request{
		op: opDeleteGroup, what: "deleting group " + groupID + " of vault " + vaultID,
		method: http.MethodPost, path: groupsPath(vaultID, groupID, "delete"),
	}
	var reply struct {
		Submitted *bool `json:"submitted"`
	}
	if err := p.call(ctx, r, &reply); err != nil {
		return err
	}
	if reply.Submitted != nil && !*reply.Submitted {
		return r.garbled("the vendor answered that it did not take the request")
	}
	return nil
}

// newRequest is the vendor's CreateTSSRequestRequest.
type newTSSRequest struct {
	Type        string      `json:"type"`
	Target      string      `json:"target_key_share_holder_group_id"`
	Source      sourceGroup `json:"source_key_share_holder_group"`
	Description string      `json:"description"`
}

func (p *Provider) createRequest(ctx context.Context, vaultID string, spec newTSSRequest) (tssRequest, error) {
	r := request{
		op: opCreateRequest, what: "creating a TSS request for group " + spec.Target + " of vault " + vaultID,
		method: http.MethodPost, path: requestsPath(vaultID), body: spec,
	}
	return one[tssRequest](ctx, p, r)
}

// listRequests lists the TSS requests of a group. Whether that means only those
// whose target it is, or also those whose source it is, is not documented.
func (p *Provider) listRequests(ctx context.Context, vaultID, groupID string) ([]tssRequest, error) {
	r := request{
		op: opListRequests, what: "listing the TSS requests of group " + groupID + " of vault " + vaultID,
		method: http.MethodGet, path: requestsPath(vaultID), query: url.Values{"key_share_holder_group_id": {groupID}},
	}
	return collect(ctx, p, r, func(q tssRequest) string { return q.ID })
}

func (p *Provider) getRequest(ctx context.Context, vaultID, requestID string) (tssRequest, error) {
	r := request{
		op: opGetRequest, what: "reading TSS request " + requestID + " of vault " + vaultID,
		method: http.MethodGet, path: requestsPath(vaultID, requestID),
	}
	q, err := one[tssRequest](ctx, p, r)
	if err == nil && q.ID != requestID {
		err = r.garbled("the reply is about another TSS request")
	}
	return q, err
}

func (p *Provider) cancelRequest(ctx context.Context, vaultID, requestID string) error {
	r := request{
		op: opCancelRequest, what: "cancelling TSS request " + requestID + " of vault " + vaultID,
		method: http.MethodPost, path: requestsPath(vaultID, requestID, "cancel"),
	}
	_, err := one[tssRequest](ctx, p, r)
	return err
}

// coboNodes are the ids of the vendor's own nodes, those that are online first.
func (p *Provider) coboNodes(ctx context.Context) ([]string, error) {
	r := request{
		op: opListCoboHolders, what: "listing the nodes of the vendor of " + p.opts.Name,
		method: http.MethodGet, path: "/wallets/mpc/cobo_key_share_holders",
	}
	var holders []holder
	if err := p.call(ctx, r, &holders); err != nil {
		return nil, err
	}
	var ids []string
	for _, online := range []bool{true, false} {
		for _, h := range holders {
			if h.online() == online && idPattern.MatchString(h.Node) {
				ids = append(ids, h.Node)
			}
		}
	}
	return ids, nil
}

// one makes a call whose reply is one thing.
func one[T interface{ check() error }](ctx context.Context, p *Provider, r request) (T, error) {
	var reply T
	if err := p.call(ctx, r, &reply); err != nil {
		return reply, err
	}
	if err := reply.check(); err != nil {
		return reply, r.garbled("%s", err)
	}
	return reply, nil
}

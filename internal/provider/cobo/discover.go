package cobo

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rotatord/rotatord/internal/provider"
)

// Wallets yields every Org-Controlled vault of the organisation. An error from
// yield ends the walk and is returned.
func (p *Provider) Wallets(ctx context.Context, yield func(provider.Wallet) error) error {
	r := request{
		op: opListVaults, what: "listing the vaults of " + p.opts.Name, method: http.MethodGet,
		path: vaultsPath, query: url.Values{"vault_type": {orgControlled}},
	}
	return walk(ctx, p, r, func(v vault) error { return yield(provider.Wallet{ExternalID: v.ID}) })
}

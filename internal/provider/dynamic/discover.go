package dynamic

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/rotatord/rotatord/internal/provider"
)

// maxUser limits the one reply that lists all wallets; at about two kilobytes a
// wallet it is some 30,000 of them.
const maxUser = 64 << 20

// Wallets yields every MPC wallet of the identity behind the API token. The
// vendor lists them in one reply without pages, on a route that exists for the
// exchanged token only; with AuthServer it is refused as Terminal. An error
// from yield ends the walk and is returned.
func (p *Provider) Wallets(ctx context.Context, yield func(provider.Wallet) error) error {
	if p.opts.Auth != AuthTokenExchange {
		return provider.Errorf(provider.Terminal, provider.ReasonInvalidState,
			"listing the wallets of %s: the vendor offers this with auth %s only", p.opts.Name, AuthTokenExchange)
	}
	r := request{
		op: opWallet, what: "listing the wallets of " + p.opts.Name, method: http.MethodGet,
		path: p.route("sdk", "users"), accept: "application/json", id: newRequestID(), with: withSession,
	}
	body, err := p.call(ctx, r, maxUser)
	if err != nil {
		return err
	}
	var user walletReply
	if json.Unmarshal(body, &user) != nil || user.credentials() == nil {
		return r.garbled("the reply describes no user")
	}
	for _, c := range user.credentials() {
		if !c.isMPC() || c.ID == "" {
			continue
		}
		v := c.view()
		if err := yield(provider.Wallet{ExternalID: v.ID, Address: v.Address, Chain: v.Chain}); err != nil {
			return err
		}
	}
	return nil
}

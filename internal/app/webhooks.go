package app

import (
	"context"

	"github.com/rotatord/rotatord/internal/api"
	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/provider"
)

// webhooks are those of the providers whose vendor calls. A call has the next
// check of a parked rotation come now, on whichever replica finds it first.
func (a *App) webhooks(cfg *config.Config) []api.Webhook {
	var hooks []api.Webhook
	for _, c := range cfg.Providers {
		receiver, ok := a.parties.providers[c.Name].(provider.WebhookReceiver)
		if !ok {
			continue
		}
		hooks = append(hooks, api.Webhook{
			Type: c.Type, Provider: c.Name, Receiver: receiver,
			Wake: func(ctx context.Context, n provider.Notice) error {
				woken, err := a.store.Wake(ctx, c.Name, n.ShareSet, n.Wallet)
				a.log.Debug("webhook", "provider", c.Name, "event", n.ID, "share_set", n.ShareSet, "woken", woken, "error", err)
				return err
			},
		})
	}
	return hooks
}

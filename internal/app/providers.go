package app

import (
	"fmt"
	"log/slog"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/cobo"
	"github.com/rotatord/rotatord/internal/provider/dynamic"
)

// newProvider makes the client of one account. This is the one place where a
// new vendor is added to the daemon. It connects to nobody.
func newProvider(c config.Provider, r config.Rotation, metrics *requestMetrics, log *slog.Logger) (provider.Provider, error) {
	switch c.Type {
	case config.TypeDynamic:
		return newDynamic(c.Name, c.Dynamic, r, metrics, log)
	case config.TypeCobo:
		return newCobo(c.Name, c.Cobo, r, metrics, log)
	}
	return nil, fmt.Errorf("there is no provider type %q", c.Type)
}

func newDynamic(name string, d *config.Dynamic, r config.Rotation, metrics *requestMetrics, log *slog.Logger) (provider.Provider, error) {
	o := dynamic.Options{
		Name: name, BaseURL: d.BaseURL, EnvironmentID: d.EnvironmentID, Auth: d.Auth,
		APIToken:    d.APIToken.Current,
		CallTimeout: r.CallTimeout, CeremonyTimeout: r.CeremonyTimeout,
		RequireCeremonyComplete: d.RequireCeremonyComplete,
		RateLimits:              []dynamic.RateLimit{}, // nil would mean the documented ones
		Log:                     log,
		Observe:                 metrics.observer(name, dynamic.Operations),
	}
	for _, l := range d.RateLimits {
		o.RateLimits = append(o.RateLimits, dynamic.RateLimit{Requests: l.Requests, Per: l.Per})
	}
	if d.SigningProof.IsSet() {
		o.SigningProof = follow(d.SigningProof, log.With("provider", name))
	}
	return dynamic.New(o)
}

// mainGroupHandling is the vendor's spelling of the configuration's words.
var mainGroupHandling = map[string]string{
	config.ConvertToSigningGroup: cobo.ConvertToSigningGroup,
	config.Invalidate:            cobo.Invalidate,
}

func newCobo(name string, c *config.Cobo, r config.Rotation, metrics *requestMetrics, log *slog.Logger) (provider.Provider, error) {
	o := cobo.Options{
		Name: name, BaseURL: c.BaseURL, APISecret: c.APISecret.Current, ResponsePublicKey: c.ResponsePublicKey, Nodes: c.TSSNodes,
		MainGroupHandling: mainGroupHandling[c.OriginalMainGroupHandling], Grace: c.RetireGrace,
		RefreshOtherGroups: c.RefreshOtherGroups, ApprovalAttention: c.ApprovalAttention, CallTimeout: r.CallTimeout,
		Log: log, Observe: metrics.observer(name, cobo.Operations),
	}
	for _, l := range c.RateLimits {
		o.RateLimits = append(o.RateLimits, cobo.RateLimit{Requests: l.Requests, Per: l.Per})
	}
	return cobo.New(o)
}

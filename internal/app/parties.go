package app

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
)

// parties are the vendors and co-signers that a rotation talks to, by their
// names in the configuration.
type parties struct {
	providers map[string]provider.Provider
	coSigners map[string]*cosigner.Client
	defaults  map[string]string // provider → its default co-signer
}

// Check makes everything that a configuration asks for, as far as that goes
// without the network, and returns everything that would keep the daemon from
// starting.
func Check(cfg *config.Config) error {
	_, err := reconcile(cfg)
	errs := []error{cfg.ReadyToServe(), err}
	p, err := meet(cfg, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		errs = append(errs, err)
	} else {
		p.close()
	}
	if err := web.Validate(cfg.HTTP.WebConfigFile); err != nil {
		errs = append(errs, fmt.Errorf("reading the web configuration %s: %w", cfg.HTTP.WebConfigFile, err))
	}
	return errors.Join(errs...)
}

// meet makes a client for each party. It connects to nobody. metrics may be
// nil.
func meet(cfg *config.Config, metrics *requestMetrics, log *slog.Logger) (*parties, error) {
	p := &parties{
		providers: map[string]provider.Provider{}, coSigners: map[string]*cosigner.Client{}, defaults: map[string]string{},
	}
	var errs []error
	for _, c := range cfg.CoSigners {
		client, err := newCoSigner(c, cfg.Rotation, log)
		if err != nil {
			errs = append(errs, fmt.Errorf("co-signer %s: %w", c.Name, err))
			continue
		}
		p.coSigners[c.Name] = client
	}
	for _, c := range cfg.Providers {
		made, err := newProvider(c, cfg.Rotation, metrics, log)
		if err != nil {
			errs = append(errs, fmt.Errorf("provider %s: %w", c.Name, err))
			continue
		}
		p.providers[c.Name] = made
		if c.Dynamic != nil {
			p.defaults[c.Name] = c.Dynamic.CoSigner
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func newCoSigner(c config.CoSigner, r config.Rotation, log *slog.Logger) (*cosigner.Client, error) {
	o := cosigner.Options{Name: c.Name, URL: c.URL, Timeout: r.CallTimeout}
	if c.Token.IsSet() {
		o.Token = follow(c.Token, log.With("cosigner", c.Name))
	}
	if c.TLS != (config.TLS{}) {
		files := cosigner.TLSFiles{CA: c.TLS.CAFile, Cert: c.TLS.CertFile, Key: c.TLS.KeyFile, ServerName: c.TLS.ServerName, Log: log}
		var err error
		if o.TLS, err = files.Config(); err != nil {
			return nil, err
		}
	}
	return cosigner.New(o)
}

// coSignerName is the co-signer of a wallet: its own choice, or its provider's
// default.
func (p *parties) coSignerName(provider, named string) string {
	if named != "" {
		return named
	}
	return p.defaults[provider]
}

// coSigner is nil when there is none of that name.
func (p *parties) coSigner(provider, named string) *cosigner.Client {
	return p.coSigners[p.coSignerName(provider, named)]
}

func (p *parties) providerNames() []string { return slices.Sorted(maps.Keys(p.providers)) }
func (p *parties) coSignerNames() []string { return slices.Sorted(maps.Keys(p.coSigners)) }

// close lets go of idle connections.
func (p *parties) close() {
	for _, c := range p.coSigners {
		c.Close()
	}
	for _, made := range p.providers {
		letGo(made)
	}
}

// letGo closes a provider that keeps connections.
func letGo(p provider.Provider) {
	if c, ok := p.(interface{ Close() }); ok {
		c.Close()
	}
}

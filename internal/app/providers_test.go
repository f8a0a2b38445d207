package app

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/provider/cobo"
)

// TestCoboByConfiguration: what the file means is what the provider does, and
// the environments whose keys need not be given are those that it knows.
func TestCoboByConfiguration(t *testing.T) {
	secret := strings.Repeat("0f", 32)
	read := func(more string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("rotatord.yaml", []byte("providers: [{name: cobo, type: cobo, api_secret: "+secret+", tss_nodes: [a, b]"+more+"}]"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	defaults := read("").Providers[0].Cobo
	if defaults.RetireGrace != cobo.DefaultGrace || defaults.ApprovalAttention != cobo.DefaultApprovalAttention {
		t.Errorf("the configuration's defaults are %+v, the provider's %s and %s", defaults, cobo.DefaultGrace, cobo.DefaultApprovalAttention)
	}
	if got := strings.Join(config.CoboEnvironments, " "); got != cobo.ProductionURL+" "+cobo.DevelopmentURL {
		t.Errorf("the configuration knows %s", got)
	}
	for _, url := range config.CoboEnvironments {
		p, err := newProvider(read(", base_url: \"" + url + "\"").Providers[0], config.Default().Rotation, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		letGo(p)
	}
	for more, kept := range map[string]bool{"": true, ", original_main_group_handling: convert_to_signing_group": true, ", original_main_group_handling: invalidate": false} {
		p, err := newProvider(read(more).Providers[0], config.Default().Rotation, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer letGo(p)
		if grace, ok := p.RetireAfter(provider.Wallet{}); ok != kept || kept && grace != defaults.RetireGrace {
			t.Errorf("with %q old groups are kept for %s: %v", more, grace, ok)
		}
	}
}

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/rotatord/rotatord/internal/config"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// ErrNoProvider says that the configuration has no provider of a name, or that its vendor
// lists no wallets.
var ErrNoProvider = errors.New("no provider to list wallets of")

// SyncOptions of SyncWallets.
type SyncOptions struct {
	Provider string
	// Policy for new wallets; empty: none, so that they are not rotated yet.
	Policy string
	// Apply inserts what is missing. Without it nothing is changed.
	Apply bool
	// DatabaseURL is the login of a member of rotatord_operator; empty: that of
	// the configuration.
	DatabaseURL string
}

// Sync is how the wallets at a vendor compare with the table.
type Sync struct {
	Provider string `json:"provider"`
	Policy   string `json:"policy,omitempty"`
	AtVendor int    `json:"at_vendor"`
	InTable  int    `json:"in_table"` // before anything was inserted
	// Missing are at the vendor and not in the table; NotAtVendor the other way
	// round. They are reported and left alone.
	Missing     []VendorWallet `json:"missing"`
	NotAtVendor []TableWallet  `json:"not_at_vendor"`
	Applied     bool           `json:"applied"`
	Inserted    int            `json:"inserted"`
}

// VendorWallet is a wallet as the vendor lists it.
type VendorWallet struct {
	ExternalID string `json:"external_id"`
	Address    string `json:"address,omitempty"`
	Chain      string `json:"chain,omitempty"`
}

// TableWallet is a row of wallets.
type TableWallet struct {
	WalletID   int64  `json:"wallet_id"`
	ExternalID string `json:"external_id"`
	Policy     string `json:"policy,omitempty"`
}

// SyncWallets compares the wallets that a vendor lists with the table and, if
// asked to, inserts those that are missing. It deletes and changes nothing: a
// wallet that the vendor does not list may be one that it does not show.
func SyncWallets(ctx context.Context, cfg *config.Config, o SyncOptions) (*Sync, error) {
	listed, err := list(ctx, cfg, o.Provider)
	if err != nil {
		return nil, err
	}
	dsn := o.DatabaseURL
	if dsn == "" {
		if dsn, err = cfg.Database.URL.Current(); err != nil {
			return nil, err
		}
	}
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	operator, err := store.ConnectOperator(connecting, dsn)
	if err != nil {
		return nil, OneLine(err)
	}
	defer operator.Close(ctx)
	var policyID int32
	if o.Policy != "" {
		if policyID, err = operator.PolicyID(ctx, o.Policy); err != nil {
			return nil, err
		}
	}
	enrolled, err := operator.Enrolled(ctx, o.Provider)
	if err != nil {
		return nil, err
	}
	s := compare(listed, enrolled)
	s.Provider, s.Policy, s.Applied = o.Provider, o.Policy, o.Apply
	if o.Apply && len(s.Missing) > 0 {
		if s.Inserted, err = operator.Enrol(ctx, o.Provider, policyID, missing(listed, enrolled)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// list asks a vendor for its wallets, in the order of their ids and each once.
func list(ctx context.Context, cfg *config.Config, name string) ([]provider.Wallet, error) {
	i := slices.IndexFunc(cfg.Providers, func(c config.Provider) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: the configuration has no provider %q", ErrNoProvider, name)
	}
	p, err := newProvider(cfg.Providers[i], cfg.Rotation, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", name, err)
	}
	defer letGo(p)
	vendor, ok := p.(provider.Discoverer)
	if !ok {
		return nil, fmt.Errorf("%w: the vendor of %s offers no list", ErrNoProvider, name)
	}
	var all []provider.Wallet
	if err := vendor.Wallets(ctx, func(w provider.Wallet) error { all = append(all, w); return nil }); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b provider.Wallet) int { return cmp.Compare(a.ExternalID, b.ExternalID) })
	return slices.CompactFunc(all, func(a, b provider.Wallet) bool { return a.ExternalID == b.ExternalID }), nil
}

// missing are the wallets that are listed and not enrolled.
func missing(listed []provider.Wallet, enrolled []store.Enrolled) []provider.Wallet {
	known := make(map[string]bool, len(enrolled))
	for _, w := range enrolled {
		known[w.ExternalID] = true
	}
	return slices.DeleteFunc(slices.Clone(listed), func(w provider.Wallet) bool { return known[w.ExternalID] })
}

func compare(listed []provider.Wallet, enrolled []store.Enrolled) *Sync {
	s := &Sync{AtVendor: len(listed), InTable: len(enrolled), Missing: []VendorWallet{}, NotAtVendor: []TableWallet{}}
	for _, w := range missing(listed, enrolled) {
		s.Missing = append(s.Missing, VendorWallet{w.ExternalID, w.Address, w.Chain})
	}
	there := make(map[string]bool, len(listed))
	for _, w := range listed {
		there[w.ExternalID] = true
	}
	for _, w := range enrolled {
		if !there[w.ExternalID] {
			s.NotAtVendor = append(s.NotAtVendor, TableWallet{w.ID, w.ExternalID, w.Policy})
		}
	}
	return s
}

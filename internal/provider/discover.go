package provider

import "context"

// Discoverer is a provider whose vendor lists wallets. It is optional.
type Discoverer interface {
	// Wallets yields every wallet of the account: its ExternalID, and Address
	// and Chain where the vendor has them. It changes nothing. A wallet that is
	// yielded need not be one that can be rotated, and one may come twice when
	// the list changes meanwhile. An error from yield ends the walk and is
	// returned.
	Wallets(ctx context.Context, yield func(Wallet) error) error
}

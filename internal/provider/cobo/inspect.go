package cobo

import (
	"context"

	"github.com/rotatord/rotatord/internal/provider"
)

// Inspect reads the vault and all of its groups. The active share set is the
// one Valid Main Group; the public key is that of all curves, on which vault
// and Main Group must agree. A vault has no address.
//
// A vault that cannot be rotated without somebody's phone is refused as
// Terminal, with what was found beside the error. Whether its holders are
// online does not matter here: a swap that was done is done.
func (p *Provider) Inspect(ctx context.Context, w provider.Wallet) (provider.Inspection, error) {
	s, err := p.look(ctx, w.ExternalID)
	if err != nil {
		return provider.Inspection{}, err
	}
	m, err := s.main()
	if err != nil {
		return provider.Inspection{}, err
	}
	keys, err := s.keys()
	if err != nil {
		return provider.Inspection{}, err
	}
	found := provider.Inspection{ActiveShareSet: m.ID, PublicKey: keys.String()}
	if _, err := p.pool(w); err != nil {
		return found, err
	}
	return found, s.fit()
}

// fit refuses a vault that the daemon cannot rotate alone.
func (s state) fit() error {
	m, err := s.main()
	if err != nil {
		return err
	}
	refuse := func(format string, args ...any) error {
		return provider.Errorf(provider.Terminal, provider.ReasonInvalidState, "refusing vault "+s.vault.ID+": "+format, args...)
	}
	if s.vault.Type != "" && s.vault.Type != orgControlled {
		return refuse("it is %s, and each of its users would have to approve in an app", quoted2(s.vault.Type))
	}
	if m.Threshold < 1 || m.Participants < m.Threshold {
		return refuse("the vendor does not tell threshold and participants of its Main Group %s", m.ID)
	}
	customers := m.customers()
	// Cobo has one holder, which it may leave out of the list.
	if len(customers) != m.Participants-1 {
		return refuse("the vendor shows %d holders beside its own, and %d participants in all", len(customers), m.Participants)
	}
	for _, h := range customers {
		if h.Type != holderAPI {
			return refuse("a holder of its Main Group is of type %s, and only its owner can move that share", quoted(h.Type))
		}
		if h.Node == "" {
			return refuse("the vendor does not tell the TSS node of a holder of its Main Group %s", m.ID)
		}
	}
	return nil
}

// quoted2 is quoted for the one word of the vendor's that has a hyphen.
func quoted2(word string) string {
	if word == "User-Controlled" {
		return word
	}
	return quoted(word)
}

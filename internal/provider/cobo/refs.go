package cobo

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// vendorRefs is what is on record of an attempt. All but the request is there
// before anything is created.
type vendorRefs struct {
	Attempt uuid.UUID `json:"attempt"`
	// Nodes are the customer's of the new group.
	Nodes        []string `json:"nodes"`
	Participants int      `json:"participants"`
	Threshold    int      `json:"threshold"`
	// RootKeys are the vault's, in the form of an Inspection's public key.
	RootKeys string `json:"root_keys"`
	// Request is the TSS request, once there is one, and when it was made.
	Request     string    `json:"tss_request,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"`
}

func (r vendorRefs) encode() (provider.Refs, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return provider.Refs{}, provider.Errorf(provider.Terminal, provider.ReasonInternal, "encoding references: %w", err)
	}
	return provider.Refs{Vendor: b}, nil
}

// readRefs reads what is on record; ok is false when nothing is, which means
// that nothing was created.
func readRefs(refs provider.Refs) (r vendorRefs, ok bool, err error) {
	if len(refs.Vendor) == 0 {
		return vendorRefs{}, false, nil
	}
	if err := json.Unmarshal(refs.Vendor, &r); err != nil {
		return vendorRefs{}, false, provider.Errorf(provider.Terminal, provider.ReasonInternal, "reading the references of an attempt: %w", err)
	}
	return r, true, nil
}

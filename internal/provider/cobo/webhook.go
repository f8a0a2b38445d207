package cobo

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

const (
	// MaxWebhook is the longest body that is looked at; the vendor's are about
	// one kilobyte.
	MaxWebhook = 64 << 10
	// WebhookWindow is how far the signed time of an event may be from the
	// clock here. The vendor says nothing about it. An event that is replayed
	// within it wakes a rotation that looks for itself, and no more.
	WebhookWindow = 10 * time.Minute
)

// Event is what the daemon reads of a webhook event. Empty fields were not
// told: an event about a TSS request names no vault.
type Event struct {
	ID      string // deliveries of one event are the same; they may come twice
	Type    string // "wallets.mpc.tss_request.succeeded", and others that mean nothing here
	VaultID string
	// RequestID and GroupID are a TSS request and the group it makes, which is
	// the pending share set.
	RequestID string
	GroupID   string
}

// ParseWebhook checks that a webhook event was signed by the vendor's key, over
// the bytes of the body as they came and not long before or after now, and
// reads it. Events of a type that is not known, or about anything, are no error.
//
// An event proves nothing about a rotation. It is a reason to look.
func ParseWebhook(key ed25519.PublicKey, header http.Header, body []byte, now time.Time) (Event, error) {
	if len(body) > MaxWebhook {
		return Event{}, mismatch("refusing a webhook event of more than %d bytes", MaxWebhook)
	}
	at, err := verify(key, header, body)
	if err != nil {
		return Event{}, provider.Errorf(provider.Verification, provider.ReasonVerification, "refusing a webhook event: %w", err)
	}
	if at.Sub(now).Abs() > WebhookWindow {
		return Event{}, mismatch("refusing a webhook event that was signed at another time than now")
	}
	var said struct {
		ID   string          `json:"event_id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &said) != nil {
		return Event{}, provider.Errorf(provider.Terminal, provider.ReasonProviderError, "reading a webhook event: it is not the JSON that was expected")
	}
	var data struct {
		Vault   string `json:"vault_id"`
		Request string `json:"tss_request_id"`
		Target  string `json:"target_key_share_holder_group_id"`
	}
	if json.Unmarshal(said.Data, &data) != nil {
		data.Vault, data.Request, data.Target = "", "", "" // of a kind that is not known
	}
	e := Event{ID: formed(said.ID), VaultID: formed(data.Vault), RequestID: formed(data.Request), GroupID: formed(data.Target)}
	if len(said.Type) <= 128 {
		e.Type = said.Type
	}
	return e, nil
}

// formed is an id, or nothing.
func formed(id string) string {
	if !idPattern.MatchString(id) {
		return ""
	}
	return id
}

// Webhook implements [provider.WebhookReceiver].
func (p *Provider) Webhook(header http.Header, body []byte) (provider.Notice, error) {
	e, err := ParseWebhook(p.key, header, body, p.now())
	if err != nil {
		return provider.Notice{}, err
	}
	return provider.Notice{ID: e.ID, Wallet: e.VaultID, ShareSet: e.GroupID}, nil
}

// MaxWebhook implements [provider.WebhookReceiver].
func (p *Provider) MaxWebhook() int64 { return MaxWebhook }

package provider

import "net/http"

// WebhookReceiver is a provider whose vendor calls back. It is optional: what a
// webhook says is learned by asking, too, only later.
type WebhookReceiver interface {
	// MaxWebhook is the longest body to read, in bytes.
	MaxWebhook() int64

	// Webhook checks a call of the vendor's, by its header and the bytes of its
	// body as they came, and says what it is about. It changes nothing and asks
	// nobody. An error means that the call is not to be believed; its text is
	// not for the caller.
	Webhook(header http.Header, body []byte) (Notice, error)
}

// Notice is what a vendor called about: a reason to look at a rotation now
// instead of at its next check, never a fact. Empty fields were not told; with
// neither Wallet nor ShareSet it is about nothing that rotations know.
type Notice struct {
	ID       string // the same for each delivery of one event
	Wallet   string // the vendor's id of the wallet
	ShareSet string // the pending share set
}

package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rotatord/rotatord/internal/provider"
)

// wakeTimeout leaves room within the two seconds after which a vendor counts
// its call as lost (Cobo, "set up an endpoint").
const wakeTimeout = 1500 * time.Millisecond

// Webhook is where a vendor calls: POST /webhooks/{Type}/{Provider}.
type Webhook struct {
	Type     string // of the provider in the configuration
	Provider string // its name
	Receiver provider.WebhookReceiver
	// Wake has the rotation that a notice is about looked at. It does none of
	// the work itself.
	Wake func(context.Context, provider.Notice) error
}

// The values of result in rotatord_webhooks_total.
const (
	webhookAccepted = "accepted" // believed, and passed on if it is about a rotation
	webhookRepeated = "repeated" // the same event as before
	webhookRefused  = "refused"  // not to be believed
	webhookFailed   = "failed"   // believed, and the database did not answer: the vendor calls again
)

// webhookRoutes answers vendors. Their signature is the authentication, so
// nothing of the web configuration's passwords applies here.
func webhookRoutes(o Options) *http.ServeMux {
	counted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "rotatord_webhooks_total", Help: "Calls of vendors, by what became of them.",
	}, []string{"provider", "result"})
	mux := http.NewServeMux()
	for _, hook := range o.Webhooks {
		h := &webhook{Webhook: hook, log: o.Log.With("provider", hook.Provider), counted: counted.MustCurryWith(prometheus.Labels{"provider": hook.Provider})}
		for _, result := range []string{webhookAccepted, webhookRepeated, webhookRefused, webhookFailed} {
			h.counted.WithLabelValues(result)
		}
		// Names are plain: config refuses what would mean something in a pattern.
		mux.Handle("POST /webhooks/"+hook.Type+"/"+hook.Provider, h)
	}
	if len(o.Webhooks) > 0 {
		o.Registry.MustRegister(counted)
	}
	return mux
}

type webhook struct {
	Webhook
	log      *slog.Logger
	counted  *prometheus.CounterVec
	events   recent
	refusing atomic.Bool
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	result, status, detail := h.receive(w, r)
	h.counted.WithLabelValues(result).Inc()
	if status == http.StatusOK {
		say(w, "ok")
		return
	}
	refuse(w, status, detail)
}

// receive judges one call. Whether it leads to anything is not for the caller
// to know.
func (h *webhook) receive(w http.ResponseWriter, r *http.Request) (result string, status int, detail string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.Receiver.MaxWebhook()))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return webhookRefused, http.StatusRequestEntityTooLarge, "the body is longer than any event"
	case err != nil:
		return webhookRefused, http.StatusBadRequest, "the body could not be read"
	}
	notice, err := h.Receiver.Webhook(r.Header, body)
	if err != nil {
		return h.refused(err)
	}
	h.refusing.Store(false)
	if h.events.has(notice.ID) {
		return webhookRepeated, http.StatusOK, ""
	}
	if notice.Wallet != "" || notice.ShareSet != "" {
		// Not with the caller's context: a vendor that hangs up early would
		// cost the connection to the database.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), wakeTimeout)
		defer cancel()
		if err := h.Wake(ctx, notice); err != nil {
			h.log.Warn("a webhook could not be passed on; the rotation is looked at in its turn", "error", err)
			return webhookFailed, http.StatusServiceUnavailable, "the database does not answer; call again"
		}
	}
	h.events.add(notice.ID)
	return webhookAccepted, http.StatusOK, ""
}

// refused tells the log of the first of a row only: whoever can reach the port
// could fill it.
func (h *webhook) refused(err error) (result string, status int, detail string) {
	if !h.refusing.Swap(true) {
		h.log.Warn("a webhook is not to be believed; the next ones are only counted until one is", "error", err)
	}
	if class, _ := provider.ClassOf(err); class == provider.Verification {
		return webhookRefused, http.StatusUnauthorized, "the call is not signed as the vendor's are, or was not signed just now"
	}
	return webhookRefused, http.StatusBadRequest, "the body is not an event"
}

package cobo

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// The vendor's rules of delivery (set-up-endpoint.mdx).
const (
	deliveryTimeout = 2 * time.Second
	maxRetries      = 10
	// defaultRetry is between two deliveries. The vendor does not say how long
	// it waits.
	defaultRetry = time.Second
)

const (
	eventCreated   = "wallets.mpc.tss_request.created"
	eventUpdated   = "wallets.mpc.tss_request.updated"
	eventSucceeded = "wallets.mpc.tss_request.succeeded"
	eventFailed    = "wallets.mpc.tss_request.failed"
)

// eventJSON is the vendor's WebhookEvent.
type eventJSON struct {
	ID          string    `json:"event_id"`
	URL         string    `json:"url"`
	Created     int64     `json:"created_timestamp"`
	Type        string    `json:"type"`
	Data        eventData `json:"data"`
	Status      string    `json:"status,omitempty"` // Retrying from the second delivery on
	RetriesLeft *int      `json:"retries_left,omitempty"`
}

type eventData struct {
	DataType string `json:"data_type"`
	requestJSON
}

// Deliveries counts webhooks.
type Deliveries struct {
	Events    int `json:"events"`
	Sent      int `json:"sent"`      // requests that reached the network
	Delivered int `json:"delivered"` // answered 200 or 201
	GivenUp   int `json:"given_up"`  // after all retries, or by lose_state
}

// courier delivers events, each on its own: they are not in order.
type courier struct {
	vendor *Vendor
	retry  time.Duration
	client *http.Client

	mu      sync.Mutex
	url     string
	counted Deliveries
}

func newCourier(v *Vendor, url string, retry time.Duration) *courier {
	if retry == 0 {
		retry = defaultRetry
	}
	return &courier{vendor: v, url: url, retry: retry, client: &http.Client{
		Transport:     &http.Transport{},
		Timeout:       deliveryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *courier) close() { c.client.CloseIdleConnections() }

// SetWebhook says where events are sent from now on; empty: nowhere.
func (v *Vendor) SetWebhook(target string) error {
	if target != "" {
		if _, err := url.ParseRequestURI(target); err != nil {
			return err
		}
	}
	v.courier.mu.Lock()
	defer v.courier.mu.Unlock()
	v.courier.url = target
	return nil
}

// announce sends an event about a request as it is now. The caller holds mu.
func (v *Vendor) announce(vt *vault, q *request, kind string) {
	c := v.courier
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.url == "" || v.closed {
		return
	}
	c.counted.Events++
	event := eventJSON{
		ID: uuid.NewString(), URL: c.url, Created: v.now().UnixMilli(), Type: kind,
		Data: eventData{DataType: "TSSRequest", requestJSON: q.json()},
	}
	v.background.Go(func() { c.deliver(vt.id, event) })
}

// deliver tries until the receiver has taken the event.
func (c *courier) deliver(vaultID string, event eventJSON) {
	for attempt := range maxRetries + 1 {
		left := maxRetries - attempt
		if attempt > 0 {
			event.Status, event.RetriesLeft = "Retrying", &left
			if !c.vendor.pause(c.retry, nil) {
				return
			}
		}
		hit := c.vendor.faults.Decide(opWebhook, vaultID)
		if !c.vendor.pause(hit.Delay, nil) {
			return
		}
		switch hit.Kind {
		case faults.LoseState:
			c.count(func(d *Deliveries) { d.GivenUp++ })
			return
		case faults.Status, faults.LostRequest:
			continue
		case faults.LateEffect:
			if !c.vendor.pause(hit.Late, nil) {
				return
			}
		}
		if c.post(event) && hit.Kind != faults.LostReply {
			c.count(func(d *Deliveries) { d.Delivered++ })
			return
		}
	}
	c.count(func(d *Deliveries) { d.GivenUp++ })
}

// post sends an event once and says whether it was taken.
func (c *courier) post(event eventJSON) bool {
	body, err := json.Marshal(event)
	if err != nil {
		panic(err) // texts and numbers only
	}
	ctx, cancel := context.WithCancel(c.vendor.ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, event.URL, bytes.NewReader(body))
	if err != nil {
		return false
	}
	request.Header.Set("Content-Type", "application/json")
	c.vendor.signReply(request.Header, body)
	c.count(func(d *Deliveries) { d.Sent++ })
	response, err := c.client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated
}

func (c *courier) count(add func(*Deliveries)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.counted)
}

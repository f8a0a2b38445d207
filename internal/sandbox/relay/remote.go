package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// remote is a line over HTTP.
type remote struct {
	url    string
	client *http.Client
}

func newRemote(base, room string, party Party) *remote {
	// A transport of its own, so that nothing is left open after the ceremony.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1}
	return &remote{
		url:    strings.TrimSuffix(base, "/") + "/" + url.PathEscape(room) + "/" + string(party),
		client: &http.Client{Transport: transport},
	}
}

func (r *remote) close() { r.client.CloseIdleConnections() }

func (r *remote) send(ctx context.Context, round int, message []byte) error {
	_, err := r.insist(ctx, http.MethodPost, round, message)
	return err
}

func (r *remote) receive(ctx context.Context, round int) ([]byte, error) {
	for {
		message, err := r.insist(ctx, http.MethodGet, round, nil)
		if err != nil || message != nil {
			return message, err
		}
	}
}

// errUnsteady: worth asking again; every message can be sent and fetched twice.
var errUnsteady = errors.New("the relay did not answer")

// insist repeats a call while the relay is unsteady. A nil message is a 204.
func (r *remote) insist(ctx context.Context, method string, round int, message []byte) ([]byte, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		answer, err := r.call(ctx, method, round, message)
		if !errors.Is(err, errUnsteady) {
			return answer, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-timer.C:
		}
	}
}

func (r *remote) call(ctx context.Context, method string, round int, message []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.url+"?round="+strconv.Itoa(round), bytes.NewReader(message))
	if err != nil {
		return nil, fmt.Errorf("addressing the relay: %w", err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", errUnsteady, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsteady, err)
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return body, nil
	case resp.StatusCode == http.StatusNoContent:
		return nil, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, ErrNoRoom
	case resp.StatusCode == http.StatusGone:
		return nil, ErrRoomClosed
	case resp.StatusCode == http.StatusConflict:
		return nil, ErrOtherMessage
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: status %d", errUnsteady, resp.StatusCode)
	default:
		return nil, fmt.Errorf("the relay answered with status %d", resp.StatusCode)
	}
}

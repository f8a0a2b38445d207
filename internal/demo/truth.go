package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox"
)

// truthTimeout is generous: for each wallet the sandbox signs with every pair
// of shares that could still fit.
const truthTimeout = 2 * time.Minute

// truth asks the sandbox about every wallet, over HTTP as anybody could, and
// returns the answers by the vendor's id.
func (s *stage) truth(ctx context.Context) (map[string]sandbox.WalletState, error) {
	ctx, cancel := context.WithTimeout(ctx, truthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/_sandbox/state", nil)
	if err != nil {
		return nil, fmt.Errorf("asking the sandbox: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the sandbox: %w", err)
	}
	defer response.Body.Close()
	var answer struct {
		Wallets []sandbox.WalletState `json:"wallets"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("reading the sandbox's answer: %w", err)
	}
	states := make(map[string]sandbox.WalletState, len(answer.Wallets))
	for _, w := range answer.Wallets {
		states[w.ID] = w
	}
	return states, nil
}

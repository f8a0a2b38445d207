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
	var answer struct {
		Wallets []sandbox.WalletState `json:"wallets"`
	}
	if err := s.ask(ctx, "/_sandbox/state", &answer); err != nil {
		return nil, err
	}
	states := make(map[string]sandbox.WalletState, len(answer.Wallets))
	for _, w := range answer.Wallets {
		states[w.ID] = w
	}
	return states, nil
}

// orphans asks the sandbox what attempts left behind: groups that never became
// a Main Group and were not deleted, and TSS requests that still run.
func (s *stage) orphans(ctx context.Context) ([]string, error) {
	var stats sandbox.Stats
	if err := s.ask(ctx, "/_sandbox/stats", &stats); err != nil {
		return nil, err
	}
	var all []string
	for _, id := range stats.Cobo.Orphans.Groups {
		all = append(all, "group "+id)
	}
	for _, id := range stats.Cobo.Orphans.TSSRequests {
		all = append(all, "TSS request "+id)
	}
	return all, nil
}

func (s *stage) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, truthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return fmt.Errorf("asking the sandbox: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the sandbox: %w", err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("reading the sandbox's answer: %w", err)
	}
	return nil
}

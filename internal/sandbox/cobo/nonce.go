package cobo

import (
	"strconv"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

// nonceWindow is how far a nonce may be from the clock, before or after.
const nonceWindow = 5 * time.Minute

// nonces remembers signed requests for as long as their nonces would pass.
type nonces struct {
	assume assume.Set
	now    func() time.Time

	mu sync.Mutex
	// Two generations, so that forgetting costs nothing: each lives for twice
	// the window, which is as long as any nonce can pass.
	turned    time.Time
	seen, old map[string]bool
}

// refuse says why a nonce is not accepted; empty if it is.
func (n *nonces) refuse(nonce, signature string) string {
	if n.assume.Is(assume.CoboNonces, assume.AnyNonce) {
		return ""
	}
	now := n.now()
	at, err := strconv.ParseInt(nonce, 10, 64)
	if err != nil {
		return "the nonce is not a time in milliseconds"
	}
	if time.UnixMilli(at).Sub(now).Abs() > nonceWindow {
		return "the nonce is not of now"
	}
	if !n.assume.Is(assume.CoboNonces, assume.OnceInFiveMinutes) {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil || now.Sub(n.turned) >= 2*nonceWindow {
		n.seen, n.old, n.turned = make(map[string]bool), n.seen, now
	}
	if n.seen[signature] || n.old[signature] {
		return "this request was sent before"
	}
	n.seen[signature] = true
	return ""
}

package cobo

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

// digest is what the vendor's signatures are over instead of the text itself:
// SHA-256 twice (cobo-auth.mdx).
func digest(text []byte) []byte {
	once := sha256.Sum256(text)
	twice := sha256.Sum256(once[:])
	return twice[:]
}

// requestText is the text that a request's signature is over. Path is without
// host and query, query without "?"; both as they go over the wire. The bar in
// front of the body stays when there is none.
func requestText(method, path, nonce, query string, body []byte) []byte {
	return append([]byte(strings.Join([]string{method, path, nonce, query, ""}, "|")), body...)
}

// sign sets the three headers that authenticate a request.
func sign(header http.Header, key ed25519.PrivateKey, method, path, nonce, query string, body []byte) {
	header.Set("BIZ-API-KEY", hex.EncodeToString(key.Public().(ed25519.PublicKey)))
	header.Set("BIZ-API-NONCE", nonce)
	header.Set("BIZ-API-SIGNATURE", hex.EncodeToString(ed25519.Sign(key, digest(requestText(method, path, nonce, query, body)))))
}

// apiKey reads the private key of the organisation.
func (p *Provider) apiKey() (ed25519.PrivateKey, error) {
	secret, err := p.opts.APISecret()
	if err != nil {
		// Retryable: a secret that is being replaced is missing for a moment.
		return nil, provider.Errorf(provider.Retryable, provider.ReasonAuth, "reading the API secret of %s: %w", p.opts.Name, err)
	}
	key, err := parseSecret(secret)
	if err != nil {
		return nil, provider.Errorf(provider.Terminal, provider.ReasonAuth, "the API secret of %s %w", p.opts.Name, err)
	}
	return key, nil
}

var errSecret = errors.New("is not the 64 hex digits of an Ed25519 seed")

func parseSecret(secret string) (ed25519.PrivateKey, error) {
	seed, err := hex.DecodeString(strings.TrimSpace(secret))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errSecret // not err: it quotes a digit
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// nonces hands out Unix milliseconds, as all official SDKs do, each one once.
// Whether the vendor refuses a second request with the same nonce is not
// documented. There is one for the process, because two providers may share an
// API key.
var nonces nonceSource

// nonceMemory is how many nonces are remembered at least. It matters only when
// the clock is set back, onto moments that had theirs.
const nonceMemory = 1 << 16

type nonceSource struct {
	mu         sync.Mutex
	last       int64
	used, past map[int64]bool // two generations
}

// next runs ahead of the clock when asked more than once in a millisecond. It
// follows a clock that is set back, because the vendor may compare nonces with
// its own.
func (s *nonceSource) next(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := now.UnixMilli()
	if behind := s.last - nonce; behind >= 0 && behind < time.Minute.Milliseconds() {
		nonce = s.last + 1 // a burst, not a clock that was set back
	}
	for s.used[nonce] || s.past[nonce] {
		nonce++
	}
	if s.used == nil || len(s.used) >= nonceMemory {
		s.used, s.past = make(map[int64]bool), s.used
	}
	s.used[nonce], s.last = true, nonce
	return strconv.FormatInt(nonce, 10)
}

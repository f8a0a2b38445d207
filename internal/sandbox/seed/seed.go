// Package seed makes a simulator's ids, credentials and keys reproducible.
package seed

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
)

// Source is a reproducible source of bytes, never to be used for real keys. It
// is not safe for concurrent use.
type Source struct{ *rand.ChaCha8 }

// New source for a purpose. Different purposes do not shift each other's luck.
func New(purpose string, number uint64) Source {
	return Source{rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "rotatord sandbox %s %d", purpose, number)))}
}

// UUID draws one, version 4.
func (s Source) UUID() string {
	id, err := uuid.NewRandomFromReader(s)
	if err != nil {
		panic(err) // ChaCha8 never fails
	}
	return id.String()
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Letters draws so many letters and digits.
func (s Source) Letters(count int) string {
	text := make([]byte, count)
	for i := range text {
		text[i] = letters[s.Uint64()%uint64(len(letters))]
	}
	return string(text)
}

// Bytes draws so many bytes.
func (s Source) Bytes(count int) []byte {
	b := make([]byte, count)
	s.Read(b) // ChaCha8 never fails
	return b
}

package mpc

import (
	"bytes"
	"crypto/rand"
)

// CanSign makes a fresh two-party signature over a random message and asks the
// standard verifier whether it stands under the key that a and b were made
// for. Shares of different keys, or from different sides of a refresh, cannot.
func CanSign(a, b Share) bool {
	if a.IsZero() || b.IsZero() || a.curve != b.curve || !bytes.Equal(a.joint, b.joint) {
		return false
	}
	g, err := a.curve.group()
	if err != nil {
		return false
	}
	message := make([]byte, 32)
	rand.Read(message) // never fails: crypto/rand ends the process instead
	signature, err := g.sign([][]byte{a.secret, b.secret}, a.joint, message, rand.Reader)
	if err != nil {
		return false
	}
	return g.verify(g.publicKey(a.joint), message, signature)
}

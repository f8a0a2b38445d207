package mpc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"filippo.io/edwards25519"
)

type shareJSON struct {
	Curve    Curve  `json:"curve"`
	Secret   string `json:"secret"`
	Peer     string `json:"peer_point"`
	Joint    string `json:"joint_point"`
	KeygenID string `json:"keygen_id"`
}

// MarshalJSON writes the whole share, the secret included, for its holder's
// own store.
func (s Share) MarshalJSON() ([]byte, error) {
	return json.Marshal(shareJSON{
		Curve:    s.curve,
		Secret:   hex.EncodeToString(s.secret),
		Peer:     hex.EncodeToString(s.peer),
		Joint:    hex.EncodeToString(s.joint),
		KeygenID: s.keygen,
	})
}

// UnmarshalJSON derives everything again and refuses a share whose secret and
// other point do not add up to the public key written beside them. The error
// never quotes the input.
func (s *Share) UnmarshalJSON(text []byte) error {
	var in shareJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("reading a key share: %w: not JSON of a share", ErrInvalid)
	}
	secret, err := hex.DecodeString(in.Secret)
	if err != nil {
		return fmt.Errorf("reading a key share: %w: secret is not hex", ErrInvalid)
	}
	peer, err := hex.DecodeString(in.Peer)
	if err != nil {
		return fmt.Errorf("reading a key share: %w: peer point is not hex", ErrInvalid)
	}
	joint, err := hex.DecodeString(in.Joint)
	if err != nil {
		return fmt.Errorf("reading a key share: %w: joint point is not hex", ErrInvalid)
	}
	share, err := newShare(in.Curve, secret, peer, in.KeygenID)
	if err != nil {
		return fmt.Errorf("reading a key share: %w", err)
	}
	if isIdentity(in.Curve, share.own) {
		return fmt.Errorf("reading a key share: %w: zero", ErrInvalid)
	}
	if !bytes.Equal(share.joint, joint) {
		return fmt.Errorf("reading a key share: %w: it does not belong to the public key beside it", ErrInvalid)
	}
	*s = share
	return nil
}

// isIdentity: secp256k1 has no encoding of it and refuses earlier.
func isIdentity(curve Curve, point []byte) bool {
	return curve == Ed25519 && bytes.Equal(point, edwards25519.NewIdentityPoint().Bytes())
}

package mpc

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Delta is one party's contribution to a refresh.
type Delta struct {
	curve  Curve
	scalar []byte
}

// NewDelta draws a contribution.
func NewDelta(curve Curve, random io.Reader) (Delta, error) {
	g, err := curve.group()
	if err != nil {
		return Delta{}, err
	}
	scalar, err := g.randomScalar(random)
	if err != nil {
		return Delta{}, err
	}
	return Delta{curve: curve, scalar: scalar}, nil
}

func (d Delta) point() []byte {
	g, err := d.curve.group()
	if err != nil {
		return nil
	}
	point, err := g.mulBase(d.scalar)
	if err != nil {
		return nil
	}
	return point
}

// String keeps the scalar out of logs.
func (d Delta) String() string { return "mpc.Delta(" + string(d.curve) + ")" }

// GoString keeps the scalar out of %#v.
func (d Delta) GoString() string { return d.String() }

// Format keeps the scalar out of every other verb.
func (d Delta) Format(f fmt.State, _ rune) { io.WriteString(f, d.String()) }

type deltaJSON struct {
	Curve  Curve  `json:"curve"`
	Scalar string `json:"scalar"`
}

// MarshalJSON is how a delta travels through the room.
func (d Delta) MarshalJSON() ([]byte, error) {
	return json.Marshal(deltaJSON{Curve: d.curve, Scalar: hex.EncodeToString(d.scalar)})
}

// UnmarshalJSON refuses a scalar that is not canonical, or zero: a refresh by
// nothing is none.
func (d *Delta) UnmarshalJSON(text []byte) error {
	var in deltaJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("reading a delta: %w", err)
	}
	g, err := in.Curve.group()
	if err != nil {
		return fmt.Errorf("reading a delta: %w", err)
	}
	scalar, err := hex.DecodeString(in.Scalar)
	if err != nil {
		return fmt.Errorf("reading a delta: %w: %w", ErrInvalid, err)
	}
	point, err := g.mulBase(scalar)
	if err != nil {
		return fmt.Errorf("reading a delta: %w", err)
	}
	if isIdentity(in.Curve, point) {
		return fmt.Errorf("reading a delta: %w: zero", ErrInvalid)
	}
	*d = Delta{curve: in.Curve, scalar: scalar}
	return nil
}

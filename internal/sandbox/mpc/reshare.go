package mpc

import (
	"bytes"
	"fmt"
	"io"
)

// GenerateShares makes a new key, shared threshold-of-parties. Every party
// deals a scalar of its own and the key is their sum, so it is never put
// together. random must be cryptographic outside of a simulation.
func GenerateShares(curve Curve, threshold, parties int, random io.Reader) ([]ThresholdShare, error) {
	g, err := curve.group()
	if err != nil {
		return nil, err
	}
	if err := checkScheme(threshold, parties); err != nil {
		return nil, err
	}
	dealings := make([]dealing, parties)
	for i := range dealings {
		constant, err := g.randomScalar(random)
		if err != nil {
			return nil, err
		}
		if dealings[i], err = deal(g, constant, threshold, random); err != nil {
			return nil, err
		}
	}
	return collect(curve, g, dealings, threshold, parties)
}

// Reshare takes a key from some shares of its old sharing, at least as many as
// its threshold, to a new threshold-of-parties sharing. The key stays; every
// polynomial is new, so old and new shares do not combine.
//
// Each old party deals its own share, weighted. A party that brings a share of
// something else is refused.
func Reshare(old []ThresholdShare, threshold, parties int, random io.Reader) ([]ThresholdShare, error) {
	if len(old) == 0 {
		return nil, fmt.Errorf("%w: nobody brings a share", ErrInvalid)
	}
	g, err := old[0].curve.group()
	if err != nil {
		return nil, err
	}
	if err := checkScheme(threshold, parties); err != nil {
		return nil, err
	}
	indices, err := oneSharing(old)
	if err != nil {
		return nil, err
	}
	dealings := make([]dealing, len(old))
	for i, s := range old {
		weight, err := lagrange(g, indices, s.index)
		if err != nil {
			return nil, err
		}
		part, err := g.multiply(weight, s.secret)
		if err != nil {
			return nil, err
		}
		if dealings[i], err = deal(g, part, threshold, random); err != nil {
			return nil, err
		}
	}
	next, err := collect(old[0].curve, g, dealings, threshold, parties)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(next[0].commitments[0], old[0].commitments[0]) {
		return nil, fmt.Errorf("%w: resharing would change the key", ErrInvalid)
	}
	return next, nil
}

// oneSharing checks that these are enough different shares of one sharing, and
// returns their indices.
func oneSharing(shares []ThresholdShare) ([]int, error) {
	seen := make(map[int]bool)
	var indices []int
	for _, s := range shares {
		if err := s.Verify(); err != nil {
			return nil, fmt.Errorf("checking the share of party %d: %w", s.index, err)
		}
		if s.curve != shares[0].curve || len(s.commitments) != len(shares[0].commitments) {
			return nil, fmt.Errorf("%w: shares of different sharings", ErrInvalid)
		}
		for k, commitment := range s.commitments {
			if !bytes.Equal(commitment, shares[0].commitments[k]) {
				return nil, fmt.Errorf("%w: shares of different sharings", ErrInvalid)
			}
		}
		if seen[s.index] {
			return nil, fmt.Errorf("%w: party %d came twice", ErrInvalid, s.index)
		}
		seen[s.index] = true
		indices = append(indices, s.index)
	}
	if len(shares) < shares[0].Threshold() {
		return nil, fmt.Errorf("%w: %d shares where %d are needed", ErrInvalid, len(shares), shares[0].Threshold())
	}
	return indices, nil
}

func checkScheme(threshold, parties int) error {
	if threshold < 1 || parties < threshold || parties > maxParties {
		return fmt.Errorf("%w: a scheme of %d-of-%d", ErrInvalid, threshold, parties)
	}
	return nil
}

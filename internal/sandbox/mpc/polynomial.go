package mpc

import (
	"fmt"
	"io"
)

// dealing is what one dealer makes to share a scalar: a polynomial whose
// constant term is the scalar, and the public commitments to it.
type dealing struct {
	coefficients [][]byte
	commitments  [][]byte
}

// deal draws a polynomial of degree threshold-1.
func deal(g group, constant []byte, threshold int, random io.Reader) (dealing, error) {
	d := dealing{coefficients: [][]byte{constant}}
	for range threshold - 1 {
		drawn, err := g.randomScalar(random)
		if err != nil {
			return dealing{}, err
		}
		d.coefficients = append(d.coefficients, drawn)
	}
	for _, c := range d.coefficients {
		point, err := g.mulBase(c)
		if err != nil {
			return dealing{}, err
		}
		d.commitments = append(d.commitments, point)
	}
	return d, nil
}

// evaluate is the polynomial at an index, by Horner's rule.
func (d dealing) evaluate(g group, index int) ([]byte, error) {
	x := g.small(index)
	value := d.coefficients[len(d.coefficients)-1]
	for i := len(d.coefficients) - 2; i >= 0; i-- {
		product, err := g.multiply(value, x)
		if err != nil {
			return nil, err
		}
		if value, err = g.add(product, d.coefficients[i]); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// evaluatePoints is the same in the exponent: what anyone can compute from the
// commitments.
func evaluatePoints(g group, commitments [][]byte, index int) ([]byte, error) {
	x := g.small(index)
	value := commitments[len(commitments)-1]
	for i := len(commitments) - 2; i >= 0; i-- {
		product, err := g.mulPoint(x, value)
		if err != nil {
			return nil, err
		}
		if value, err = g.addPoints(product, commitments[i]); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// lagrange is the weight of one index when the polynomial is interpolated at
// zero from all of indices.
func lagrange(g group, indices []int, index int) ([]byte, error) {
	weight := g.small(1)
	for _, other := range indices {
		if other == index {
			continue
		}
		distance, err := g.subtract(g.small(other), g.small(index))
		if err != nil {
			return nil, err
		}
		inverse, err := g.invert(distance)
		if err != nil {
			return nil, err
		}
		factor, err := g.multiply(g.small(other), inverse)
		if err != nil {
			return nil, err
		}
		if weight, err = g.multiply(weight, factor); err != nil {
			return nil, err
		}
	}
	return weight, nil
}

// collect gives every party the sum of what the dealers dealt to it, and checks
// each share against the sum of the commitments.
func collect(curve Curve, g group, dealings []dealing, threshold, parties int) ([]ThresholdShare, error) {
	commitments := make([][]byte, threshold)
	for k := range commitments {
		for i, d := range dealings {
			if i == 0 {
				commitments[k] = d.commitments[k]
				continue
			}
			sum, err := g.addPoints(commitments[k], d.commitments[k])
			if err != nil {
				return nil, err
			}
			commitments[k] = sum
		}
	}
	shares := make([]ThresholdShare, parties)
	for j := range shares {
		secret := make([]byte, 32) // zero in either order of bytes
		for _, d := range dealings {
			value, err := d.evaluate(g, j+1)
			if err != nil {
				return nil, err
			}
			if secret, err = g.add(secret, value); err != nil {
				return nil, err
			}
		}
		shares[j] = ThresholdShare{curve: curve, index: j + 1, secret: secret, commitments: commitments}
		if err := shares[j].Verify(); err != nil {
			return nil, fmt.Errorf("checking the share of party %d: %w", j+1, err)
		}
	}
	return shares, nil
}

package mpc

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// Base58 is Bitcoin's encoding without a checksum, as Solana uses it.
func Base58(b []byte) string {
	radix, digit := big.NewInt(58), new(big.Int)
	var text []byte
	for n := new(big.Int).SetBytes(b); n.Sign() > 0; {
		n.DivMod(n, radix, digit)
		text = append(text, base58Alphabet[digit.Int64()])
	}
	for _, leading := range b {
		if leading != 0 {
			break
		}
		text = append(text, base58Alphabet[0])
	}
	slices.Reverse(text)
	return string(text)
}

// fromBase58 is the inverse of Base58.
func fromBase58(text string) ([]byte, error) {
	radix, n := big.NewInt(58), new(big.Int)
	for _, c := range []byte(text) {
		digit := strings.IndexByte(base58Alphabet, c)
		if digit < 0 {
			return nil, fmt.Errorf("%w: %q is not base58", ErrInvalid, c)
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(digit)))
	}
	zeros := len(text) - len(strings.TrimLeft(text, base58Alphabet[:1]))
	return append(make([]byte, zeros), n.Bytes()...), nil
}

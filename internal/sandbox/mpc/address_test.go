package mpc

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The vectors are BIP-350's and Solana's own well-known addresses.
func TestAddressVectors(t *testing.T) {
	key, err := hex.DecodeString("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	if err != nil {
		t.Fatal(err)
	}
	const want = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
	if got := taprootAddress(key); got != want {
		t.Errorf("taproot address %s, want %s", got, want)
	}

	token, err := hex.DecodeString("06ddf6e1d765a193d9cbe146ceeb79ac1cb485ed5f5b37913a8cf5857eff00a9")
	if err != nil {
		t.Fatal(err)
	}
	if got := Base58(token); got != "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA" {
		t.Errorf("base58 of the token program is %s", got)
	}
	if got := Base58(make([]byte, 32)); got != string(bytes.Repeat([]byte("1"), 32)) {
		t.Errorf("base58 of the system program is %s", got)
	}
}

func TestSharesHaveTheAddressOfTheirChain(t *testing.T) {
	svm := generate(t, Ed25519).customer
	if svm.Chain() != "SVM" || len(svm.Address()) < 43 {
		t.Errorf("ed25519: chain %s, address %s", svm.Chain(), svm.Address())
	}
	btc := generate(t, BIP340).customer
	if btc.Chain() != "BTC" || len(btc.Address()) != 62 || btc.Address()[:4] != "bc1p" {
		t.Errorf("bip340: chain %s, address %s", btc.Chain(), btc.Address())
	}
}

func BenchmarkCanSign(b *testing.B) {
	for _, curve := range Curves() {
		p := generate(b, curve)
		b.Run(string(curve), func(b *testing.B) {
			for b.Loop() {
				if !CanSign(p.customer, p.vendor) {
					b.Fatal("cannot sign")
				}
			}
		})
	}
}

package mpc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The first test vector of BIP-32.
const (
	bip32Root = "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
	bip32Key  = "0339a36013301597daef41fbe593a02cc513d0b55527ec2df1050e2e8ff49c85c2"
	// The first child of the same, at depth 1.
	bip32Child = "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw"
)

func TestRootPubkeyVector(t *testing.T) {
	curve, key, err := DecodeRootPubkey(bip32Root)
	if err != nil || curve != BIP340 || hex.EncodeToString(key) != bip32Key {
		t.Errorf("%s, %x, %v", curve, key, err)
	}
}

func TestRootPubkeyOfAKey(t *testing.T) {
	eachCurve(t, func(t *testing.T, curve Curve) {
		share := sharing(t, curve, [2]int{2, 2})[0]
		text := share.RootPubkey()
		if !strings.HasPrefix(text, "xpub661MyMwAqRb") || len(text) != len(bip32Root) {
			t.Errorf("%s is no xpub of a root", text)
		}
		got, key, err := DecodeRootPubkey(text)
		if err != nil || got != curve || !bytes.Equal(key, share.commitments[0]) {
			t.Errorf("%s, %x, %v", got, key, err)
		}
		if EncodeRootPubkey(curve, key) != text {
			t.Error("the same key has two texts")
		}
	})
}

func TestRootPubkeyRefuses(t *testing.T) {
	text := sharing(t, Ed25519, [2]int{2, 2})[0].RootPubkey()
	raw, err := fromBase58(text)
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) string {
		changed := bytes.Clone(raw[:xpubLength])
		changed[at] = to
		return Base58(append(changed, checksum(changed)...))
	}
	for name, bad := range map[string]string{
		"nothing":           "",
		"one letter less":   text[:len(text)-1],
		"one letter more":   text + "1",
		"another letter":    strings.Replace(text, text[60:61], string(base58Alphabet[(strings.IndexByte(base58Alphabet, text[60])+1)%58]), 1),
		"not base58":        "xpub0OIl",
		"a child":           bip32Child,
		"another version":   change(3, 0x1f),
		"no point":          change(xpubKey, 5),
		"a long text":       strings.Repeat("z", 10_000),
		"ed25519, no point": Base58(append(append(bytes.Clone(raw[:xpubKey+1]), bytes.Repeat([]byte{0xff}, 32)...), checksum(append(bytes.Clone(raw[:xpubKey+1]), bytes.Repeat([]byte{0xff}, 32)...))...)),
	} {
		if _, key, err := DecodeRootPubkey(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %x, %v", name, key, err)
		}
	}
}

func FuzzDecodeRootPubkey(f *testing.F) {
	f.Add(bip32Root)
	f.Add(bip32Child)
	for _, curve := range Curves() {
		f.Add(sharing(f, curve, [2]int{2, 2})[0].RootPubkey())
	}
	f.Add("1111")
	f.Fuzz(func(t *testing.T, text string) {
		curve, key, err := DecodeRootPubkey(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, same, err := DecodeRootPubkey(EncodeRootPubkey(curve, key))
		if err != nil || again != curve || !bytes.Equal(same, key) {
			t.Fatalf("%q: %s %x, then %s %x, %v", text, curve, key, again, same, err)
		}
	})
}

func FuzzBase58(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 3})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		back, err := fromBase58(Base58(raw))
		if err != nil || !bytes.Equal(back, raw) {
			t.Fatalf("%x came back as %x, %v", raw, back, err)
		}
	})
}

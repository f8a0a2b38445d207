package rotation

import (
	"strings"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// The checks of a rotation are pure functions: what everybody said goes in, a
// classified error or nothing comes out.

func mismatch(format string, args ...any) error {
	return provider.Errorf(provider.Verification, provider.ReasonVerification, format, args...)
}

// baselineKey is rule 1: the public key that every later check compares with,
// if everybody agrees on it, on the address and on the active share set.
func baselineKey(w store.Wallet, coSigned bool, v provider.Inspection, held cosigner.WalletStatus) (string, error) {
	key := v.PublicKey
	if coSigned {
		if held.CurrentShareSetID != v.ActiveShareSet {
			return "", mismatch("the vendor's active share set is %s, but the co-signer's current share is of %s",
				v.ActiveShareSet, quoted(held.CurrentShareSetID))
		}
		if held.PublicKey == "" || held.Address == "" {
			return "", mismatch("the co-signer does not tell public key and address of its share")
		}
		if !sameAddress(v.Address, held.Address) {
			return "", mismatch("the vendor says address %s, the co-signer's share has %s", v.Address, held.Address)
		}
		if v.PublicKey != "" && !sameHex(v.PublicKey, held.PublicKey) {
			return "", mismatch("the vendor says public key %s, the co-signer's share has %s", v.PublicKey, held.PublicKey)
		}
		key = held.PublicKey
	}
	if key == "" {
		return "", mismatch("nobody tells the public key of this wallet")
	}
	if w.Address != "" && !sameAddress(w.Address, v.Address) {
		return "", mismatch("the wallet row says address %s, the vendor says %s", w.Address, v.Address)
	}
	if w.PublicKey != "" && !sameHex(w.PublicKey, key) {
		return "", mismatch("the wallet row says public key %s, the shares have %s", w.PublicKey, key)
	}
	return key, nil
}

// sameKey compares what vendor, co-signer and operator say now with the
// baseline. The operator may have said it later than that.
func sameKey(w store.Wallet, baseline string, v provider.Inspection, coSigned bool, held cosigner.WalletStatus) error {
	if w.PublicKey != "" && !sameHex(w.PublicKey, baseline) {
		return mismatch("the wallet row says public key %s, on record is %s", w.PublicKey, baseline)
	}
	if w.Address != "" && v.Address != "" && !sameAddress(w.Address, v.Address) {
		return mismatch("the wallet row says address %s, the vendor says %s", w.Address, v.Address)
	}
	if v.PublicKey != "" && !sameHex(v.PublicKey, baseline) {
		return mismatch("the vendor says public key %s, on record is %s", v.PublicKey, baseline)
	}
	if !coSigned {
		return nil
	}
	if !sameHex(held.PublicKey, baseline) {
		return mismatch("the co-signer's share has public key %s, on record is %s", quotedKey(held.PublicKey), baseline)
	}
	if !sameAddress(v.Address, held.Address) {
		return mismatch("the vendor says address %s, the co-signer's share has %s", v.Address, held.Address)
	}
	return nil
}

// fits is the commit point's check of the co-signer: it has the share of the
// pending set, durable, under the same key and address as before.
func fits(s cosigner.Status, pending, publicKey, address string) error {
	switch {
	case s.State != cosigner.Prepared:
		return mismatch("the co-signer says %s instead of prepared", s.State)
	case s.ShareSetID != pending:
		return mismatch("the co-signer prepared share set %s, pending is %s", s.ShareSetID, pending)
	case !sameHex(s.PublicKey, publicKey):
		return mismatch("the new share has public key %s, on record is %s", quotedKey(s.PublicKey), publicKey)
	case !sameAddress(s.Address, address):
		return mismatch("the new share has address %s, the wallet has %s", s.Address, address)
	case s.Fingerprint == "":
		return mismatch("the co-signer does not name the share that it prepared")
	}
	return nil
}

// holds says whether the co-signer could sign with the set: it is current, or
// prepared and not aborted. A share of an attempt that was given up is never
// adopted again.
func holds(held cosigner.WalletStatus, shareSet string) bool {
	return held.CurrentShareSetID == shareSet || len(prepared(held, shareSet)) > 0
}

// prepared are the shares of the set that the co-signer could make current.
func prepared(held cosigner.WalletStatus, shareSet string) (able []cosigner.PreparedShare) {
	for _, p := range held.Prepared {
		if p.ShareSetID == shareSet && p.State == cosigner.Prepared {
			able = append(able, p)
		}
	}
	return able
}

// sameHex compares public keys however their hex is written.
func sameHex(a, b string) bool {
	clean := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "0x") }
	return clean(a) != "" && clean(a) == clean(b)
}

// sameAddress: hex addresses may carry a checksum in their case, all others
// are compared letter by letter.
func sameAddress(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if strings.HasPrefix(a, "0x") && strings.HasPrefix(b, "0x") {
		return strings.EqualFold(a, b)
	}
	return a == b
}

func quotedKey(key string) string {
	if key == "" {
		return "nothing"
	}
	return key
}

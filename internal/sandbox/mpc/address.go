package mpc

const (
	bech32Alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	// bech32mConstant tells bech32m from bech32 (BIP-350).
	bech32mConstant = 0x2bc830a3
)

// taprootAddress is the witness version 1 address (BIP-350) of a 32-byte key.
func taprootAddress(key []byte) string {
	const prefix = "bc"
	data := append([]byte{1}, fiveBits(key)...)

	// The checksum runs over the prefix's high bits, a zero, its low bits.
	var values []byte
	for _, c := range prefix {
		values = append(values, byte(c)>>5)
	}
	values = append(values, 0)
	for _, c := range prefix {
		values = append(values, byte(c)&31)
	}
	values = append(values, data...)
	values = append(values, make([]byte, 6)...)
	checksum := bech32Polymod(values) ^ bech32mConstant

	text := []byte(prefix + "1")
	for _, v := range data {
		text = append(text, bech32Alphabet[v])
	}
	for i := range 6 {
		text = append(text, bech32Alphabet[(checksum>>(5*(5-i)))&31])
	}
	return string(text)
}

// fiveBits regroups bytes into five-bit values, padded with zeros.
func fiveBits(b []byte) []byte {
	var out []byte
	var pool uint32
	var held uint
	for _, octet := range b {
		pool = pool<<8 | uint32(octet)
		held += 8
		for held >= 5 {
			held -= 5
			out = append(out, byte(pool>>held)&31)
		}
	}
	if held > 0 {
		out = append(out, byte(pool<<(5-held))&31)
	}
	return out
}

func bech32Polymod(values []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	checksum := uint32(1)
	for _, v := range values {
		top := checksum >> 25
		checksum = (checksum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range generator {
			if top>>i&1 == 1 {
				checksum ^= g
			}
		}
	}
	return checksum
}

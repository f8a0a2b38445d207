package cobo

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The vendor signs what it answers and what it sends to webhooks the same way.
// Its documentation and SDKs disagree on hyphens and underscores in the names
// of the headers; both are in use.
var (
	timestampHeaders = []string{"BIZ-TIMESTAMP", "BIZ_TIMESTAMP"}
	signatureHeaders = []string{"BIZ-RESP-SIGNATURE", "BIZ_RESP_SIGNATURE"}
)

var (
	errUnsigned = errors.New("it is not signed")
	errForged   = errors.New("its signature does not fit")
)

// verify checks that body was signed by key, and returns when: the vendor's
// clock. The body must be the bytes as they came.
func verify(key ed25519.PublicKey, header http.Header, body []byte) (at time.Time, err error) {
	timestamp, ok := only(header, timestampHeaders)
	signature, ok2 := only(header, signatureHeaders)
	switch {
	case !ok || !ok2:
		return time.Time{}, errForged
	case timestamp == "" || signature == "":
		return time.Time{}, errUnsigned
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) != ed25519.SignatureSize {
		return time.Time{}, errForged
	}
	// Digits alone: the signed text is body|timestamp, and with a bar in the
	// timestamp the end of a body could be moved into it.
	milliseconds, err := strconv.ParseUint(timestamp, 10, 63)
	if err != nil {
		return time.Time{}, errForged
	}
	text := make([]byte, 0, len(body)+1+len(timestamp))
	text = append(append(append(text, body...), '|'), timestamp...)
	if !ed25519.Verify(key, digest(text), raw) {
		return time.Time{}, errForged
	}
	return time.UnixMilli(int64(milliseconds)), nil
}

// only is the one value that the header has under any of its names; empty when
// it has none. ok is false when it has two that differ.
func only(header http.Header, names []string) (value string, ok bool) {
	for _, name := range names {
		for _, v := range header.Values(name) {
			if value != "" && v != value {
				return "", false
			}
			value = v
		}
	}
	return value, true
}

// mayBeUnsigned are the statuses that a proxy in front of the vendor answers;
// the official Python and Java SDKs exempt the same ones. Nothing in such a
// reply is read.
func mayBeUnsigned(status int) bool {
	switch status {
	case http.StatusRequestURITooLong, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable:
		return true
	}
	return false
}

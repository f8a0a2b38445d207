package cobo

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// digest is what Cobo signs instead of a text: SHA-256 twice.
func digest(text string) []byte {
	once := sha256.Sum256([]byte(text))
	twice := sha256.Sum256(once[:])
	return twice[:]
}

// requestText is the text that a request's signature is over.
func requestText(method, path, nonce, query, body string) string {
	return strings.Join([]string{method, path, nonce, query, body}, "|")
}

// replyText is the text that a signature of Cobo is over, in answers and in
// webhooks.
func replyText(body, timestamp string) string { return body + "|" + timestamp }

// checkSignature checks key, signature and nonce of a request, in this order.
func (v *Vendor) checkSignature(r *http.Request, body []byte) *refusal {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("BIZ-API-KEY")), []byte(v.APIKey())) != 1 {
		return unauthorized("unknown API key")
	}
	nonce, signature := r.Header.Get("BIZ-API-NONCE"), r.Header.Get("BIZ-API-SIGNATURE")
	raw, err := hex.DecodeString(signature)
	if err != nil || len(raw) != ed25519.SignatureSize {
		return unauthorized("the signature is not 64 bytes of hex")
	}
	if !signedAs(v.apiPublicKey, raw, r.Method, r.URL, nonce, string(body)) {
		return unauthorized("wrong signature")
	}
	if reason := v.nonces.refuse(nonce, signature); reason != "" {
		return unauthorized(reason)
	}
	return nil
}

// signedAs verifies over the query as it was sent, or as url.QueryEscape would
// have written it: JavaScript's SDK signs a space as + and sends %20.
func signedAs(key ed25519.PublicKey, signature []byte, method string, u *url.URL, nonce, body string) bool {
	for _, query := range []string{u.RawQuery, reencoded(u.RawQuery)} {
		if ed25519.Verify(key, digest(requestText(method, u.EscapedPath(), nonce, query, body)), signature) {
			return true
		}
	}
	return false
}

// reencoded keeps the order of the pairs. A query that cannot be decoded is
// kept as it is.
func reencoded(query string) string {
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		plainName, err := url.QueryUnescape(name)
		if err != nil {
			return query
		}
		plainValue, err := url.QueryUnescape(value)
		if err != nil {
			return query
		}
		pairs = append(pairs, url.QueryEscape(plainName)+"="+url.QueryEscape(plainValue))
	}
	return strings.Join(pairs, "&")
}

// signReply sets the headers of a signed answer or webhook, in both spellings:
// SDKs and documentation disagree on hyphens and underscores.
func (v *Vendor) signReply(header http.Header, body []byte) {
	timestamp := milliseconds(v.now())
	signature := hex.EncodeToString(ed25519.Sign(v.responseKey, digest(replyText(string(body), timestamp))))
	for name, value := range map[string]string{
		"BIZ-TIMESTAMP": timestamp, "BIZ_TIMESTAMP": timestamp,
		"BIZ-RESP-SIGNATURE": signature, "BIZ_RESP_SIGNATURE": signature,
	} {
		header[name] = []string{value} // Set would change the case of letters
	}
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

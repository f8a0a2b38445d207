package cosigner

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/provider"
)

// answering is a co-signer without a network that has one answer to everything.
type answering struct {
	status     int
	retryAfter string
	body       []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Retry-After": {a.retryAfter}}, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers has the co-signer answer every call with anything. A commit counts
// only when it is said for this ceremony, this share set and this very share, a
// start only when it is about what was asked; no error quotes the answer.
func FuzzAnswers(f *testing.F) {
	committed := strings.Replace(goodStatus, `"prepared"`, `"committed"`, 1)
	f.Add(uint16(0), "", []byte(goodStatus))
	f.Add(uint16(0), "", []byte(committed))
	f.Add(uint16(0), "", []byte(strings.Replace(committed, `"f"`, `"g"`, 1)))
	f.Add(uint16(2), "", []byte(`{"ceremony_id":"`+anID+`","state":"running","share_set_id":"b"}`))
	f.Add(uint16(0), "", []byte(goodWallet))
	f.Add(uint16(209), "", []byte(goodStatus))
	f.Add(uint16(303), "99999999999", []byte("<html>"))
	id := uuid.MustParse(anID)
	f.Fuzz(func(t *testing.T, code uint16, retryAfter string, body []byte) {
		c, err := New(Options{Name: "vault", URL: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		status := 200 + int(code)%400
		success := status == http.StatusOK || status == http.StatusAccepted
		c.http.Transport = answering{status, retryAfter, body}

		said, committing := c.Commit(t.Context(), id, Commit{ShareSetID: "b", Fingerprint: "f"})
		if committing == nil && (!success || said.State != Committed || said.CeremonyID != id || said.ShareSetID != "b" || said.Fingerprint != "f") {
			t.Fatalf("HTTP status %d: taken for a commit: %+v", status, said)
		}
		said, starting := c.Start(t.Context(), Ceremony{CeremonyID: id, ShareSetID: "b"})
		if starting == nil && (!success || said.CeremonyID != id || said.ShareSetID != "b") {
			t.Fatalf("HTTP status %d: taken for the start of another ceremony: %+v", status, said)
		}
		if starting == nil && said.State == Prepared && (said.Address == "" || said.PublicKey == "" || said.Fingerprint == "") {
			t.Fatalf("prepared without proof: %+v", said)
		}
		said, aborting := c.Abort(t.Context(), id)
		if aborting == nil && (!success || said.State != Aborted && said.State != Failed) {
			t.Fatalf("HTTP status %d: taken for an abort: %+v", status, said)
		}
		_, asking := c.Status(t.Context(), id)
		_, wallet := c.Wallet(t.Context(), "dynamic", "w")
		for _, err := range []error{committing, starting, aborting, asking, wallet} {
			if err == nil {
				continue
			}
			class, reason := provider.ClassOf(err)
			if class == "" || reason == "" || class == provider.InDoubt {
				t.Fatalf("%v is %s/%s", err, class, reason)
			}
			if text := err.Error(); len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Fatalf("no sentence: %q", text)
			}
		}
	})
}

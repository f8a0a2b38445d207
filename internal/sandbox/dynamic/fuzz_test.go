package dynamic

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/seed"
)

// Whatever is sent, locations is refused with an error body or carries
// locations that the vendor knows.
func FuzzReadLocations(f *testing.F) {
	f.Add(`{"locations":[{"location":"external"}],"shareSetId":"95b11417-f18f-457f-8804-68e361f9164f"}`)
	f.Add(`{"locations":[{"location":"dynamic","externalKeyShareId":null}]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		request, refusal := readLocations(httptest.NewRecorder(), r)
		if refusal != nil {
			if refusal.status < 400 || refusal.body.Error == nil {
				t.Fatalf("refused with %+v", refusal)
			}
			return
		}
		if len(request.Locations) == 0 || request.ShareSetID != nil && !isUUID(*request.ShareSetID) {
			t.Fatalf("accepted %q", body)
		}
	})
}

func FuzzReadShareSetID(f *testing.F) {
	f.Add(`{"shareSetId":"95b11417-f18f-457f-8804-68e361f9164f"}`)
	f.Add(`{"shareSetId":""}`)
	f.Add(``)
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		id, refusal := readShareSetID(httptest.NewRecorder(), r)
		if refusal == nil && id != "" && !isUUID(id) {
			t.Fatalf("accepted %q", id)
		}
	})
}

// Only what was issued is valid: neither anything else nor a change of one byte.
func FuzzJWT(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	issuer := newJWTIssuer(seed.New("test", 1), "environment", "user", time.Hour, func() time.Time { return now })
	f.Add("a.b.c", uint16(0), byte('x'))
	f.Add("", uint16(60), byte('.'))
	f.Fuzz(func(t *testing.T, other string, at uint16, b byte) {
		if issuer.valid(other) {
			t.Fatalf("%q is valid", other)
		}
		issued := []byte(issuer.issue())
		if !issuer.valid(string(issued)) {
			t.Fatal("an issued token is not valid")
		}
		// The last character has two bits that mean nothing.
		i := int(at) % (len(issued) - 1)
		if issued[i] == b {
			return
		}
		issued[i] = b
		if issuer.valid(string(issued)) {
			t.Fatalf("%s is valid", issued)
		}
	})
}

package dynamic

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGuideTellsTheTruth compares the numbers and names in the operators' guide
// with the code.
func TestGuideTellsTheTruth(t *testing.T) {
	text, err := os.ReadFile("../../../docs/providers/dynamic.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := strings.Join(strings.Fields(string(text)), " ")
	want := []string{
		fmt.Sprintf("until `room_created` | %s |", DefaultCallTimeout),
		fmt.Sprintf("to `ceremony_complete` | %s |", DefaultCeremonyTimeout),
		fmt.Sprintf("at most %s is believed", maxRetryAfter),
		"`" + AuthTokenExchange + "`", "`" + AuthServer + "`", `{"external_client_shares": 1}`,
	}
	for _, l := range DocumentedRateLimits() {
		want = append(want, fmt.Sprintf("| %d | %s |", l.Requests, l.Per))
	}
	last := DocumentedRateLimits()[2]
	want = append(want, fmt.Sprintf("takes 4 requests, so one address carries at most %d rotations in five minutes and %d steadily",
		last.Requests/4, (last.Requests-burst(last))/4))
	for scheme, n := range clientShares {
		want = append(want, fmt.Sprintf("| `%s` | %d |", scheme, n))
	}
	for code := range byCode {
		if !strings.HasPrefix(code, "invalid_") && !strings.HasPrefix(code, "lock_") && code != "too_many_requests" {
			want = append(want, "`"+code+"`")
		}
	}
	for _, w := range want {
		if !strings.Contains(guide, w) {
			t.Errorf("docs/providers/dynamic.md does not say %q", w)
		}
	}
}

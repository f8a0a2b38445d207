package cobo

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGuideTellsTheTruth compares the numbers and names in the operators' guide
// with the code.
func TestGuideTellsTheTruth(t *testing.T) {
	text, err := os.ReadFile("../../../docs/providers/cobo.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := strings.Join(strings.Fields(string(text)), " ")
	for _, want := range []string{
		fmt.Sprintf("from every two seconds to every %d,", int(maxPoll.Seconds())),
		fmt.Sprintf("`approval_attention`, %d minutes", int(DefaultApprovalAttention.Minutes())),
		fmt.Sprintf("at most %d minutes from now", int(WebhookWindow.Minutes())),
		fmt.Sprintf("again after %s, %s, %s and so on, at most once in %s", minRest, 2*minRest, 4*minRest, maxRest),
		fmt.Sprintf("%s are allowed between them", settleTime),
		"`" + keyGenFromKeyGroup + "`", "`UpgradeToMainGroup`", `{"tss_nodes": [`,
		"`" + markPrefix + "<attempt id>`", "`" + markPrefix + "<attempt id>" + replacing + "<group>`", `{"keep_groups": [`, "ED25519:xpub…;SECP256K1:xpub…",
	} {
		if !strings.Contains(guide, want) {
			t.Errorf("docs/providers/cobo.md does not say %q", want)
		}
	}
}

package cobo

import (
	"slices"
	"testing"
)

// Whatever is sent is refused with a code, or is a request that can be carried
// out.
func FuzzReadCreateGroup(f *testing.F) {
	f.Add([]byte(`{"key_share_holder_group_type":"SigningGroup","participants":2,"threshold":2,"key_share_holders":[{"name":"n","type":"API","tss_node_id":"cobo1","signer":true}]}`))
	f.Add([]byte(`{"participants":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, refusal := readCreateGroup(body)
		if refusal != nil {
			wantBadRequest(t, refusal)
			return
		}
		if *in.Threshold < 2 || *in.Threshold > *in.Participants || *in.Participants > 3 || len(in.Holders) == 0 {
			t.Fatalf("accepted %s", body)
		}
	})
}

func FuzzReadUpgrade(f *testing.F) {
	f.Add([]byte(`{"update_key_share_holder_group_action":"UpgradeToMainGroup","original_main_group_handling":"ConvertToSigningGroup"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, refusal := readUpgrade(body)
		if refusal != nil {
			wantBadRequest(t, refusal)
			return
		}
		if in.Action != upgradeToMainGroup || in.Handling != invalidate && in.Handling != convertToSigningGroup {
			t.Fatalf("accepted %s", body)
		}
	})
}

func FuzzReadCreateTSSRequest(f *testing.F) {
	f.Add([]byte(`{"type":"KeyGenFromKeyGroup","target_key_share_holder_group_id":"t","source_key_share_holder_group":{"key_share_holder_group_id":"s"}}`))
	f.Add([]byte(`{"type":"KeyGen","target_key_share_holder_group_id":"t"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		in, refusal := readCreateTSSRequest(body)
		if refusal != nil {
			wantBadRequest(t, refusal)
			return
		}
		if in.Target == "" || !slices.Contains([]string{KeyGen, KeyGenFromKeyGroup, Recovery}, in.Type) ||
			in.Type != KeyGen && (in.Source == nil || in.Source.ID == "") {
			t.Fatalf("accepted %s", body)
		}
	})
}

func wantBadRequest(t *testing.T, r *refusal) {
	t.Helper()
	if r.status != 400 || r.code != codeMissing && r.code != codeInvalid || r.message == "" {
		t.Fatalf("%+v", r)
	}
}

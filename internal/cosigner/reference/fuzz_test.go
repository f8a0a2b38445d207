package reference

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// What is accepted must have an id and survive a round trip; nothing may
// panic, and no error may quote what was sent.
func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"ceremony_id":"0198c0de-0000-7000-8000-000000000001","provider":"p","wallet":"w","room_id":"r","share_set_id":"b","previous_share_set_id":"a"}`))
	f.Add([]byte(`{"share_set_id":"b","fingerprint":"f"}`))
	f.Add([]byte(`{} {}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var c cosigner.Ceremony
		if err := decodeObject(body, &c); err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
			return
		}
		if checkCeremony(c) != nil {
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again cosigner.Ceremony
		if err := decodeObject(text, &again); err != nil {
			t.Fatal(err)
		}
		if err := sameRequest(record{Request: c}, again); err != nil {
			t.Error("a repeated start would be refused")
		}
	})
}

func FuzzDecodeFiles(f *testing.F) {
	customer, _ := generate(f)
	share, err := json.Marshal(shareFile{Version: formatVersion, Provider: "p", Wallet: "w", ShareSetID: "a", Share: customer})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(share)
	f.Add([]byte(`{"version":1,"provider":"p","wallet":"w","current":{"share_set_id":"a"},"ceremonies":[{"request":{"ceremony_id":"0198c0de-0000-7000-8000-000000000001","share_set_id":"b"},"state":"running"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if file, err := decodeShareFile(text); err == nil && file.Share.PublicKeyHex() == "" {
			t.Error("a share without a key was accepted")
		}
		j, err := decodeJournal(text)
		if err != nil {
			return
		}
		if j.Current.ShareSetID == "" || j.Version != formatVersion {
			t.Error("a journal without a current share set was accepted")
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add("dynamic", "wallet", "set")
	f.Add("..", "/", "\x00")
	f.Fuzz(func(t *testing.T, provider, wallet, set string) {
		for _, name := range []string{folderName(provider, wallet), (shareRef{ShareSetID: set}).fileName()} {
			if filepath.Base(name) != name || strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz.-") != "" || len(name) > 128 {
				t.Errorf("%q is not a safe name", name)
			}
		}
	})
}

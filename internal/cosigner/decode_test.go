package cosigner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const anID = "0198c0de-0000-7000-8000-000000000001"

const goodStatus = `{"ceremony_id":"` + anID + `","state":"prepared","share_set_id":"b","address":"A","public_key":"00ff","keygen_ids":["k"],"fingerprint":"f"}`

const goodWallet = `{"current_share_set_id":"a","prepared":[{"ceremony_id":"` + anID + `","share_set_id":"b","fingerprint":"f","state":"aborted"}],"address":"A","public_key":"00ff"}`

func TestDecodeStatus(t *testing.T) {
	got, err := decodeStatus([]byte(goodStatus))
	want := Status{
		CeremonyID: uuid.MustParse(anID), State: Prepared, ShareSetID: "b",
		Address: "A", PublicKey: "00ff", KeygenIDs: []string{"k"}, Fingerprint: "f",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	replace := func(old, new string) string {
		if !strings.Contains(goodStatus, old) {
			t.Fatalf("nothing to replace: %s", old)
		}
		return strings.Replace(goodStatus, old, new, 1)
	}
	for name, body := range map[string]string{
		"empty":                   "",
		"null":                    "null",
		"a list":                  "[" + goodStatus + "]",
		"a page":                  "<html>",
		"cut off":                 goodStatus[:len(goodStatus)-1],
		"twice":                   goodStatus + goodStatus,
		"no id":                   replace(anID, "00000000-0000-0000-0000-000000000000"),
		"no uuid":                 replace(anID, "7"),
		"no share set":            replace(`"b"`, `""`),
		"a share set of a number": replace(`"b"`, `7`),
		"no state":                replace("prepared", ""),
		"a state of its own":      replace("prepared", "done"),
		"prepared, no address":    replace(`"A"`, `""`),
		"prepared, no key":        replace("00ff", ""),
		"prepared, no print":      replace(`"f"`, `""`),
		"upper-case key":          replace("00ff", "00FF"),
		"half a byte":             replace("00ff", "00f"),
		"a long address":          replace(`"A"`, `"`+strings.Repeat("A", maxText+1)+`"`),
		"a line feed in a text":   replace(`"A"`, `"A\nB"`),
		"committed, no print":     strings.Replace(replace("prepared", "committed"), `"f"`, `""`, 1),
	} {
		if s, err := decodeStatus([]byte(body)); err == nil {
			t.Errorf("%s: accepted as %+v", name, s)
		}
	}
	for name, body := range map[string]string{
		"a field of tomorrow": replace(`"state"`, `"mood":"fine","state"`),
		"space around":        " \n" + goodStatus + "\n ",
		"running":             `{"ceremony_id":"` + anID + `","state":"running","share_set_id":"b"}`,
	} {
		if _, err := decodeStatus([]byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What went wrong at the co-signer ends up in logs and on the console.
func TestErrorTextIsOneLine(t *testing.T) {
	text, err := json.Marshal(Status{
		CeremonyID: uuid.MustParse(anID), State: Failed, ShareSetID: "b",
		Error: "first\nsecond\x1b[31m" + strings.Repeat("é", maxText),
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeStatus(text)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(s.Error, "\n\x1b") || !strings.HasPrefix(s.Error, "first second") || len(s.Error) > maxText+len("…") {
		t.Errorf("%d bytes: %q", len(s.Error), s.Error)
	}
}

func TestDecodeWalletStatus(t *testing.T) {
	if _, err := decodeWalletStatus([]byte(goodWallet)); err != nil {
		t.Errorf("refused: %v", err)
	}
	for name, change := range map[string][2]string{
		"no share":             {goodWallet, `{"prepared":[],"address":"A","public_key":"00ff"}`},
		"no address":           {`"A"`, `""`},
		"no key":               {`00ff`, ``},
		"a prepared one lacks": {`"fingerprint":"f"`, `"fingerprint":""`},
		"another state":        {`aborted`, `running`},
		"a long set":           {`"a"`, `"` + strings.Repeat("a", maxText+1) + `"`},
	} {
		if w, err := decodeWalletStatus([]byte(strings.Replace(goodWallet, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: accepted as %+v", name, w)
		}
	}
	if _, err := decodeWalletStatus([]byte(strings.Replace(goodWallet, `"a"`, `""`, 1))); err != nil {
		t.Errorf("a lost current share beside a kept one: %v", err)
	}
}

func FuzzDecodeStatus(f *testing.F) {
	f.Add([]byte(goodStatus))
	f.Add([]byte(`{"ceremony_id":"` + anID + `","state":"failed","share_set_id":"b","error":"\u0000"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decodeStatus(body)
		if err != nil {
			if len(err.Error()) > 100 {
				t.Errorf("an error of %d bytes quotes the body", len(err.Error()))
			}
			return
		}
		if s.State == Prepared && (s.Address == "" || s.PublicKey == "" || s.Fingerprint == "") {
			t.Error("prepared without proof was accepted")
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeStatus(text)
		if err != nil {
			t.Fatalf("what was accepted is refused the second time: %v", err)
		}
		s.Error, again.Error = "", "" // cut again
		if len(s.KeygenIDs) == 0 {
			s.KeygenIDs = nil
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzDecodeWalletStatus(f *testing.F) {
	f.Add([]byte(goodWallet))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := decodeWalletStatus(body)
		if err == nil && (w.Address == "" || w.PublicKey == "" || w.CurrentShareSetID == "" && len(w.Prepared) == 0) {
			t.Errorf("accepted: %+v", w)
		}
	})
}

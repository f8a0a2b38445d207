package rotation

import (
	"strings"
	"testing"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/provider"
	"github.com/rotatord/rotatord/internal/store"
)

// says insists that err is a verification error with this in its text; empty:
// that there is none.
func says(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Errorf("accepted, want %q", want)
		return
	}
	if class, reason := provider.ClassOf(err); class != provider.Verification || reason != provider.ReasonVerification || !strings.Contains(err.Error(), want) {
		t.Errorf("refused as %s, %s: %v; want %q", class, reason, err, want)
	}
}

func TestBaselineKey(t *testing.T) {
	type world struct {
		w        store.Wallet
		coSigned bool
		v        provider.Inspection
		held     cosigner.WalletStatus
	}
	for _, tt := range []struct {
		name string
		but  func(*world)
		key  string
		want string
	}{
		{"everybody agrees", func(*world) {}, "aa", ""},
		{"vendor tells the key too", func(x *world) { x.v.PublicKey = "0xAA" }, "aa", ""},
		{"operator gave everything", func(x *world) { x.w.Address, x.w.PublicKey = "0xABC", "AA" }, "aa", ""},
		{"vendor tells another key", func(x *world) { x.v.PublicKey = "bb" }, "", "the vendor says public key bb"},
		{"vendor tells another address", func(x *world) { x.v.Address = "0xdef" }, "", "the vendor says address 0xdef"},
		{"vendor tells no address", func(x *world) { x.v.Address = "" }, "", "the vendor says address"},
		{"co-signer tells no key", func(x *world) { x.held.PublicKey = "" }, "", "does not tell"},
		{"co-signer tells no address", func(x *world) { x.held.Address = "" }, "", "does not tell"},
		{"co-signer has another current set", func(x *world) { x.held.CurrentShareSetID = "s2" }, "", "of share set s2"},
		{"co-signer has no current set", func(x *world) { x.held.CurrentShareSetID = "" }, "", "of no share set"},
		{"operator gave another key", func(x *world) { x.w.PublicKey = "bb" }, "", "the wallet row says public key bb"},
		{"operator gave another address", func(x *world) { x.w.Address = "0xdef" }, "", "the wallet row says address 0xdef"},
		{"no co-signer, vendor tells the key", func(x *world) {
			x.coSigned, x.held, x.v.PublicKey = false, cosigner.WalletStatus{}, "cc"
		}, "cc", ""},
		{"no co-signer, nobody tells the key", func(x *world) { x.coSigned = false }, "", "nobody tells the public key"},
		{"no co-signer, operator gave another key", func(x *world) {
			x.coSigned, x.v.PublicKey, x.w.PublicKey = false, "cc", "bb"
		}, "", "the wallet row says public key bb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := world{coSigned: true, v: provider.Inspection{ActiveShareSet: "s1", Address: "0xAbC"},
				held: cosigner.WalletStatus{CurrentShareSetID: "s1", Address: "0xabc", PublicKey: "aa"}}
			tt.but(&x)
			key, err := baselineKey(x.w, x.coSigned, x.v, x.held)
			says(t, err, tt.want)
			if key != tt.key {
				t.Errorf("key %q, want %q", key, tt.key)
			}
		})
	}
}

func TestSameKey(t *testing.T) {
	for _, tt := range []struct {
		name     string
		w        store.Wallet
		v        provider.Inspection
		coSigned bool
		held     cosigner.WalletStatus
		want     string
	}{
		{"all agree", store.Wallet{Address: "A", PublicKey: "0xAA"}, provider.Inspection{Address: "A", PublicKey: "aa"}, true,
			cosigner.WalletStatus{Address: "A", PublicKey: "AA"}, ""},
		{"nobody says more than the co-signer", store.Wallet{}, provider.Inspection{Address: "A"}, true, cosigner.WalletStatus{Address: "A", PublicKey: "aa"}, ""},
		{"vendor's key", store.Wallet{}, provider.Inspection{Address: "A", PublicKey: "bb"}, true, cosigner.WalletStatus{Address: "A", PublicKey: "aa"},
			"the vendor says public key bb"},
		{"co-signer's key", store.Wallet{}, provider.Inspection{Address: "A"}, true, cosigner.WalletStatus{Address: "A", PublicKey: "bb"},
			"the co-signer's share has public key bb"},
		{"co-signer tells no key", store.Wallet{}, provider.Inspection{Address: "A"}, true, cosigner.WalletStatus{Address: "A"}, "has public key nothing"},
		{"addresses", store.Wallet{}, provider.Inspection{Address: "A"}, true, cosigner.WalletStatus{Address: "a", PublicKey: "aa"},
			"the vendor says address A, the co-signer's share has a"},
		{"operator's key, given later", store.Wallet{PublicKey: "bb"}, provider.Inspection{Address: "A"}, true,
			cosigner.WalletStatus{Address: "A", PublicKey: "aa"}, "the wallet row says public key bb"},
		{"operator's address, given later", store.Wallet{Address: "B"}, provider.Inspection{Address: "A"}, true,
			cosigner.WalletStatus{Address: "A", PublicKey: "aa"}, "the wallet row says address B"},
		{"no co-signer", store.Wallet{}, provider.Inspection{PublicKey: "aa"}, false, cosigner.WalletStatus{}, ""},
		{"no co-signer, another key", store.Wallet{}, provider.Inspection{PublicKey: "bb"}, false, cosigner.WalletStatus{}, "the vendor says public key bb"},
	} {
		t.Run(tt.name, func(t *testing.T) { says(t, sameKey(tt.w, "aa", tt.v, tt.coSigned, tt.held), tt.want) })
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		name string
		but  func(*cosigner.Status)
		want string
	}{
		{"as it should be", func(*cosigner.Status) {}, ""},
		{"written otherwise", func(s *cosigner.Status) { s.PublicKey, s.Address = "0xAA", "0xABC" }, ""},
		{"still running", func(s *cosigner.Status) { s.State = cosigner.Running }, "says running instead of prepared"},
		{"aborted", func(s *cosigner.Status) { s.State = cosigner.Aborted }, "says aborted"},
		{"failed", func(s *cosigner.Status) { s.State = cosigner.Failed }, "says failed"},
		{"committed", func(s *cosigner.Status) { s.State = cosigner.Committed }, "says committed"},
		{"another set", func(s *cosigner.Status) { s.ShareSetID = "s3" }, "prepared share set s3, pending is s2"},
		{"another key", func(s *cosigner.Status) { s.PublicKey = "bb" }, "public key bb, on record is aa"},
		{"no key", func(s *cosigner.Status) { s.PublicKey = "" }, "public key nothing"},
		{"another address", func(s *cosigner.Status) { s.Address = "0xdef" }, "address 0xdef"},
		{"no fingerprint", func(s *cosigner.Status) { s.Fingerprint = "" }, "does not name the share"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := cosigner.Status{State: cosigner.Prepared, ShareSetID: "s2", PublicKey: "aa", Address: "0xabc", Fingerprint: "f"}
			tt.but(&s)
			says(t, fits(s, "s2", "aa", "0xabc"), tt.want)
		})
	}
}

func TestVerify(t *testing.T) {
	type world struct {
		coSigned bool
		status   cosigner.Status
		ready    provider.Readiness
	}
	for _, tt := range []struct {
		name string
		but  func(*world)
		want string
	}{
		{"both complete", func(*world) {}, ""},
		{"vendor completed another set", func(x *world) { x.ready.ShareSet = "s3" }, "the vendor completed share set s3, pending is share set s2"},
		{"vendor does not say which", func(x *world) { x.ready.ShareSet = "" }, "the vendor completed no share set"},
		{"vendor tells another key", func(x *world) { x.ready.PublicKey = "bb" }, "the vendor's new share set has public key bb"},
		{"co-signer has another", func(x *world) { x.status.ShareSetID = "s3" }, "prepared share set s3"},
		{"no co-signer, vendor tells the key", func(x *world) { x.coSigned, x.ready.PublicKey = false, "AA" }, ""},
		{"no co-signer, nobody tells the key", func(x *world) { x.coSigned = false }, "nobody tells the public key of the new share set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := world{true, cosigner.Status{State: cosigner.Prepared, ShareSetID: "s2", PublicKey: "aa", Address: "A", Fingerprint: "f"},
				provider.Readiness{Ready: true, ShareSet: "s2"}}
			tt.but(&x)
			j := &job{r: &store.Rotation{PendingShareSet: "s2", Head: store.Head{PublicKey: "aa"}}, known: provider.Inspection{Address: "A"}}
			says(t, j.verify(party{coSigned: x.coSigned}, x.status, x.ready), tt.want)
		})
	}
}

// party is a provider of which nothing but CoSigned is asked.
type party struct {
	provider.Provider
	coSigned bool
}

func (p party) CoSigned() bool { return p.coSigned }

func TestHolds(t *testing.T) {
	held := cosigner.WalletStatus{CurrentShareSetID: "s1", Prepared: []cosigner.PreparedShare{
		{ShareSetID: "s2", State: cosigner.Prepared}, {ShareSetID: "s3", State: cosigner.Aborted},
		{ShareSetID: "s4", State: cosigner.Prepared, Fingerprint: "a"}, {ShareSetID: "s4", State: cosigner.Aborted, Fingerprint: "b"}}}
	for set, want := range map[string]bool{"s1": true, "s2": true, "s3": false, "s4": true, "s5": false, "": false} {
		if got := holds(held, set); got != want {
			t.Errorf("holds %q: %t", set, got)
		}
	}
	if able := prepared(held, "s4"); len(able) != 1 || able[0].Fingerprint != "a" {
		t.Errorf("prepared shares of s4: %+v", able)
	}
}

func TestSameHexAndAddress(t *testing.T) {
	for _, tt := range []struct {
		a, b         string
		hex, address bool
	}{
		{"ab", "ab", true, true},
		{"0xAb", "0xaB", true, true},
		{"0XAB", "ab", true, false},
		{"0xab", "ab", true, false},
		{"Ab", "aB", true, false}, // not hex addresses: letter by letter
		{"ab", "abc", false, false},
		{"", "", false, false},
		{"0x", "", false, false},
		{"0x", "0x", false, true},
		{"ab", "", false, false},
	} {
		if got := sameHex(tt.a, tt.b); got != tt.hex {
			t.Errorf("sameHex(%q, %q) = %t", tt.a, tt.b, got)
		}
		if got := sameAddress(tt.a, tt.b); got != tt.address {
			t.Errorf("sameAddress(%q, %q) = %t", tt.a, tt.b, got)
		}
	}
}

package dynamic

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rotatord/rotatord/internal/provider"
)

const propertiesText = `{"keyShares":[{"id":"a","backupLocation":"external"}],"thresholdSignatureScheme":"TWO_OF_TWO",` +
	`"shareSetId":"` + oldSet + `","shareSetType":"rootUser","version":"V3"}`

// user is a reply in the form of a user, in camel or snake case.
func user(snake bool, id, address, properties string) string {
	name, props, creds := "walletName", "walletProperties", "verifiedCredentials"
	if snake {
		name, props, creds = "wallet_name", "wallet_properties", "verified_credentials"
	}
	return `{"id":"u","` + creds + `":[{"id":"x","format":"email"},{"id":"` + otherSet + `","address":"0x1","` + name + `":"metamask"},` +
		`{"id":"` + id + `","address":"` + address + `","chain":"eip155","` + name + `":"dynamicwaas","` + props + `":` + properties + `}]}`
}

func TestParseWallet(t *testing.T) {
	asked := attempt().Wallet
	both := func(user string) string {
		return strings.TrimSuffix(walletReplyText, "}") + "," + strings.TrimPrefix(user, "{")
	}
	view := walletView{
		ID: testWallet, Address: testAddress, Chain: "eip155", Scheme: "TWO_OF_TWO", ShareSet: oldSet,
		ShareSetType: "rootUser", KeyShares: []keyShare{{"external"}},
	}
	evm := view
	evm.Chain = "EVM"
	for name, tt := range map[string]struct {
		reply string
		want  walletView
		err   error
	}{
		"wallet object":         {walletReplyText, evm, nil},
		"user, camel case":      {user(false, testWallet, testAddress, propertiesText), view, nil},
		"user, snake case":      {user(true, testWallet, testAddress, propertiesText), view, nil},
		"both":                  {both(user(false, testWallet, testAddress, propertiesText)), evm, nil},
		"both, contradictory":   {both(user(false, testWallet, testAddress, strings.Replace(propertiesText, oldSet, newSet, 1))), walletView{}, errContradictory},
		"user without ours":     {user(false, otherSet, "0x2", propertiesText), walletView{}, errNotAWallet},
		"found by address":      {user(false, "", testAddress, propertiesText), func() walletView { v := view; v.ID = ""; return v }(), nil},
		"wallet null":           {`{"wallet":null}`, walletView{}, errNotAWallet},
		"an error":              {`{"error":"x"}`, walletView{}, errNotAWallet},
		"not JSON":              {`<html>`, walletView{}, errNotAWallet},
		"of the wrong type":     {`{"wallet":{"shareSetId":7}}`, walletView{}, errNotAWallet},
		"told to have no share": {`{"wallet":{"keyShares":[]}}`, walletView{KeyShares: []keyShare{}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseWallet([]byte(tt.reply), asked)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzParseWallet(f *testing.F) {
	f.Add([]byte(walletReplyText))
	f.Add([]byte(user(true, testWallet, testAddress, propertiesText)))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := parseWallet(body, attempt().Wallet)
		if err != nil {
			if err != errNotAWallet && err != errContradictory {
				t.Fatalf("%v may quote the reply", err)
			}
			return
		}
		cl, err := clearanceOf(v, settings{})
		if err != nil {
			return
		}
		if cl.shareSet != v.ShareSet || cl.shares != len(v.KeyShares) || cl.shares < 1 {
			t.Fatalf("%+v cleared as %+v", v, cl)
		}
		for _, s := range v.KeyShares {
			if s.BackupLocation != "external" {
				t.Fatalf("cleared with a backup at %q", s.BackupLocation)
			}
		}
	})
}

func FuzzReplies(f *testing.F) {
	for _, s := range []string{roomText, completeText, locationsText} {
		f.Add([]byte(s))
	}
	r := request{op: opLocations, what: "x"}
	s := &ceremony{attempt: attempt(), request: request{op: opCeremony, what: "x"}, pending: newSet}
	a := attempt()
	a.PendingShareSet = newSet
	f.Fuzz(func(t *testing.T, body []byte) {
		ready, err := s.complete(event{"ceremony_complete", string(body)})
		if (err == nil) != ready.Ready || (ready.Ready && ready.ShareSet != newSet) {
			t.Fatalf("complete(%q) = %+v, %v", body, ready, err)
		}
		for _, err := range []error{err, r.checkLocations(body, a)} {
			if err == nil {
				continue
			}
			if class, _ := provider.ClassOf(err); class == provider.Terminal || class == provider.RateLimited {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}

func TestClearance(t *testing.T) {
	ext := func(n int) []keyShare {
		s := []keyShare{}
		for range n {
			s = append(s, keyShare{"external"})
		}
		return s
	}
	for name, tt := range map[string]struct {
		v      walletView
		s      settings
		shares int    // 0: refused
		says   string // part of the refusal
	}{
		"2 of 2":                        {walletView{Scheme: "TWO_OF_TWO", KeyShares: ext(1)}, settings{}, 1, ""},
		"2 of 3":                        {walletView{Scheme: "TWO_OF_THREE", KeyShares: ext(2)}, settings{}, 2, ""},
		"3 of 5":                        {walletView{Scheme: "THREE_OF_FIVE", KeyShares: ext(3)}, settings{}, 3, ""},
		"root user":                     {walletView{ShareSetType: "rootUser", Scheme: "TWO_OF_TWO", KeyShares: ext(1)}, settings{}, 1, ""},
		"one share too few":             {walletView{Scheme: "TWO_OF_THREE", KeyShares: ext(1)}, settings{}, 0, "1 client shares on record, its scheme has 2: a refresh would lose recovery"},
		"one share too many":            {walletView{Scheme: "TWO_OF_TWO", KeyShares: ext(2)}, settings{}, 0, "would lose recovery"},
		"told to have none":             {walletView{Scheme: "TWO_OF_TWO", KeyShares: ext(0)}, settings{}, 0, "would lose recovery"},
		"backed up at Dynamic":          {walletView{Scheme: "TWO_OF_TWO", KeyShares: []keyShare{{"dynamic"}}}, settings{}, 0, "at dynamic, not only external: a refresh would lose recovery"},
		"one of two at a cloud":         {walletView{Scheme: "TWO_OF_THREE", KeyShares: []keyShare{{"external"}, {"iCloud"}}}, settings{}, 0, "at iCloud"},
		"at a place of tomorrow":        {walletView{Scheme: "TWO_OF_TWO", KeyShares: []keyShare{{"the vendor's own words"}}}, settings{}, 0, "an unknown place"},
		"at no place":                   {walletView{Scheme: "TWO_OF_TWO", KeyShares: []keyShare{{""}}}, settings{}, 0, "an unknown place"},
		"scheme not told":               {walletView{KeyShares: ext(1)}, settings{}, 0, "scheme is not known"},
		"scheme of tomorrow":            {walletView{Scheme: "FOUR_OF_SEVEN", KeyShares: ext(1)}, settings{}, 0, "scheme is not known"},
		"delegated":                     {walletView{ShareSetType: "delegated", Scheme: "TWO_OF_TWO", KeyShares: ext(1)}, settings{}, 0, "only its user"},
		"offline recovery":              {walletView{ShareSetType: "offlineRecovery", Scheme: "TWO_OF_TWO", KeyShares: ext(1)}, settings{}, 0, "only its user"},
		"not told":                      {walletView{Scheme: "TWO_OF_TWO"}, settings{}, 0, "does not tell where"},
		"not told, operator says":       {walletView{Scheme: "TWO_OF_TWO"}, settings{1}, 1, ""},
		"neither told, operator says":   {walletView{}, settings{2}, 2, ""},
		"not told, operator is wrong":   {walletView{Scheme: "TWO_OF_TWO"}, settings{2}, 0, "speak of 2"},
		"the operator cannot overrule":  {walletView{Scheme: "TWO_OF_TWO", KeyShares: []keyShare{{"dynamic"}}}, settings{1}, 0, "at dynamic"},
		"nor with a negative number":    {walletView{Scheme: "TWO_OF_TWO"}, settings{-1}, 0, "does not tell where"},
		"nor replace a missing backup ": {walletView{Scheme: "TWO_OF_TWO", KeyShares: ext(0)}, settings{1}, 0, "would lose recovery"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.v.ShareSet = oldSet
			got, err := clearanceOf(tt.v, tt.s)
			switch {
			case tt.shares > 0 && (err != nil || got != clearance{oldSet, tt.shares}):
				t.Errorf("= %+v, %v, want %d shares", got, err, tt.shares)
			case tt.shares == 0 && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("= %+v, %v, want a refusal with %q", got, err, tt.says)
			}
		})
	}
}

func TestClearancesAreBounded(t *testing.T) {
	var c clearances
	for i := range maxClearances + 10 {
		c.put(string(rune('a'+i%26))+strings.Repeat("x", i/26), clearance{oldSet, 1})
	}
	if len(c.byWallet) > maxClearances {
		t.Errorf("%d clearances are kept", len(c.byWallet))
	}
	if _, ok := c.take("a" + strings.Repeat("x", (maxClearances+9)/26)); !ok {
		t.Error("the latest one is not kept")
	}
}

func TestInspect(t *testing.T) {
	edit := func(what, with string) string { return strings.Replace(walletReplyText, what, with, 1) }
	keyShares := `"keyShares":[{"id":"` + otherSet + `","backupLocation":"external","passwordEncrypted":false}],`
	withoutShares := edit(keyShares, "")
	byID := strings.Replace(edit(`"shareSetId":"`+oldSet+`","shareSetType":"rootUser",`, ""), "otherShareSets", "ignored", 1)
	for _, tt := range []struct {
		name      string
		wallet    func(*provider.Wallet)
		byAddress string
		byID      string
		class     provider.Class
		reason    provider.Reason
		requests  int // without the authentication
	}{
		{"by address", nil, walletReplyText, "", "", "", 1},
		{"by id", func(w *provider.Wallet) { w.Address = "" }, walletReplyText, byID, "", "", 2},
		{"by id, shares told there only", func(w *provider.Wallet) { w.Address = "" }, withoutShares, byID, "", "", 2},
		{"shares told by id only", nil, withoutShares, byID, "", "", 2},
		{"shares told nowhere", nil, withoutShares, strings.Replace(byID, keyShares, "", 1), provider.Terminal, provider.ReasonInvalidState, 2},
		{"shares stated by the operator", func(w *provider.Wallet) { w.Settings = json.RawMessage(`{"external_client_shares":1}`) },
			withoutShares, "", "", "", 1},
		{"settings that cannot be read", func(w *provider.Wallet) { w.Settings = json.RawMessage(`{"external_client_shares":"1"}`) },
			walletReplyText, "", provider.Terminal, provider.ReasonInvalidState, 0},
		{"not a wallet id", func(w *provider.Wallet) { w.ExternalID = "../" + testWallet }, "", "", provider.Terminal, provider.ReasonInvalidState, 0},
		{"no address by id", func(w *provider.Wallet) { w.Address = "" }, walletReplyText, `{"wallet":{}}`, provider.Terminal, provider.ReasonProviderError, 1},
		{"active set not told", nil, edit(`"shareSetId":"`+oldSet+`","shareSetType"`, `"shareSetType"`), "", provider.Terminal, provider.ReasonProviderError, 1},
		{"the address of another wallet", nil, edit(testWallet, otherSet), "", provider.Verification, provider.ReasonVerification, 1},
		{"another address", nil, edit(testAddress, "0x0"), "", provider.Verification, provider.ReasonVerification, 1},
		{"another case of the address", nil, edit(testAddress, strings.ToLower(testAddress)), "", "", "", 1},
		{"contradictory", nil, strings.TrimSuffix(walletReplyText, "}") + "," +
			user(false, testWallet, testAddress, strings.Replace(propertiesText, oldSet, newSet, 1))[1:], "", provider.Verification, provider.ReasonVerification, 1},
		{"not found", nil, "", "", provider.Terminal, provider.ReasonInvalidState, 1},
		{"no wallet in it", nil, `{}`, "", provider.Retryable, provider.ReasonProviderError, 1},
		{"would lose recovery", nil, edit(`"external"`, `"googleDrive"`), "", provider.Terminal, provider.ReasonInvalidState, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, nil)
			w.answer(routeByAddress, nil)
			if tt.byAddress != "" {
				w.answer(routeByAddress, says(200, tt.byAddress))
			}
			if tt.byID != "" {
				w.answer(routeByID, says(200, tt.byID))
			}
			wallet := attempt().Wallet
			if tt.wallet != nil {
				tt.wallet(&wallet)
			}
			got, err := w.p.Inspect(t.Context(), wallet)
			if tt.class != "" {
				wantClass(t, err, tt.class, tt.reason)
			} else if err != nil || got.ActiveShareSet != oldSet || !sameAddress(got.Address, testAddress) || got.PublicKey != "" {
				t.Errorf("Inspect = %+v, %v", got, err)
			}
			if n := w.total() - len(w.asked(routeAuth)); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			for _, r := range w.asked(routeByID) {
				if auth := r.header.Get("Authorization"); auth != "Bearer dyn_token" {
					t.Errorf("read by id with %q; that route takes the API token", auth)
				}
			}
		})
	}
	t.Run("a refusal still tells the active set", func(t *testing.T) {
		w := newWire(t, nil)
		w.answer(routeByAddress, says(200, edit(`"external"`, `"dynamic"`)))
		got, err := w.p.Inspect(t.Context(), attempt().Wallet)
		wantClass(t, err, provider.Terminal, provider.ReasonInvalidState)
		if got.ActiveShareSet != oldSet {
			t.Errorf("Inspect = %+v", got)
		}
	})
}

func TestWallets(t *testing.T) {
	route := "GET /api/v0/sdk/" + testEnvironment + "/users"
	list := func(w *wire) ([]provider.Wallet, error) {
		var found []provider.Wallet
		err := w.p.Wallets(t.Context(), func(w provider.Wallet) error { found = append(found, w); return nil })
		return found, err
	}
	for _, snake := range []bool{false, true} {
		w := newWire(t, nil)
		w.answer(route, says(200, user(snake, testWallet, testAddress, propertiesText)))
		got, err := list(w)
		want := []provider.Wallet{{ExternalID: testWallet, Address: testAddress, Chain: "eip155"}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("snake %v: %v (-want +got):\n%s", snake, err, diff)
		}
	}
	w := newWire(t, nil)
	w.answer(route, says(200, `{"id":"u"}`))
	_, err := list(w)
	wantClass(t, err, provider.Retryable, provider.ReasonProviderError)

	w.answer(route, says(200, user(false, testWallet, testAddress, propertiesText)))
	enough := errors.New("enough")
	if err := w.p.Wallets(t.Context(), func(provider.Wallet) error { return enough }); err != enough {
		t.Errorf("Wallets = %v, want the error of yield", err)
	}

	w = newWire(t, func(o *Options) { o.Auth = AuthServer })
	_, err = list(w)
	wantClass(t, err, provider.Terminal, provider.ReasonInvalidState)
}

package sandbox

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const stranger = "00000000-0000-4000-8000-000000000000"

func TestAuthentication(t *testing.T) {
	r := newRig(t, Options{})
	token := r.info.Dynamic.APIToken
	if len(token) != 60 || !strings.HasPrefix(token, "dyn_") {
		t.Errorf("API token %q", token)
	}
	w := r.wallet(0)
	users := "/api/v0/sdk/" + r.info.Dynamic.EnvironmentID + "/users"
	refresh := map[string]string{"shareSetId": stranger} // 404 once it is let in
	for _, c := range []struct {
		name, method, path, bearer string
		body                       any
		want                       int
	}{
		{"exchange with the token", "POST", r.developer("authenticate"), token, nil, 200},
		{"exchange with a JWT", "POST", r.developer("authenticate"), r.jwt, nil, 401},
		{"exchange with nothing", "POST", r.developer("authenticate"), "", nil, 401},
		{"verify the token", "POST", r.developer("verifyApiKey"), token, nil, 200},
		{"verify another token", "POST", r.developer("verifyApiKey"), "dyn_x", nil, 401},
		{"admin read with the token", "GET", r.developer(w.ID), token, nil, 200},
		{"admin read with a JWT", "GET", r.developer(w.ID), r.jwt, nil, 401},
		{"sdk with a JWT", "GET", users, r.jwt, nil, 200},
		{"sdk with the token", "GET", users, token, nil, 401},
		{"sdk refresh with the token", "POST", r.sdk(w.ID + "/refresh"), token, refresh, 401},
		{"sdk refresh with a JWT", "POST", r.sdk(w.ID + "/refresh"), r.jwt, refresh, 404},
		{"server with the token", "GET", r.server("byWalletAddress/" + w.Address), token, nil, 200},
		{"server with a JWT", "GET", r.server("byWalletAddress/" + w.Address), r.jwt, nil, 401},
		{"server refresh with the token", "POST", r.server(w.ID + "/refresh"), token, refresh, 404},
		{"a forged JWT", "GET", users, r.jwt[:len(r.jwt)-4] + "AAAA", nil, 401},
		{"no JWT at all", "GET", users, "a.b.c", nil, 401},
		{"another environment", "GET", strings.Replace(users, r.info.Dynamic.EnvironmentID, stranger, 1), r.jwt, nil, 403},
		{"an upper-case environment", "GET", strings.Replace(users, r.info.Dynamic.EnvironmentID, strings.ToUpper(r.info.Dynamic.EnvironmentID), 1), r.jwt, nil, 400},
	} {
		a := r.do(c.method, c.path, c.bearer, c.body)
		if a.status != c.want {
			t.Errorf("%s: status %d %s, want %d", c.name, a.status, a.body, c.want)
		}
		if a.status >= 400 && !strings.Contains(a.body, `"error"`) {
			t.Errorf("%s: the body has no error: %s", c.name, a.body)
		}
	}
}

func TestJWTEnds(t *testing.T) {
	clock := newClock()
	r := newRig(t, Options{Clock: clock.Now, Assume: map[string]string{"jwt_lifetime": "2s"}})
	address := r.sdk("byWalletAddress/" + r.wallet(0).Address)
	r.want(200, r.do("GET", address, r.jwt, nil), nil)

	clock.advance(3 * time.Second)
	r.want(401, r.do("GET", address, r.jwt, nil), nil)
	r.authenticate()
	r.want(200, r.do("GET", address, r.jwt, nil), nil)

	r.want(204, r.do("DELETE", "/_sandbox/jwts", "", nil), nil)
	r.want(401, r.do("GET", address, r.jwt, nil), nil)
	r.authenticate()
	r.want(200, r.do("GET", address, r.jwt, nil), nil)
}

// Both shapes and both cases at once, because the official packages disagree.
func TestWalletReads(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	var byAddress struct {
		Wallet struct {
			WalletID, AccountAddress, ChainName, ThresholdSignatureScheme, ShareSetID, ShareSetType string
			OtherShareSets                                                                          []any
			KeyShares                                                                               []struct{ BackupLocation string }
		}
		ID                  string
		VerifiedCredentials []map[string]any
	}
	r.want(200, r.do("GET", r.sdk("byWalletAddress/"+w.Address), r.jwt, nil), &byAddress)
	got := byAddress.Wallet
	if got.WalletID != w.ID || got.AccountAddress != w.Address || got.ShareSetID != w.ActiveShareSet ||
		got.ChainName != "SVM" || got.ThresholdSignatureScheme != "TWO_OF_TWO" || got.ShareSetType != "rootUser" ||
		got.OtherShareSets == nil || len(got.KeyShares) != 1 || got.KeyShares[0].BackupLocation != "external" {
		t.Errorf("wallet %+v", got)
	}
	if len(byAddress.VerifiedCredentials) != 1 || byAddress.ID == "" {
		t.Fatalf("user %+v", byAddress)
	}
	credential := byAddress.VerifiedCredentials[0]
	for _, key := range []string{"walletName", "wallet_name"} {
		if credential[key] != "dynamicwaas" {
			t.Errorf("%s is %v", key, credential[key])
		}
	}
	for _, key := range []string{"walletProperties", "wallet_properties"} {
		properties, ok := credential[key].(map[string]any)
		if !ok || properties["shareSetId"] != w.ActiveShareSet {
			t.Errorf("%s is %v", key, credential[key])
		}
	}

	var byID struct{ Wallet map[string]any }
	r.want(200, r.do("GET", r.developer(w.ID), r.info.Dynamic.APIToken, nil), &byID)
	if byID.Wallet["accountAddress"] != w.Address || byID.Wallet["shareSetId"] != w.ActiveShareSet {
		t.Errorf("by id %v", byID)
	}
	var all struct{ VerifiedCredentials []struct{ Address string } }
	r.want(200, r.do("GET", "/api/v0/sdk/"+r.info.Dynamic.EnvironmentID+"/users", r.jwt, nil), &all)
	if len(all.VerifiedCredentials) != 2 || all.VerifiedCredentials[0].Address != w.Address {
		t.Errorf("users %+v", all)
	}

	r.want(404, r.do("GET", r.sdk("byWalletAddress/nobody"), r.jwt, nil), nil)
	r.want(404, r.do("GET", r.developer(stranger), r.info.Dynamic.APIToken, nil), nil)
	r.want(400, r.do("GET", r.developer(strings.ToUpper(w.ID)), r.info.Dynamic.APIToken, nil), nil)
	r.want(404, r.do("GET", r.sdk("nothing/here/at/all"), r.jwt, nil), nil)
}

func TestRefreshInJSON(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(1)
	for name, body := range map[string]any{"naming the set": map[string]string{"shareSetId": w.ActiveShareSet}, "without a body": nil, "null": `{"shareSetId":null}`} {
		var got room
		a := r.do("POST", r.sdk(w.ID+"/refresh"), r.jwt, body)
		r.want(200, a, &got)
		if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			t.Errorf("%s: content type %s", name, ct)
		}
		if len(got.RoomID) != 32 || got.WalletID != w.ID || got.AccountAddress != w.Address || got.ShareSetType != "rootUser" ||
			got.ShareSetID == "" || got.ShareSetID == w.ActiveShareSet ||
			len(got.ServerKeygenIDs) != 1 || len(got.ServerKeygenIDs[0]) != 44 || len(got.NewServerKeygenIDs) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// JSON tells nothing of the ceremony's end, and locations still works.
	var last room
	r.want(200, r.do("POST", r.server(w.ID+"/refresh"), r.info.Dynamic.APIToken, nil), &last)
	status := r.ceremony(w, last)
	r.want(201, r.locations(w, last.ShareSetID), nil)
	r.want(200, r.commit(status), nil)
	if got := r.wallet(1); !got.CanSign || got.OldShareSigns {
		t.Errorf("%+v", got)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	refresh, locations := r.sdk(w.ID+"/refresh"), r.sdk(w.ID+"/keyShares/backup/locations")
	backup := r.sdk(w.ID + "/keyShares/backup")
	for _, c := range []struct {
		name, path string
		body       any
		want       int
		code       string
	}{
		{"refresh: not JSON", refresh, "{", 400, ""},
		{"refresh: upper-case uuid", refresh, `{"shareSetId":"` + strings.ToUpper(w.ActiveShareSet) + `"}`, 400, ""},
		{"refresh: another set", refresh, `{"shareSetId":"` + stranger + `"}`, 404, "share_set_not_found"},
		{"refresh: unknown wallet", r.sdk(stranger + "/refresh"), nil, 404, "wallet_not_found"},
		{"refresh: no wallet id", r.sdk("wallet/refresh"), nil, 400, ""},
		{"locations: no body", locations, nil, 400, ""},
		{"locations: none", locations, `{"locations":[]}`, 400, ""},
		{"locations: unknown one", locations, `{"locations":[{"location":"attic"}]}`, 400, ""},
		{"locations: dynamic without its id", locations, `{"locations":[{"location":"dynamic"}]}`, 400, ""},
		{"locations: set is not a uuid", locations, `{"locations":[{"location":"external"}],"shareSetId":"x"}`, 400, ""},
		{"locations: unknown set", locations, locationsBody{external, stranger}, 404, "share_set_not_found"},
		{"locations: too long", locations, `{"x":"` + strings.Repeat("x", 300<<10) + `"}`, 413, ""},
		{"backup: nothing", backup, `{}`, 400, ""},
		{"backup: too long", backup, map[string]any{"encryptedAccountCredentials": []string{strings.Repeat("x", 4097)}}, 400, ""},
	} {
		a := r.do("POST", c.path, r.jwt, c.body)
		if a.status != c.want || a.code() != c.code {
			t.Errorf("%s: status %d, code %q, %s; want %d, %q", c.name, a.status, a.code(), a.body, c.want, c.code)
		}
	}
	if got := r.wallet(0); len(got.PendingShareSets) != 0 || got.Generation != 0 {
		t.Errorf("a refused request had an effect: %+v", got)
	}
}

func TestLocationsNeedsACompleteCeremony(t *testing.T) {
	r := newRig(t, Options{})
	w := r.wallet(0)
	s := r.listen(w)
	a := r.locations(w, s.room.ShareSetID)
	if a.status != 422 || a.code() != "wallet_not_active" {
		t.Fatalf("%+v", a)
	}
	if got := r.wallet(0); got.ActiveShareSet != w.ActiveShareSet || !got.CanSign {
		t.Fatalf("%+v", got)
	}
}

func TestLocationsReply(t *testing.T) {
	r := newRig(t, Options{})
	w, room, status := r.prepare(0)
	var backedUp struct {
		KeyShareIDs []string         `json:"keyShareIds"`
		KeyShares   []map[string]any `json:"keyShares"`
	}
	r.want(201, r.do("POST", r.sdk(w.ID+"/keyShares/backup"), r.jwt,
		map[string]any{"encryptedAccountCredentials": []string{"Y2lwaGVy"}, "passwordEncrypted": true, "encryptionVersion": "v2"}), &backedUp)
	if len(backedUp.KeyShareIDs) != 1 || len(backedUp.KeyShares) != 1 {
		t.Fatalf("%+v", backedUp)
	}

	places := append([]map[string]any{
		{"location": "dynamic", "externalKeyShareId": backedUp.KeyShareIDs[0], "passwordEncrypted": true},
	}, external...)
	var reply struct {
		Message, WalletID, ShareSetID, ShareSetType string
		WalletActive                                bool
		LocationsWithKeyShares                      []struct {
			Location, KeyShareID string
			ExternalKeyShareID   *string
		}
	}
	r.want(201, r.do("POST", r.server(w.ID+"/keyShares/backup/locations"), r.info.Dynamic.APIToken, locationsBody{places, room.ShareSetID}), &reply)
	if reply.Message == "" || reply.WalletID != w.ID || reply.ShareSetID != room.ShareSetID || !reply.WalletActive ||
		reply.ShareSetType != "rootUser" || len(reply.LocationsWithKeyShares) != 2 ||
		*reply.LocationsWithKeyShares[0].ExternalKeyShareID != backedUp.KeyShareIDs[0] || reply.LocationsWithKeyShares[1].ExternalKeyShareID != nil {
		t.Errorf("%+v", reply)
	}
	r.want(200, r.commit(status), nil)

	// The retired set is gone for good.
	if a := r.locations(w, w.ActiveShareSet); a.status != 404 {
		t.Errorf("activating the retired set: %+v", a)
	}
	var shown struct {
		Wallet struct{ KeyShares []json.RawMessage }
	}
	r.want(200, r.do("GET", r.developer(w.ID), r.info.Dynamic.APIToken, nil), &shown)
	if len(shown.Wallet.KeyShares) != 2 {
		t.Errorf("%d key shares are shown", len(shown.Wallet.KeyShares))
	}
}

func TestDocumentedRateLimits(t *testing.T) {
	clock := newClock()
	r := newRig(t, Options{Clock: clock.Now, Assume: map[string]string{"rate_limits": "documented"}})
	address := r.sdk("byWalletAddress/" + r.wallet(0).Address)
	for i := range 60 {
		if a := r.do("GET", address, r.jwt, nil); a.status != 200 {
			t.Fatalf("request %d: %d", i, a.status)
		}
	}
	clock.advance(3 * time.Second)
	a := r.do("GET", address, r.jwt, nil)
	if a.status != 429 || a.header.Get("Retry-After") != "7" {
		t.Fatalf("%d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	r.want(200, r.do("GET", r.developer(r.wallet(0).ID), r.info.Dynamic.APIToken, nil), nil)
	clock.advance(7 * time.Second)
	r.want(200, r.do("GET", address, r.jwt, nil), nil)
	for range 189 { // 250 in the first minute
		r.do("GET", address, r.jwt, nil)
		clock.advance(200 * time.Millisecond)
	}
	if a := r.do("GET", address, r.jwt, nil); a.status != 429 {
		t.Errorf("request 251 of the minute: %d", a.status)
	}
}

package dynamic

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rotatord/rotatord/internal/provider"
)

func promotable(t *testing.T, shares int) provider.Attempt {
	a := attempt()
	a.PendingShareSet = newSet
	a.Refs.Vendor = mustJSON(t, vendorRefs{ClientShares: shares})
	return a
}

func TestPromoteReplies(t *testing.T) {
	reply := func(what, with string) http.HandlerFunc {
		return says(201, strings.Replace(locationsText, what, with, 1))
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		class  provider.Class // empty: no error
		reason provider.Reason
	}{
		{"activated", reply("", ""), "", ""},
		{"an older backend", says(200, `{"message":"ok","walletId":"`+testWallet+`","locationsWithKeyShares":[]}`), "", ""},
		{"done already", says(422, `{"error":"x","code":"key_share_already_backed_up"}`), "", ""},

		{"taken, not done", says(201, `{"message":"ok","walletId":"`+testWallet+`","passwordUpdateStatus":"pending"}`), provider.InDoubt, provider.ReasonProviderError},
		{"a status of tomorrow", reply(`"activated"`, `"queued"`), provider.InDoubt, provider.ReasonProviderError},
		{"not active", reply(`"walletActive":true`, `"walletActive":false`), provider.InDoubt, provider.ReasonProviderError},
		{"another set", reply(newSet, otherSet), provider.Verification, provider.ReasonVerification},
		{"another wallet", reply(testWallet, otherSet), provider.Verification, provider.ReasonVerification},
		{"not JSON", says(201, "<html>"), provider.InDoubt, provider.ReasonProviderError},
		{"nothing", says(204, ""), provider.InDoubt, provider.ReasonProviderError},
		{"too long", says(201, strings.Repeat(" ", maxReply+1)), provider.InDoubt, provider.ReasonProviderError},
		{"reply lost", hangsUp, provider.InDoubt, provider.ReasonProviderError},
		{"no reply", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, provider.InDoubt, provider.ReasonTimeout},
		{"500", says(500, ""), provider.InDoubt, provider.ReasonProviderError},
		{"404", says(404, `{"error":"x","code":"y"}`), provider.Terminal, provider.ReasonInvalidState},
		{"400", says(400, `{"error":"x"}`), provider.Terminal, provider.ReasonProviderError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, func(o *Options) { o.CallTimeout = 2 * time.Second })
			w.answer(routeLocations, tt.answer)
			err := w.p.Promote(t.Context(), promotable(t, 1))
			if tt.class == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				wantClass(t, err, tt.class, tt.reason)
			}
			if n := len(w.asked(routeLocations)); n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestPromoteNeverLeavesTheSetOpen: without a pending set on record, the vendor
// is not called at all.
func TestPromoteNeverLeavesTheSetOpen(t *testing.T) {
	for name, change := range map[string]func(*provider.Attempt){
		"no pending set":         func(a *provider.Attempt) { a.PendingShareSet = "" },
		"the old one as pending": func(a *provider.Attempt) { a.PendingShareSet = a.OldShareSet },
		"no client shares":       func(a *provider.Attempt) { a.Refs.Vendor = nil },
		"broken references":      func(a *provider.Attempt) { a.Refs.Vendor = json.RawMessage(`{"client_shares":"x"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			a := promotable(t, 1)
			change(&a)
			wantClass(t, w.p.Promote(t.Context(), a), provider.Terminal, provider.ReasonInternal)
			if n := w.total(); n != 0 {
				t.Errorf("%d requests were made", n)
			}
		})
	}
}

func TestPromoteNamesEveryClientShare(t *testing.T) {
	w := newWire(t, nil)
	if err := w.p.Promote(t.Context(), promotable(t, 3)); err != nil {
		t.Fatal(err)
	}
	e := `{"location":"external"}`
	if got, want := w.asked(routeLocations)[0].body, `{"locations":[`+e+","+e+","+e+`],"shareSetId":"`+newSet+`"}`; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

package dynamic

import (
	"net/http"
	"regexp"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// The operations, as faults and counters name them.
const (
	opAuthenticate = "dynamic.authenticate"
	opWallet       = "dynamic.wallet"
	opRefresh      = "dynamic.refresh"
	opRoom         = "dynamic.room" // the ceremony itself, drawn once per room
	opLocations    = "dynamic.locations"
	opBackup       = "dynamic.backup"
)

// registerFaults says what each operation can suffer. For dynamic.room:
// latency and late_effect make the vendor come late (late_effect ends the
// stream at once), lost_request keeps it away and gives up after delay,
// lost_reply and drop_stream lose ceremony_complete, lose_state forgets the
// pending set after completing it, wrong_public_key brings a share of another
// key, reject and status end the ceremony with an error event.
func registerFaults(set *faults.Set) {
	generic := []faults.Kind{faults.Status, faults.Latency, faults.LostReply, faults.LostRequest, faults.LateEffect}
	whole := append([]faults.Kind{faults.DropStream}, generic...)
	for _, o := range []faults.Operation{
		{Name: opAuthenticate, Generic: whole, Own: []faults.Kind{faults.Reject, faults.LoseState}},
		{Name: opWallet, Generic: whole, Own: []faults.Kind{faults.WrongPublicKey, faults.LoseState, faults.Reject}},
		{Name: opRefresh, Generic: generic, Own: []faults.Kind{faults.DropStream, faults.WrongPublicKey, faults.Reject}},
		{Name: opRoom, Own: append([]faults.Kind{faults.WrongPublicKey, faults.LoseState, faults.Reject}, whole...)},
		{Name: opLocations, Generic: whole, Own: []faults.Kind{faults.LoseState, faults.Reject}},
		{Name: opBackup, Generic: whole},
	} {
		set.Register(o)
	}
}

// Handler serves /api/v0. The key share service, another host in the field, is
// served on the same paths.
func (v *Vendor) Handler() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern, operation string, want credential, class limitClass, h http.HandlerFunc) {
		mux.Handle(pattern, v.counted(operation, v.faults.Wrap(operation, v.walletOf, v.authenticated(want, class, h))))
	}

	const developer = "/api/v0/environments/{environment}/waas"
	route("POST "+developer+"/authenticate", opAuthenticate, apiToken, developerLimits, v.authenticate)
	route("POST "+developer+"/verifyApiKey", opAuthenticate, apiToken, developerLimits, v.verifyAPIKey)
	route("GET "+developer+"/{wallet}", opWallet, apiToken, developerLimits, v.byWalletID)

	for _, twin := range []struct {
		prefix          string
		want, locations credential
		class           limitClass
	}{
		{"/api/v0/sdk/{environment}", userJWT, either, sdkLimits},
		{"/api/v0/server/{environment}", apiToken, apiToken, developerLimits},
	} {
		waas := twin.prefix + "/waas"
		route("GET "+twin.prefix+"/users", opWallet, twin.want, twin.class, v.users)
		route("GET "+waas+"/byWalletAddress/{address}", opWallet, twin.want, twin.class, v.byWalletAddress)
		route("POST "+waas+"/{wallet}/refresh", opRefresh, twin.want, twin.class, v.refresh)
		route("POST "+waas+"/{wallet}/keyShares/backup", opBackup, twin.want, twin.class, v.storeBackup)
		route("POST "+waas+"/{wallet}/keyShares/backup/locations", opLocations, twin.locations, twin.class, v.locations)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refusedWithCode(http.StatusNotFound, "route_not_found", "no such route: "+r.Method+" "+r.URL.Path).write(w)
	})
	return mux
}

func (v *Vendor) counted(operation string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.requests.Add(operation)
		next.ServeHTTP(w, r)
	})
}

// walletOf names the wallet that a request is about, for faults.
func (v *Vendor) walletOf(r *http.Request) string {
	if id := r.PathValue("wallet"); id != "" {
		return id
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if w := v.byAddress[r.PathValue("address")]; w != nil {
		return w.id
	}
	return ""
}

// uuidPattern is the vendor's: lower case only.
var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func isUUID(s string) bool { return uuidPattern.MatchString(s) }

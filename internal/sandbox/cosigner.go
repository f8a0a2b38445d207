package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
	"github.com/rotatord/rotatord/internal/cosigner/reference"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

const (
	opCeremony = "cosigner.ceremony"
	opStatus   = "cosigner.status"
	opCommit   = "cosigner.commit"
	opAbort    = "cosigner.abort"
)

// cosignerGate puts faults in front of the co-signer. What it does itself:
//
//	reject            409
//	wrong_public_key  cosigner.ceremony: from this ceremony on, until the wallet's next one;
//	                  cosigner.status: in this answer
//	lose_state        prepared shares vanish: for cosigner.ceremony after its answer, else before
type cosignerGate struct {
	faults   *faults.Set
	provider string
	signer   atomic.Pointer[signer] // nil while it is down
	requests map[string]int
	routes   http.Handler

	mu      sync.Mutex
	wallets map[string]string // ceremony id → wallet
	lying   map[string]string // wallet → ceremony id that made it lie
}

// signer is a co-signer that runs.
type signer struct {
	*reference.Server
	handler http.Handler
}

func newCosignerGate(set *faults.Set, provider string) *cosignerGate {
	g := &cosignerGate{
		faults: set, provider: provider,
		requests: make(map[string]int), wallets: make(map[string]string), lying: make(map[string]string),
	}
	generic := []faults.Kind{faults.Status, faults.Latency, faults.LostReply, faults.LostRequest, faults.LateEffect, faults.DropStream}
	set.Register(faults.Operation{Name: opCeremony, Generic: generic, Own: []faults.Kind{faults.Reject, faults.WrongPublicKey, faults.LoseState}})
	set.Register(faults.Operation{Name: opStatus, Generic: generic, Own: []faults.Kind{faults.Reject, faults.WrongPublicKey, faults.LoseState}})
	set.Register(faults.Operation{Name: opCommit, Generic: generic, Own: []faults.Kind{faults.Reject, faults.LoseState}})
	set.Register(faults.Operation{Name: opAbort, Generic: generic, Own: []faults.Kind{faults.Reject}})

	mux := http.NewServeMux()
	behind := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running := g.signer.Load()
		if running == nil {
			panic(http.ErrAbortHandler) // nobody is there
		}
		running.handler.ServeHTTP(w, r)
	})
	for pattern, operation := range map[string]string{
		"POST /v1/ceremonies":                 opCeremony,
		"GET /v1/ceremonies/{id}":             opStatus,
		"GET /v1/wallets/{provider}/{wallet}": opStatus,
		"POST /v1/ceremonies/{id}/commit":     opCommit,
		"POST /v1/ceremonies/{id}/abort":      opAbort,
	} {
		guarded := set.Wrap(operation, g.walletOf, g.lie(operation, behind))
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			g.count(operation)
			guarded.ServeHTTP(w, r)
		})
	}
	mux.Handle("/", behind)
	g.routes = mux
	return g
}

// lie does the co-signer's own kinds of fault.
func (g *cosignerGate) lie(operation string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wallet, id := g.subject(r)
		kind := faults.From(r.Context()).Kind
		if operation == opCeremony {
			g.settleLie(wallet, id, kind == faults.WrongPublicKey)
		}
		switch {
		case kind == faults.Reject:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"title":"Conflict","status":409,"detail":"refused by a fault"}`)
		case kind == faults.WrongPublicKey && operation == opStatus:
			g.wrongPublicKey(wallet, true) // a wallet it does not know cannot lie
			next.ServeHTTP(w, r)
			g.wrongPublicKey(wallet, g.lies(wallet))
		case kind == faults.LoseState && operation == opCeremony:
			next.ServeHTTP(w, r)
			g.losePrepared(wallet)
		case kind == faults.LoseState:
			g.losePrepared(wallet)
			next.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// settleLie turns the wrong public key on for a ceremony that was struck, and
// off for the first other one that was not.
func (g *cosignerGate) settleLie(wallet, id string, struck bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case struck:
		g.lying[wallet] = id
	case g.lying[wallet] != id:
		delete(g.lying, wallet)
	}
	g.wrongPublicKey(wallet, g.lying[wallet] != "")
}

func (g *cosignerGate) wrongPublicKey(wallet string, on bool) {
	if running := g.signer.Load(); running != nil {
		running.WrongPublicKey(g.provider, wallet, on)
	}
}

func (g *cosignerGate) losePrepared(wallet string) {
	if running := g.signer.Load(); running != nil {
		running.LoseState(g.provider, wallet, false)
	}
}

func (g *cosignerGate) lies(wallet string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lying[wallet] != ""
}

// honest ends every lie.
func (g *cosignerGate) honest() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for wallet := range g.lying {
		g.wrongPublicKey(wallet, false)
	}
	clear(g.lying)
}

func (g *cosignerGate) walletOf(r *http.Request) string {
	wallet, _ := g.subject(r)
	return wallet
}

// subject is the wallet and ceremony that a request is about, as far as known.
// It leaves the body readable.
func (g *cosignerGate) subject(r *http.Request) (wallet, id string) {
	if wallet := r.PathValue("wallet"); wallet != "" {
		return wallet, ""
	}
	if id := r.PathValue("id"); id != "" {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.wallets[strings.ToLower(id)], id
	}
	const limit = 64 << 10
	text, err := io.ReadAll(io.LimitReader(r.Body, limit))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
	if err != nil {
		return "", "" // the co-signer will see the same and refuse
	}
	var c cosigner.Ceremony
	if json.Unmarshal(text, &c) != nil || c.CeremonyID == uuid.Nil {
		return "", ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wallets[c.CeremonyID.String()] = c.Wallet
	return c.Wallet, c.CeremonyID.String()
}

func (g *cosignerGate) count(operation string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.requests[operation]++
}

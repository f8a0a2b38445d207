package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
	"github.com/rotatord/rotatord/internal/sandbox/cobo"
	"github.com/rotatord/rotatord/internal/sandbox/dynamic"
	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

const (
	relayPrefix    = "/_sandbox/relay"
	cosignerPrefix = "/cosigner"
)

// Info says where everything is.
type Info struct {
	Dynamic  DynamicInfo       `json:"dynamic"`
	Cobo     CoboInfo          `json:"cobo"`
	Cosigner CosignerInfo      `json:"cosigner"`
	RelayURL string            `json:"relay_url"`
	Assume   map[string]string `json:"assume"`
}

// DynamicInfo is what a provider of type dynamic needs.
type DynamicInfo struct {
	BaseURL       string `json:"base_url"`
	EnvironmentID string `json:"environment_id"`
	APIToken      string `json:"api_token"`
}

// CoboInfo is what a provider of type cobo needs.
type CoboInfo struct {
	BaseURL           string   `json:"base_url"`
	APIKey            string   `json:"api_key"`             // Ed25519, hex
	APISecret         string   `json:"api_secret"`          // its seed, hex
	ResponsePublicKey string   `json:"response_public_key"` // of answers and webhooks, hex
	TSSNodes          []string `json:"tss_nodes"`           // the customer's
}

// CosignerInfo is what a co-signer in rotatord's config needs. Provider is the
// name under which it knows the wallets.
type CosignerInfo struct {
	URL      string `json:"url"`
	Token    string `json:"token"`
	Provider string `json:"provider"`
}

// Info for callers that reach the handler under this URL.
func (s *Sandbox) Info(baseURL string) Info {
	return Info{
		Dynamic: DynamicInfo{BaseURL: baseURL, EnvironmentID: s.vendor.EnvironmentID(), APIToken: s.vendor.APIToken()},
		Cobo: CoboInfo{BaseURL: baseURL + "/v2", APIKey: s.cobo.APIKey(), APISecret: s.cobo.APISecret(),
			ResponsePublicKey: s.cobo.ResponsePublicKey(), TSSNodes: s.cobo.Nodes()},
		Cosigner: CosignerInfo{URL: baseURL + cosignerPrefix, Token: s.token, Provider: s.provider},
		RelayURL: baseURL + relayPrefix,
		Assume:   s.assume.Chosen(),
	}
}

// SetFaults puts these faults in force instead of the ones before. A list that
// is not valid changes nothing.
func (s *Sandbox) SetFaults(list ...faults.Fault) error {
	if err := s.faults.Replace(list); err != nil {
		return fmt.Errorf("setting faults: %w", err)
	}
	if len(list) == 0 {
		s.gate.honest()
	}
	return nil
}

// Operations are those that can fail, each with its kinds of fault, by name.
func (s *Sandbox) Operations() []faults.Operation { return s.faults.Operations() }

// Struck is how often faults have struck so far, by operation and kind. Unlike
// the hits of a fault it does not begin anew with another list of faults.
func (s *Sandbox) Struck() map[string]map[faults.Kind]int { return s.faults.Struck() }

// RevokeJWTs makes every JWT so far worthless.
func (s *Sandbox) RevokeJWTs() { s.vendor.RevokeJWTs() }

// SetShape changes what the vendor tells of a wallet's scheme and backups.
func (s *Sandbox) SetShape(wallet string, shape dynamic.Shape) error {
	return s.vendor.SetShape(wallet, shape)
}

// Stats is what was counted. Requests are those of everyone, the co-signer
// included; Ceremonies and Wallets are Dynamic's.
type Stats struct {
	dynamic.Stats
	Cobo cobo.Stats `json:"cobo"`
}

// Stats returns a copy of the counters.
func (s *Sandbox) Stats() Stats {
	stats := Stats{s.vendor.Stats(), s.cobo.Stats()}
	maps.Copy(stats.Requests, stats.Cobo.Requests)
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	maps.Copy(stats.Requests, s.gate.requests)
	return stats
}

func (s *Sandbox) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v0/", s.vendor.Handler())
	mux.Handle("/v2/", s.cobo.Handler())
	mux.Handle(cosignerPrefix+"/", http.StripPrefix(cosignerPrefix, s.gate.routes))
	mux.Handle(relayPrefix+"/", http.StripPrefix(relayPrefix, s.rooms.Handler()))
	mux.HandleFunc("GET /_sandbox/info", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, s.Info("http://"+r.Host))
	})
	mux.HandleFunc("GET /_sandbox/state", s.serveState)
	mux.HandleFunc("GET /_sandbox/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Stats()) })
	mux.HandleFunc("GET /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.faults) })
	mux.HandleFunc("PUT /_sandbox/faults", s.putFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", func(w http.ResponseWriter, _ *http.Request) { s.reply(w, s.SetFaults()) })
	mux.HandleFunc("DELETE /_sandbox/jwts", func(w http.ResponseWriter, _ *http.Request) {
		s.RevokeJWTs()
		s.reply(w, nil)
	})
	mux.HandleFunc("PATCH /_sandbox/wallets/{wallet}", s.patchWallet)
	s.peopleRoutes(mux)
	mux.HandleFunc("GET /_sandbox/assumptions", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, assume.Describe())
	})
	return mux
}

func (s *Sandbox) serveState(w http.ResponseWriter, r *http.Request) {
	states := []WalletState{}
	if id := r.URL.Query().Get("wallet"); id == "" {
		states = s.State()
	} else if state, ok := s.WalletState(id); ok {
		states = append(states, state)
	}
	answer(w, http.StatusOK, map[string][]WalletState{"wallets": states})
}

func (s *Sandbox) putFaults(w http.ResponseWriter, r *http.Request) {
	var list []faults.Fault
	if err := decode(w, r, &list); err != nil {
		s.reply(w, err)
		return
	}
	s.reply(w, s.SetFaults(list...))
}

func (s *Sandbox) patchWallet(w http.ResponseWriter, r *http.Request) {
	var shape dynamic.Shape
	if err := decode(w, r, &shape); err != nil {
		s.reply(w, err)
		return
	}
	s.reply(w, s.SetShape(r.PathValue("wallet"), shape))
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// reply is 204, or 400 with what was wrong.
func (s *Sandbox) reply(w http.ResponseWriter, err error) {
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		http.Error(w, "encoding the answer failed: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

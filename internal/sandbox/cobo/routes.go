package cobo

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// maxBody is far above what any request here needs.
const maxBody = 1 << 20

// call is one authenticated request.
type call struct {
	*http.Request
	body  []byte
	hit   faults.Hit
	vault *vault // nil where the path names none
}

// route is one call of the API. handle answers with status, or refuses.
type route struct {
	pattern, operation string
	status             int
	handle             func(*call) (any, *refusal)
}

func (v *Vendor) routes() []route {
	const vaults = "/v2/wallets/mpc/vaults"
	const groups = vaults + "/{vault}/key_share_holder_groups"
	const requests = vaults + "/{vault}/tss_requests"
	const holders = vaults + "/{vault}/key_share_holders"
	return []route{
		{"GET " + vaults, opListVaults, http.StatusOK, v.listVaults},
		{"GET " + vaults + "/{vault}", opGetVault, http.StatusOK, v.getVault},
		{"GET /v2/wallets/mpc/cobo_key_share_holders", opListCoboHolders, http.StatusOK, v.listCoboHolders},
		{"GET " + groups, opListGroups, http.StatusOK, v.listGroups},
		{"GET " + groups + "/{group}", opGetGroup, http.StatusOK, v.getGroup},
		{"POST " + groups, opCreateGroup, http.StatusCreated, v.createGroup},
		{"PUT " + groups + "/{group}", opUpgradeGroup, http.StatusOK, v.upgradeGroup},
		{"POST " + groups + "/{group}/delete", opDeleteGroup, http.StatusCreated, v.deleteGroup},
		{"POST " + requests, opCreateRequest, http.StatusCreated, v.createRequest},
		{"GET " + requests, opListRequests, http.StatusOK, v.listRequests},
		{"GET " + requests + "/{request}", opGetRequest, http.StatusOK, v.getRequest},
		{"POST " + requests + "/{request}/cancel", opCancelRequest, http.StatusCreated, v.cancelRequest},
		{"GET " + holders, opListHolders, http.StatusOK, v.listHolders},
		{"GET " + holders + "/{node}", opGetHolder, http.StatusOK, v.getHolder},
	}
}

// Handler serves /v2.
func (v *Vendor) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range v.routes() {
		guarded := v.faults.Wrap(r.operation, vaultOf, v.serve(r))
		mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) {
			v.requests.Add(r.operation)
			guarded.ServeHTTP(w, req)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		v.refuse(w, &refusal{http.StatusNotFound, codeNoEndpoint, "no such endpoint: " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func vaultOf(r *http.Request) string { return r.PathValue("vault") }

// serve puts what every call shares around a route: authentication, the faults
// that refuse, the vault, and a signed answer.
func (v *Vendor) serve(r route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
		if err != nil {
			v.refuse(w, invalid("the body cannot be read"))
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		c := &call{Request: req, body: body, hit: faults.From(req.Context())}
		if refusal := v.checkSignature(req, body); refusal != nil {
			v.refuse(w, refusal)
			return
		}
		if v.strike(w, r.operation, c.hit) {
			return
		}
		if id := req.PathValue("vault"); id != "" {
			v.mu.Lock()
			c.vault = v.byID[id]
			v.mu.Unlock()
			if c.vault == nil {
				v.refuse(w, notFound("vault"))
				return
			}
		}
		out, refusal := r.handle(c)
		if refusal != nil {
			v.refuse(w, refusal)
			return
		}
		v.answer(w, r.status, out)
	})
}

// strike answers a call that a fault refuses, and says so.
func (v *Vendor) strike(w http.ResponseWriter, operation string, hit faults.Hit) bool {
	switch {
	case hit.Kind == faults.Status && byProxy(hit.Status):
		if hit.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(hit.RetryAfter))
		}
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(hit.Status)
		io.WriteString(w, "<html><title>"+http.StatusText(hit.Status)+"</title></html>")
	case hit.Kind == faults.Status:
		v.refuse(w, ofStatus(hit.Status))
	case hit.Kind == faults.Reject && operation != opCreateRequest:
		v.refuse(w, v.rejected(operation))
	default:
		return false
	}
	return true
}

// byProxy says which statuses come from in front of the vendor: neither JSON
// nor signed.
func byProxy(status int) bool {
	switch status {
	case http.StatusRequestURITooLong, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// rejected is a definite no: without permission to read, or in a wrong state.
func (v *Vendor) rejected(operation string) *refusal {
	_, name, _ := strings.Cut(operation, ".")
	if strings.HasPrefix(name, "get_") || strings.HasPrefix(name, "list_") {
		return &refusal{http.StatusForbidden, codeForbidden, "permission denied"}
	}
	return v.wrongState("refused by a fault")
}

func (v *Vendor) refuse(w http.ResponseWriter, r *refusal) {
	v.answer(w, r.status, errorJSON{Code: r.code, Message: r.message, ID: uuid.NewString()})
}

func (v *Vendor) answer(w http.ResponseWriter, status int, out any) {
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "encoding the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	v.signReply(w.Header(), body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

package torture

import (
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// hooks hands the vendor's webhooks to any replica that runs, as a load
// balancer does.
type hooks struct {
	proxy    *httputil.ReverseProxy
	replicas []*replica

	mu     sync.Mutex
	random *rand.Rand
}

func newHooks(replicas []*replica, seed int64, transport http.RoundTripper) *hooks {
	h := &hooks{replicas: replicas, random: rand.New(rand.NewPCG(uint64(seed), 1<<32))}
	h.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: h.choose()}) },
		// A replica that has just been killed is the vendor's to call again.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	return h
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.proxy.ServeHTTP(w, r) }

// choose is the address of a replica; one that nobody listens at, when none
// runs.
func (h *hooks) choose() string {
	var up []string
	for _, r := range h.replicas {
		if p := r.now(); p.running() && p.said.listenOn() == nil && p.said.address() != "" {
			up = append(up, p.said.address())
		}
	}
	if len(up) == 0 {
		return "127.0.0.1:1"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return up[h.random.IntN(len(up))]
}

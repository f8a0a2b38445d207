package sandbox

import (
	"fmt"
	"net/http"

	"github.com/rotatord/rotatord/internal/sandbox/cobo"
)

// Cobo is the simulated Cobo, for what people do there beside the daemon:
// AddGroup, ChangeGroup, AddRequest, ChangeRequest, SetNode.
func (s *Sandbox) Cobo() *cobo.Vendor { return s.cobo }

// SetWebhook says where Cobo's events are sent from now on; empty: nowhere.
func (s *Sandbox) SetWebhook(url string) error {
	if err := s.cobo.SetWebhook(url); err != nil {
		return fmt.Errorf("setting the webhook: %w", err)
	}
	return nil
}

// peopleRoutes are the same over HTTP.
func (s *Sandbox) peopleRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT /_sandbox/webhooks", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			URL string `json:"url"`
		}
		s.change(w, r, &in, func() error { return s.SetWebhook(in.URL) })
	})
	mux.HandleFunc("PATCH /_sandbox/cobo/nodes/{node}", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Online bool `json:"online"`
		}
		s.change(w, r, &in, func() error { return s.cobo.SetNode(r.PathValue("node"), in.Online) })
	})
	mux.HandleFunc("PATCH /_sandbox/cobo/groups/{group}", func(w http.ResponseWriter, r *http.Request) {
		var in cobo.GroupChange
		s.change(w, r, &in, func() error { return s.cobo.ChangeGroup(r.PathValue("group"), in) })
	})
	mux.HandleFunc("PATCH /_sandbox/cobo/tss_requests/{request}", func(w http.ResponseWriter, r *http.Request) {
		var in cobo.RequestChange
		s.change(w, r, &in, func() error { return s.cobo.ChangeRequest(r.PathValue("request"), in) })
	})
	mux.HandleFunc("POST /_sandbox/cobo/vaults/{vault}/groups", func(w http.ResponseWriter, r *http.Request) {
		var in cobo.NewGroup
		s.make(w, r, &in, func() (string, error) { return s.cobo.AddGroup(r.PathValue("vault"), in) })
	})
	mux.HandleFunc("POST /_sandbox/cobo/vaults/{vault}/tss_requests", func(w http.ResponseWriter, r *http.Request) {
		var in cobo.NewRequest
		s.make(w, r, &in, func() (string, error) { return s.cobo.AddRequest(r.PathValue("vault"), in) })
	})
}

// change answers 204 when what the body asks for was done.
func (s *Sandbox) change(w http.ResponseWriter, r *http.Request, into any, do func() error) {
	if err := decode(w, r, into); err != nil {
		s.reply(w, err)
		return
	}
	s.reply(w, do())
}

// make answers 201 with the id of what the body asked for.
func (s *Sandbox) make(w http.ResponseWriter, r *http.Request, into any, do func() (string, error)) {
	if err := decode(w, r, into); err != nil {
		s.reply(w, err)
		return
	}
	id, err := do()
	if err != nil {
		s.reply(w, err)
		return
	}
	answer(w, http.StatusCreated, map[string]string{"id": id})
}

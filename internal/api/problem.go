package api

import (
	"encoding/json"
	"net/http"
	"strings"
)

// problem is the body of every error: RFC 9457, without a type of our own, so
// that title is the text of the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// refuse answers with a problem. detail is one sentence for a person.
func refuse(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(problem{Title: http.StatusText(status), Status: status, Detail: detail})
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller has gone: nobody is left to tell
}

// withProblems serves the mux, and answers for it where no route matches: its
// own answers are plain text.
func withProblems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		answer := peek{header: http.Header{}}
		handler.ServeHTTP(&answer, r)
		if answer.status == http.StatusMethodNotAllowed {
			allowed := answer.header.Get("Allow")
			w.Header().Set("Allow", allowed)
			refuse(w, http.StatusMethodNotAllowed, "this route answers "+strings.ReplaceAll(allowed, ",", " and")+" only")
			return
		}
		refuse(w, http.StatusNotFound, "there is no such route; / lists those there are")
	})
}

// peek takes in what the mux would have answered, without its text.
type peek struct {
	header http.Header
	status int
}

func (p *peek) Header() http.Header         { return p.header }
func (p *peek) Write(b []byte) (int, error) { return len(b), nil }
func (p *peek) WriteHeader(status int)      { p.status = status }

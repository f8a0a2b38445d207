package reference

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/rotatord/rotatord/internal/cosigner"
)

// maxBody of a request; a ceremony with all its keygen ids is below 20 KiB.
const maxBody = 64 << 10

// Handler is the protocol. Serve it over TLS.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/wallets/{provider}/{wallet}", func(rw http.ResponseWriter, r *http.Request) {
		status, err := s.walletStatus(r.PathValue("provider"), r.PathValue("wallet"))
		s.answer(rw, r, status, err)
	})
	mux.HandleFunc("POST /v1/ceremonies", func(rw http.ResponseWriter, r *http.Request) {
		var c cosigner.Ceremony
		if err := decodeRequest(rw, r, &c); err != nil {
			s.refuse(rw, r, err)
			return
		}
		status, err := s.start(r.Context(), c)
		s.answer(rw, r, status, err)
	})
	mux.HandleFunc("GET /v1/ceremonies/{id}", s.onCeremony(func(_ http.ResponseWriter, _ *http.Request, id uuid.UUID) (cosigner.Status, error) {
		return s.ask(id)
	}))
	mux.HandleFunc("POST /v1/ceremonies/{id}/commit", s.onCeremony(func(rw http.ResponseWriter, r *http.Request, id uuid.UUID) (cosigner.Status, error) {
		var c cosigner.Commit
		if err := decodeRequest(rw, r, &c); err != nil {
			return cosigner.Status{}, err
		}
		return s.commit(id, c)
	}))
	mux.HandleFunc("POST /v1/ceremonies/{id}/abort", s.onCeremony(func(_ http.ResponseWriter, _ *http.Request, id uuid.UUID) (cosigner.Status, error) {
		return s.abort(id)
	}))
	return s.authenticate(mux)
}

func (s *Server) onCeremony(act func(http.ResponseWriter, *http.Request, uuid.UUID) (cosigner.Status, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		id, err := uuid.Parse(r.PathValue("id"))
		if err != nil {
			s.refuse(rw, r, fmt.Errorf("%w: no such ceremony", errUnknown))
			return
		}
		status, err := act(rw, r, id)
		s.answer(rw, r, status, err)
	}
}

// authenticate lets through who bears the token; without a token in the
// options, who came with a verified client certificate.
func (s *Server) authenticate(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + s.options.Token))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		allowed := r.TLS != nil && len(r.TLS.VerifiedChains) > 0
		if s.options.Token != "" {
			// Hashed first: the comparison then takes the same time for every length.
			got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
			allowed = subtle.ConstantTimeCompare(got[:], want[:]) == 1
		}
		if !allowed {
			rw.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(rw, http.StatusUnauthorized, "a valid token or client certificate is needed")
			return
		}
		next.ServeHTTP(rw, r)
	})
}

var errTooLarge = errors.New("the request is too large")

// decodeRequest reads exactly one JSON object.
func decodeRequest(rw http.ResponseWriter, r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return errTooLarge
	}
	if err != nil {
		return fmt.Errorf("%w: reading it failed", errInvalid)
	}
	return decodeObject(body, into)
}

func decodeObject(body []byte, into any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return fmt.Errorf("%w: it is not a JSON object", errInvalid)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: it is not JSON of the protocol", errInvalid)
	}
	return nil
}

// answer is a success, or the refusal that err stands for.
func (s *Server) answer(rw http.ResponseWriter, r *http.Request, body any, err error) {
	if err != nil {
		s.refuse(rw, r, err)
		return
	}
	code := http.StatusOK
	if status, ok := body.(cosigner.Status); ok && status.State == cosigner.Running && r.Method == http.MethodPost {
		code = http.StatusAccepted
	}
	writeJSON(rw, "application/json", code, body)
}

// refuse maps the refusals to status codes, in this one place.
func (s *Server) refuse(rw http.ResponseWriter, r *http.Request, err error) {
	code, detail := http.StatusInternalServerError, "something failed here; see the co-signer's log"
	for refusal, c := range map[error]int{
		errInvalid:  http.StatusBadRequest,
		errUnknown:  http.StatusNotFound,
		errConflict: http.StatusConflict,
		errTooLarge: http.StatusRequestEntityTooLarge,
		errClosed:   http.StatusServiceUnavailable,
	} {
		if errors.Is(err, refusal) {
			code, detail = c, err.Error()
		}
	}
	level := s.log.Info
	if code == http.StatusInternalServerError {
		level = s.log.Error
	}
	level("refused", "call", strings.TrimSpace(r.Method+" "+r.Pattern), "code", code, "error", err)
	writeProblem(rw, code, detail)
}

// problem is RFC 9457's, for people with curl: rotatord reads the code alone.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func writeProblem(rw http.ResponseWriter, code int, detail string) {
	writeJSON(rw, "application/problem+json", code, problem{Title: http.StatusText(code), Status: code, Detail: detail})
}

func writeJSON(rw http.ResponseWriter, contentType string, code int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(rw, "encoding the answer failed", http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", contentType)
	rw.WriteHeader(code)
	// A caller that is gone asks again.
	rw.Write(text)
}

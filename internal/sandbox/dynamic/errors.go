package dynamic

import (
	"encoding/json"
	"net/http"
)

// The error bodies of the vendor's models: 400, 401, 409 and 500 have error;
// 404 has error and code; 422 has error, code and sometimes payload; 403 has
// error either as text or as an object with code and message.
type errorBody struct {
	Error any    `json:"error"`
	Code  string `json:"code,omitempty"`
}

// refusal is an answer other than success.
type refusal struct {
	status int
	body   errorBody
}

func refused(status int, text string) *refusal {
	return &refusal{status, errorBody{Error: text}}
}

func refusedWithCode(status int, code, text string) *refusal {
	return &refusal{status, errorBody{Error: text, Code: code}}
}

func forbidden(code, text string) *refusal {
	return &refusal{http.StatusForbidden, errorBody{Error: map[string]string{"code": code, "message": text}}}
}

func (r *refusal) write(w http.ResponseWriter) { writeJSON(w, r.status, r.body) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(text)
}

package cobo

import (
	"fmt"
	"net/http"

	"github.com/rotatord/rotatord/internal/sandbox/assume"
)

// Codes of the vendor's error table.
const (
	codeInternal     = 1000
	codeMissing      = 2003
	codeInvalid      = 2006
	codeNoEndpoint   = 2021
	codeKeyAuth      = 2024
	codeForbidden    = 2025
	codeTooMany      = 2026
	codeNotFound     = 2028
	codeTemporary    = 2000
	codeNotProcessed = 2029
)

// refusal is an answer other than success.
type refusal struct {
	status, code int
	message      string
}

// errorJSON is the vendor's ErrorResponse.
type errorJSON struct {
	Code    int    `json:"error_code"`
	Message string `json:"error_message"`
	ID      string `json:"error_id"`
}

func missing(name string) *refusal {
	return &refusal{http.StatusBadRequest, codeMissing, "missing required parameter: " + name}
}

func invalid(format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, codeInvalid, fmt.Sprintf("invalid parameter: "+format, args...)}
}

func notFound(what string) *refusal {
	return &refusal{http.StatusNotFound, codeNotFound, what + " not found"}
}

func unauthorized(reason string) *refusal {
	return &refusal{http.StatusUnauthorized, codeKeyAuth, "API key authentication failed: " + reason}
}

// wrongState is the answer to a call that does not fit what is there.
func (v *Vendor) wrongState(message string) *refusal {
	switch {
	case v.assume.Is(assume.CoboWrongState, assume.Forbidden):
		return &refusal{http.StatusForbidden, codeForbidden, message}
	case v.assume.Is(assume.CoboWrongState, assume.ServerError):
		return &refusal{http.StatusInternalServerError, codeInternal, "internal error"}
	}
	return &refusal{http.StatusBadRequest, codeInvalid, message}
}

// ofStatus is what a fault of kind status answers: the code that belongs to it.
func ofStatus(status int) *refusal {
	codes := map[int]int{
		http.StatusUnauthorized: codeKeyAuth, http.StatusForbidden: codeForbidden, http.StatusNotFound: codeNotFound,
		http.StatusMethodNotAllowed: codeNoEndpoint, http.StatusTooManyRequests: codeTooMany,
		http.StatusInternalServerError: codeInternal, http.StatusServiceUnavailable: codeTemporary,
	}
	code, ok := codes[status]
	if !ok {
		code = codeNotProcessed
	}
	return &refusal{status, code, http.StatusText(status)}
}

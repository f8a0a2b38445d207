package cobo

import (
	"net/http"

	"github.com/rotatord/rotatord/internal/provider"
)

// operation names a call in metrics, in logs and in the sandbox's faults.
type operation string

const (
	opListVaults      operation = "list_vaults"
	opGetVault        operation = "get_vault"
	opListCoboHolders operation = "list_cobo_holders"
	opListGroups      operation = "list_groups"
	opGetGroup        operation = "get_group"
	opCreateGroup     operation = "create_group"
	opUpgradeGroup    operation = "upgrade_group"
	opDeleteGroup     operation = "delete_group"
	opCreateRequest   operation = "create_tss_request"
	opListRequests    operation = "list_tss_requests"
	opGetRequest      operation = "get_tss_request"
	opCancelRequest   operation = "cancel_tss_request"
)

// Operations are the values that Options.Observe is called with.
var Operations = []string{
	string(opListVaults), string(opGetVault), string(opListCoboHolders), string(opListGroups), string(opGetGroup),
	string(opCreateGroup), string(opUpgradeGroup), string(opDeleteGroup), string(opCreateRequest), string(opListRequests),
	string(opGetRequest), string(opCancelRequest),
}

// fault is why there is no usable reply.
type fault string

const (
	faultNone     fault = ""
	faultTimeout  fault = "timeout"
	faultNetwork  fault = "network"
	faultCanceled fault = "canceled" // by the caller
	faultGarbled  fault = "garbled"  // a success whose content cannot be understood
	faultUnsigned fault = "unsigned" // a reply that the vendor did not sign
)

// outcome is all that a failure is judged by.
type outcome struct {
	op     operation
	sent   bool // the request may have reached the vendor
	status int  // of the reply; zero when none came
	fault  fault
	code   int // the vendor's error_code; zero when none was given

	errorID string // for the vendor's support; judged by nobody
}

// mutates says whether the call changes the vendor.
func (o outcome) mutates() bool {
	switch o.op {
	case opCreateGroup, opUpgradeGroup, opDeleteGroup, opCreateRequest, opCancelRequest:
		return true
	}
	return false
}

// verdict is what an outcome means.
type verdict struct {
	class  provider.Class
	reason provider.Reason
}

const codeNotFound = 2028

// byCode holds the codes that say more than their status (error-codes.mdx).
// Which of them the calls used here answer in which state is not documented.
var byCode = map[int]verdict{
	2026: {provider.RateLimited, provider.ReasonRateLimited},

	2024: {provider.Terminal, provider.ReasonAuth}, // key unknown, not activated, address not listed, bad signature
	2025: {provider.Terminal, provider.ReasonAuth}, // permission
	4001: {provider.Terminal, provider.ReasonAuth}, // another organisation's

	2050: {provider.Terminal, provider.ReasonAuth}, // the pricing plan: expired, not included, used up, in arrears
	2051: {provider.Terminal, provider.ReasonAuth},
	2052: {provider.Terminal, provider.ReasonAuth},
	2053: {provider.Terminal, provider.ReasonAuth},
	2054: {provider.Terminal, provider.ReasonAuth},

	10000: {provider.Terminal, provider.ReasonAuth}, // the organisation is read-only

	codeNotFound: {provider.Terminal, provider.ReasonInvalidState},
	30032:        {provider.Terminal, provider.ReasonInvalidState}, // no group available for signing
	50000:        {provider.Terminal, provider.ReasonInvalidState}, // the Main Group's shares are not backed up

	1003: {provider.Terminal, provider.ReasonProviderError}, // parameters
	1006: {provider.Terminal, provider.ReasonProviderError},
	2003: {provider.Terminal, provider.ReasonProviderError},
	2006: {provider.Terminal, provider.ReasonProviderError},
	2029: {provider.Terminal, provider.ReasonProviderError},
	2021: {provider.Terminal, provider.ReasonProviderError}, // no such endpoint: base_url
}

// internalCode says that the vendor failed, whatever the status says.
func internalCode(code int) bool { return code == 1000 || code == 2000 }

// classify is the one place that decides what a failed call means.
func classify(o outcome) verdict {
	switch {
	case o.fault == faultUnsigned && o.mutates():
		// Somebody answered. Whether the vendor was asked is anyone's guess.
		return verdict{provider.InDoubt, provider.ReasonVerification}
	case o.fault == faultUnsigned:
		return verdict{provider.Verification, provider.ReasonVerification}
	case o.status == 0 || o.fault != faultNone:
		return classifySilence(o)
	case o.status == http.StatusTooManyRequests: // may come from a proxy: the status decides
		return verdict{provider.RateLimited, provider.ReasonRateLimited}
	case o.status >= 500 || internalCode(o.code):
		// It failed somewhere behind the door; what it had done by then is
		// anyone's guess. Also 503: a proxy says it for a backend that died
		// while working.
		if o.status == http.StatusGatewayTimeout {
			return unlessMutates(o, provider.ReasonTimeout)
		}
		return unlessMutates(o, provider.ReasonProviderError)
	}
	if v, ok := byCode[o.code]; ok {
		return v
	}
	switch o.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return verdict{provider.Terminal, provider.ReasonAuth}
	case http.StatusNotFound:
		return verdict{provider.Terminal, provider.ReasonInvalidState}
	case http.StatusRequestTimeout, http.StatusTooEarly: // never got as far as being looked at
		return verdict{provider.Retryable, provider.ReasonTimeout}
	case http.StatusConflict, http.StatusLocked:
		return verdict{provider.Retryable, provider.ReasonInvalidState}
	}
	// 3xx and the rest of 4xx: the same request will be refused again.
	return verdict{provider.Terminal, provider.ReasonProviderError}
}

// classifySilence judges a call that got no reply, or none that makes sense.
func classifySilence(o outcome) verdict {
	reason := provider.ReasonProviderError
	switch o.fault {
	case faultTimeout:
		reason = provider.ReasonTimeout
	case faultCanceled:
		reason = provider.ReasonInternal
	}
	if !o.sent {
		return verdict{provider.Retryable, reason}
	}
	return unlessMutates(o, reason)
}

func unlessMutates(o outcome, reason provider.Reason) verdict {
	if o.mutates() {
		return verdict{provider.InDoubt, reason}
	}
	return verdict{provider.Retryable, reason}
}

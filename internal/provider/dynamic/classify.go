package dynamic

import "github.com/rotatord/rotatord/internal/provider"

// operation names a call in metrics, in logs and in the sandbox's faults.
type operation string

const (
	opAuthenticate operation = "authenticate"
	opWallet       operation = "wallet"
	opRefresh      operation = "refresh"
	opLocations    operation = "locations"
	// opCeremony is the rest of a refresh's event stream after room_created. It
	// is no request of its own, and the pending set is on record.
	opCeremony operation = "ceremony"
)

// Operations are the values that Options.Observe is called with.
var Operations = []string{string(opAuthenticate), string(opWallet), string(opRefresh), string(opLocations)}

// fault is why there is no usable reply.
type fault string

const (
	faultNone     fault = ""
	faultTimeout  fault = "timeout"
	faultNetwork  fault = "network"
	faultCanceled fault = "canceled" // by the caller
	faultGarbled  fault = "garbled"  // a success whose content cannot be understood
	faultEvent    fault = "event"    // an error event on a stream with status 200
)

// outcome is all that a failure is judged by.
type outcome struct {
	op     operation
	sent   bool // the request may have reached the vendor
	status int  // of the reply; zero when none came
	fault  fault
	code   string // the vendor's own error code, an open set; empty when none was given
}

// mutates says whether the call may leave something behind at the vendor that
// nobody knows of.
func (o outcome) mutates() bool { return o.op == opRefresh || o.op == opLocations }

// verdict is what an outcome means; done is the opposite of an error.
type verdict struct {
	class  provider.Class
	reason provider.Reason
}

var done = verdict{}

// byCode holds the codes that say more than their status. The vendor adds codes
// between versions; one that is not here is judged by its status.
var byCode = map[string]verdict{
	"too_many_requests": {provider.RateLimited, provider.ReasonRateLimited},
	// The wallet is not as we think: the next attempt reads it again first.
	"wallet_not_active":     {provider.Retryable, provider.ReasonInvalidState},
	"share_set_id_required": {provider.Retryable, provider.ReasonInvalidState},
	// Somebody else holds the vendor's lock; nothing was begun.
	"lock_timeout":           {provider.Retryable, provider.ReasonProviderError},
	"lock_too_many_attempts": {provider.Retryable, provider.ReasonProviderError},

	"invalid_wallet_id":         {provider.Terminal, provider.ReasonInvalidState},
	"invalid_mpc_environment":   {provider.Terminal, provider.ReasonInvalidState},
	"invalid_key_shares_length": {provider.Terminal, provider.ReasonInvalidState},
}

// classify is the one place that decides what a failed call means. The rules
// come from the vendor's error documentation where there is any; refresh
// documents nothing but 200.
func classify(o outcome) verdict {
	if o.status == 0 || o.fault == faultGarbled {
		return classifySilence(o)
	}
	switch {
	case o.status == 429: // not always JSON, may come from a proxy: the status decides
		return verdict{provider.RateLimited, provider.ReasonRateLimited}
	case o.status == 401: // after the one re-authentication
		return verdict{provider.Terminal, provider.ReasonAuth}
	case o.fault == faultNone && o.status >= 200 && o.status < 300:
		return done
	}
	if v, ok := classifyCode(o); ok {
		return v
	}
	switch {
	case o.fault == faultEvent && o.op == opCeremony: // the pending set is on record
		return verdict{provider.Retryable, provider.ReasonProviderError}
	case o.fault == faultEvent || o.status >= 500:
		// It failed somewhere behind the door; what it had done by then is
		// anyone's guess. Also 503: a proxy says it for a backend that died
		// while working.
		return unlessMutates(o, serverReason(o.status))
	case o.status == 403:
		return verdict{provider.Terminal, provider.ReasonAuth}
	case o.status == 404:
		return verdict{provider.Terminal, provider.ReasonInvalidState}
	case o.status == 408 || o.status == 425: // never got as far as being looked at
		return verdict{provider.Retryable, provider.ReasonTimeout}
	case o.status == 409 || o.status == 423:
		return verdict{provider.Retryable, provider.ReasonInvalidState}
	default: // 3xx and the rest of 4xx: the same request will be refused again
		return verdict{provider.Terminal, provider.ReasonProviderError}
	}
}

// classifyCode judges by the vendor's code.
func classifyCode(o outcome) (verdict, bool) {
	switch o.code {
	case "key_share_already_backed_up":
		// Somebody, most likely an earlier try of ours, has done it. Whether
		// for this set is for the following Inspect to tell.
		if o.op == opLocations {
			return done, true
		}
		return verdict{}, false
	case "wallet_service_connection_error":
		// The vendor's front lost its own back. For refresh that is before a
		// room exists; for the swap it may be after.
		if o.op == opLocations {
			return verdict{provider.InDoubt, provider.ReasonProviderError}, true
		}
		return verdict{provider.Retryable, provider.ReasonProviderError}, true
	}
	v, ok := byCode[o.code]
	return v, ok
}

// classifySilence judges a call that got no reply, or none that makes sense.
func classifySilence(o outcome) verdict {
	reason := provider.ReasonProviderError
	switch {
	case o.fault == faultTimeout:
		reason = provider.ReasonTimeout
	case o.fault == faultCanceled:
		reason = provider.ReasonInternal
	case o.op == opCeremony && o.fault == faultNetwork:
		// The stream ended without a word: the vendor's party is gone.
		reason = provider.ReasonPartyUnavailable
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

func serverReason(status int) provider.Reason {
	if status == 504 {
		return provider.ReasonTimeout
	}
	return provider.ReasonProviderError
}

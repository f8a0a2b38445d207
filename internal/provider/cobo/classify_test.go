package cobo

import (
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
)

// TestClassify is the specification of what a failed call means.
func TestClassify(t *testing.T) {
	const (
		retryable   = provider.Retryable
		limited     = provider.RateLimited
		terminal    = provider.Terminal
		doubt       = provider.InDoubt
		verify      = provider.Verification
		timeout     = provider.ReasonTimeout
		auth        = provider.ReasonAuth
		vendor      = provider.ReasonProviderError
		state       = provider.ReasonInvalidState
		rateLimited = provider.ReasonRateLimited
		internal    = provider.ReasonInternal
		mismatch    = provider.ReasonVerification
	)
	silence := func(op operation, sent bool, f fault) outcome { return outcome{op: op, sent: sent, fault: f} }
	reply := func(op operation, status, code int) outcome {
		return outcome{op: op, sent: true, status: status, code: code}
	}
	for _, tt := range []struct {
		rule string
		o    outcome
		want verdict
	}{
		{"no connection for a read", silence(opListGroups, false, faultNetwork), verdict{retryable, vendor}},
		{"no connection for a create: nothing happened", silence(opCreateGroup, false, faultNetwork), verdict{retryable, vendor}},
		{"no connection in time for an upgrade", silence(opUpgradeGroup, false, faultTimeout), verdict{retryable, timeout}},
		{"stopped before it was sent", silence(opDeleteGroup, false, faultCanceled), verdict{retryable, internal}},
		{"a lost reply to a read", silence(opGetRequest, true, faultNetwork), verdict{retryable, vendor}},
		{"a lost reply to a create", silence(opCreateGroup, true, faultNetwork), verdict{doubt, vendor}},
		{"a TSS request timed out", silence(opCreateRequest, true, faultTimeout), verdict{doubt, timeout}},
		{"a lost reply to an upgrade", silence(opUpgradeGroup, true, faultNetwork), verdict{doubt, vendor}},
		{"a lost reply to a delete", silence(opDeleteGroup, true, faultNetwork), verdict{doubt, vendor}},
		{"a cancel stopped by the caller", silence(opCancelRequest, true, faultCanceled), verdict{doubt, internal}},
		{"an unreadable success of a read", silence(opGetVault, true, faultGarbled), verdict{retryable, vendor}},
		{"an unreadable success of an upgrade", outcome{op: opUpgradeGroup, sent: true, status: 200, fault: faultGarbled}, verdict{doubt, vendor}},

		{"a read that the vendor did not sign", outcome{op: opListGroups, sent: true, status: 200, fault: faultUnsigned}, verdict{verify, mismatch}},
		{"a refused read that the vendor did not sign", outcome{op: opListGroups, sent: true, status: 403, fault: faultUnsigned}, verdict{verify, mismatch}},
		{"a change that the vendor did not sign: who answered?", outcome{op: opUpgradeGroup, sent: true, status: 200, fault: faultUnsigned}, verdict{doubt, mismatch}},
		{"a refused change that the vendor did not sign", outcome{op: opCreateGroup, sent: true, status: 400, fault: faultUnsigned}, verdict{doubt, mismatch}},

		{"429 of a read", reply(opListGroups, 429, 0), verdict{limited, rateLimited}},
		{"429 of a change is a refusal", reply(opCreateGroup, 429, 0), verdict{limited, rateLimited}},
		{"429 outweighs any code", reply(opCreateGroup, 429, 2006), verdict{limited, rateLimited}},
		{"too many requests with another status", reply(opGetVault, 400, 2026), verdict{limited, rateLimited}},

		{"the key is not known", reply(opGetVault, 401, 2024), verdict{terminal, auth}},
		{"401 without a code", reply(opGetVault, 401, 0), verdict{terminal, auth}},
		{"no permission", reply(opDeleteGroup, 403, 2025), verdict{terminal, auth}},
		{"another organisation's", reply(opGetVault, 403, 4001), verdict{terminal, auth}},
		{"403 without a code", reply(opCreateGroup, 403, 0), verdict{terminal, auth}},
		{"the plan has expired", reply(opCreateGroup, 400, 2050), verdict{terminal, auth}},
		{"the account is in arrears", reply(opCreateGroup, 403, 2054), verdict{terminal, auth}},
		{"the organisation is read-only", reply(opUpgradeGroup, 400, 10000), verdict{terminal, auth}},

		{"not found", reply(opGetGroup, 404, 2028), verdict{terminal, state}},
		{"not found with another status", reply(opGetGroup, 400, 2028), verdict{terminal, state}},
		{"404 without a code", reply(opGetGroup, 404, 0), verdict{terminal, state}},
		{"no group for signing", reply(opCreateRequest, 400, 30032), verdict{terminal, state}},
		{"the Main Group is not backed up", reply(opCreateRequest, 400, 50000), verdict{terminal, state}},
		{"409", reply(opCreateRequest, 409, 0), verdict{retryable, state}},
		{"423", reply(opUpgradeGroup, 423, 0), verdict{retryable, state}},

		{"a missing parameter", reply(opCreateGroup, 400, 2003), verdict{terminal, vendor}},
		{"a wrong parameter", reply(opCreateGroup, 400, 2006), verdict{terminal, vendor}},
		{"no such endpoint: the base URL", reply(opGetVault, 404, 2021), verdict{terminal, vendor}},
		{"a code nobody knows", reply(opCreateGroup, 400, 77777), verdict{terminal, vendor}},
		{"405", reply(opCreateGroup, 405, 0), verdict{terminal, vendor}},
		{"414", reply(opListGroups, 414, 0), verdict{terminal, vendor}},
		{"a redirect", reply(opListGroups, 302, 0), verdict{terminal, vendor}},
		{"408 was never looked at", reply(opCreateGroup, 408, 0), verdict{retryable, timeout}},

		{"500 of a read", reply(opGetVault, 500, 1000), verdict{retryable, vendor}},
		{"500 of a change", reply(opUpgradeGroup, 500, 1000), verdict{doubt, vendor}},
		{"an internal error with a status of 400", reply(opUpgradeGroup, 400, 1000), verdict{doubt, vendor}},
		{"a temporary error with a status of 400", reply(opGetVault, 400, 2000), verdict{retryable, vendor}},
		{"500 outweighs a code that refuses", reply(opDeleteGroup, 500, 2006), verdict{doubt, vendor}},
		{"502 of a change", reply(opCreateGroup, 502, 0), verdict{doubt, vendor}},
		{"503: a proxy says it for a backend that died", reply(opCreateRequest, 503, 0), verdict{doubt, vendor}},
		{"504", reply(opCancelRequest, 504, 0), verdict{doubt, timeout}},
		{"504 of a read", reply(opListRequests, 504, 0), verdict{retryable, timeout}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got := classify(tt.o); got != tt.want {
				t.Errorf("classify(%+v) = %v, want %v", tt.o, got, tt.want)
			}
		})
	}
}

// TestClassifyNeverForgetsASentChange goes through every combination: what may
// have changed the vendor is either refused by a definite answer or in doubt.
func TestClassifyNeverForgetsASentChange(t *testing.T) {
	faults := []fault{faultTimeout, faultNetwork, faultCanceled, faultGarbled, faultUnsigned}
	changes := []operation{opCreateGroup, opUpgradeGroup, opDeleteGroup, opCreateRequest, opCancelRequest}
	reads := []operation{opListVaults, opGetVault, opListCoboHolders, opListGroups, opGetGroup, opListRequests, opGetRequest}
	if len(changes)+len(reads) != len(Operations) {
		t.Fatalf("%d operations, of which %d are tried", len(Operations), len(changes)+len(reads))
	}
	for _, op := range changes {
		for _, f := range faults {
			if v := classify(outcome{op: op, sent: true, fault: f}); v.class != provider.InDoubt {
				t.Errorf("%s after %s: %v", op, f, v)
			}
		}
		for status := 500; status < 600; status++ {
			for code := range byCode {
				if v := classify(outcome{op: op, sent: true, status: status, code: code}); v.class != provider.InDoubt {
					t.Errorf("%s after status %d, code %d: %v", op, status, code, v)
				}
			}
		}
	}
	for _, op := range reads {
		for status := range 600 {
			for _, f := range append(faults, faultNone) {
				if v := classify(outcome{op: op, sent: true, status: status, fault: f}); v.class == provider.InDoubt {
					t.Errorf("%s with status %d and fault %q is in doubt, though it changes nothing", op, status, f)
				}
			}
		}
	}
}

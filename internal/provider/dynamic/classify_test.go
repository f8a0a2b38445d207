package dynamic

import (
	"testing"

	"github.com/rotatord/rotatord/internal/provider"
)

// TestClassify is the specification of what a failed call means. One line is one
// rule; where refresh and locations differ from the calls that only read, both
// are there.
func TestClassify(t *testing.T) {
	const (
		retryable    = provider.Retryable
		limited      = provider.RateLimited
		terminal     = provider.Terminal
		inDoubt      = provider.InDoubt
		timeout      = provider.ReasonTimeout
		auth         = provider.ReasonAuth
		vendor       = provider.ReasonProviderError
		state        = provider.ReasonInvalidState
		rateLimited  = provider.ReasonRateLimited
		party        = provider.ReasonPartyUnavailable
		internal     = provider.ReasonInternal
		notSent, was = false, true
	)
	reply := func(op operation, status int, code string) outcome {
		return outcome{op: op, sent: was, status: status, code: code}
	}
	event := func(op operation, code string) outcome {
		return outcome{op: op, sent: was, status: 200, fault: faultEvent, code: code}
	}
	for _, tt := range []struct {
		rule string
		o    outcome
		want verdict
	}{
		{"success", reply(opRefresh, 200, ""), done},
		{"created is success", reply(opLocations, 201, ""), done},

		{"no connection for a read", outcome{op: opWallet, sent: notSent, fault: faultNetwork}, verdict{retryable, vendor}},
		{"no connection for a refresh: nothing happened", outcome{op: opRefresh, sent: notSent, fault: faultNetwork}, verdict{retryable, vendor}},
		{"no connection for the swap: nothing happened", outcome{op: opLocations, sent: notSent, fault: faultNetwork}, verdict{retryable, vendor}},
		{"no connection in time", outcome{op: opRefresh, sent: notSent, fault: faultTimeout}, verdict{retryable, timeout}},
		{"stopped before it was sent", outcome{op: opRefresh, sent: notSent, fault: faultCanceled}, verdict{retryable, internal}},

		{"lost reply to a read", outcome{op: opWallet, sent: was, fault: faultNetwork}, verdict{retryable, vendor}},
		{"lost reply to an authentication", outcome{op: opAuthenticate, sent: was, fault: faultTimeout}, verdict{retryable, timeout}},
		{"lost reply to a refresh: an unnamed pending set may exist", outcome{op: opRefresh, sent: was, fault: faultNetwork}, verdict{inDoubt, vendor}},
		{"refresh timed out", outcome{op: opRefresh, sent: was, fault: faultTimeout}, verdict{inDoubt, timeout}},
		{"refresh stopped by the caller", outcome{op: opRefresh, sent: was, fault: faultCanceled}, verdict{inDoubt, internal}},
		{"lost reply to the swap", outcome{op: opLocations, sent: was, fault: faultNetwork}, verdict{inDoubt, vendor}},
		{"the swap timed out", outcome{op: opLocations, sent: was, fault: faultTimeout}, verdict{inDoubt, timeout}},

		{"unreadable success of a read", outcome{op: opWallet, sent: was, fault: faultGarbled}, verdict{retryable, vendor}},
		{"unreadable success of a refresh", outcome{op: opRefresh, sent: was, fault: faultGarbled}, verdict{inDoubt, vendor}},
		{"unreadable success of the swap", outcome{op: opLocations, sent: was, fault: faultGarbled}, verdict{inDoubt, vendor}},

		{"429 on a read", reply(opWallet, 429, ""), verdict{limited, rateLimited}},
		{"429 on a refresh is a refusal", reply(opRefresh, 429, ""), verdict{limited, rateLimited}},
		{"429 on the swap is a refusal", reply(opLocations, 429, ""), verdict{limited, rateLimited}},
		{"429 outweighs any code", reply(opRefresh, 429, "invalid_wallet_id"), verdict{limited, rateLimited}},
		{"too_many_requests with another status", reply(opRefresh, 422, "too_many_requests"), verdict{limited, rateLimited}},

		{"401 after re-authentication", reply(opRefresh, 401, ""), verdict{terminal, auth}},
		{"403", reply(opRefresh, 403, ""), verdict{terminal, auth}},
		{"400", reply(opRefresh, 400, ""), verdict{terminal, vendor}},
		{"404", reply(opRefresh, 404, ""), verdict{terminal, state}},
		{"404 on the swap", reply(opLocations, 404, ""), verdict{terminal, state}},
		{"422 with a code nobody knows", reply(opRefresh, 422, "some_new_code"), verdict{terminal, vendor}},
		{"422 without a code", reply(opLocations, 422, ""), verdict{terminal, vendor}},
		{"a redirect is a wrong base URL", reply(opRefresh, 302, ""), verdict{terminal, vendor}},
		{"408 was never looked at", reply(opRefresh, 408, ""), verdict{retryable, timeout}},
		{"409", reply(opRefresh, 409, ""), verdict{retryable, state}},
		{"423", reply(opRefresh, 423, ""), verdict{retryable, state}},

		{"invalid_wallet_id", reply(opRefresh, 422, "invalid_wallet_id"), verdict{terminal, state}},
		{"invalid_mpc_environment", reply(opRefresh, 422, "invalid_mpc_environment"), verdict{terminal, state}},
		{"invalid_key_shares_length", reply(opLocations, 422, "invalid_key_shares_length"), verdict{terminal, state}},
		{"wallet_not_active: read the wallet again", reply(opRefresh, 422, "wallet_not_active"), verdict{retryable, state}},
		{"wallet_not_active outweighs 403", reply(opRefresh, 403, "wallet_not_active"), verdict{retryable, state}},
		{"share_set_id_required: read the wallet again", reply(opRefresh, 422, "share_set_id_required"), verdict{retryable, state}},
		{"lock_timeout", reply(opRefresh, 422, "lock_timeout"), verdict{retryable, vendor}},
		{"lock_timeout on the swap: it never began", reply(opLocations, 500, "lock_timeout"), verdict{retryable, vendor}},
		{"lock_too_many_attempts", reply(opRefresh, 422, "lock_too_many_attempts"), verdict{retryable, vendor}},
		{"no connection behind the front, before a room", reply(opRefresh, 500, "wallet_service_connection_error"), verdict{retryable, vendor}},
		{"no connection behind the front, perhaps after the swap", reply(opLocations, 422, "wallet_service_connection_error"), verdict{inDoubt, vendor}},
		{"already backed up: Inspect tells", reply(opLocations, 422, "key_share_already_backed_up"), done},
		{"already backed up makes no sense for a refresh", reply(opRefresh, 422, "key_share_already_backed_up"), verdict{terminal, vendor}},

		{"500 on a read", reply(opWallet, 500, ""), verdict{retryable, vendor}},
		{"500 on a refresh", reply(opRefresh, 500, ""), verdict{inDoubt, vendor}},
		{"502 on a refresh", reply(opRefresh, 502, ""), verdict{inDoubt, vendor}},
		{"503 on a refresh: a proxy says it for a backend that died", reply(opRefresh, 503, ""), verdict{inDoubt, vendor}},
		{"504 on a refresh", reply(opRefresh, 504, ""), verdict{inDoubt, timeout}},
		{"500 on the swap", reply(opLocations, 500, ""), verdict{inDoubt, vendor}},
		{"500 with a code nobody knows", reply(opLocations, 500, "some_new_code"), verdict{inDoubt, vendor}},

		{"an error event instead of a room", event(opRefresh, ""), verdict{inDoubt, vendor}},
		{"an error event instead of a room that says why", event(opRefresh, "wallet_not_active"), verdict{retryable, state}},
		{"an error event in the ceremony: the set is on record", event(opCeremony, ""), verdict{retryable, vendor}},
		{"an error event in the ceremony that says why", event(opCeremony, "invalid_mpc_environment"), verdict{terminal, state}},
		{"the stream ended in the ceremony", outcome{op: opCeremony, sent: was, fault: faultNetwork}, verdict{retryable, party}},
		{"the ceremony took too long", outcome{op: opCeremony, sent: was, fault: faultTimeout}, verdict{retryable, timeout}},
		{"the session was closed", outcome{op: opCeremony, sent: was, fault: faultCanceled}, verdict{retryable, internal}},
		{"an unreadable word in the ceremony", outcome{op: opCeremony, sent: was, fault: faultGarbled}, verdict{retryable, vendor}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got := classify(tt.o); got != tt.want {
				t.Errorf("classify(%+v) = %v, want %v", tt.o, got, tt.want)
			}
		})
	}
}

// TestClassifyNeverForgetsASentMutation goes through every combination: what may
// have changed the vendor is either done, refused by a definite status or code,
// or in doubt.
func TestClassifyNeverForgetsASentMutation(t *testing.T) {
	for _, op := range []operation{opRefresh, opLocations} {
		for _, f := range []fault{faultTimeout, faultNetwork, faultCanceled, faultGarbled} {
			if v := classify(outcome{op: op, sent: true, fault: f}); v.class != provider.InDoubt {
				t.Errorf("%s after %s without a reply: %v", op, f, v)
			}
		}
		for status := 500; status < 600; status++ {
			if v := classify(outcome{op: op, sent: true, status: status}); v.class != provider.InDoubt {
				t.Errorf("%s after status %d: %v", op, status, v)
			}
		}
	}
	for _, op := range []operation{opWallet, opAuthenticate, opCeremony} {
		for status := 0; status < 600; status++ {
			for _, f := range []fault{faultNone, faultTimeout, faultNetwork, faultCanceled, faultGarbled, faultEvent} {
				if v := classify(outcome{op: op, sent: true, status: status, fault: f}); v.class == provider.InDoubt {
					t.Errorf("%s with status %d and fault %q is in doubt, though it changes nothing unnamed", op, status, f)
				}
			}
		}
	}
}

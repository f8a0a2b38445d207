// Package faults breaks the sandbox on purpose: which calls, in which way, how
// often. It knows no vendor; each simulator registers its operations with the
// kinds of fault that make sense for them.
//
// What a kind does, wherever it is allowed:
//
//	status         the call is answered with status (default 500) and does nothing;
//	               429 with Retry-After and a body that is not JSON
//	latency        the call waits for delay first; combines with the other kinds
//	lost_request   the connection breaks before anything is done
//	lost_reply     the call does its work, the connection breaks before the reply
//	late_effect    the connection breaks at once, the call does its work delay later
//	late_reply     the call does its work, the reply comes delay later
//	drop_stream    the reply breaks off in the middle
//	wrong_public_key, lose_state, reject, approval_delay, holder_offline
//	               done by the operation itself; its simulator says how
package faults

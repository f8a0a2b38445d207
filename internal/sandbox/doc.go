// Package sandbox is a simulator of the vendors, and says so, with a reference
// co-signer. The shares inside are real (package mpc), so it can answer the
// only question that counts: can this wallet still sign, and does the old share
// no longer?
//
//	/api/v0/…                   Dynamic, as its official packages speak to it (package dynamic)
//	/cosigner/v1/…              the reference co-signer (internal/cosigner/reference)
//	/_sandbox/relay/…           the MPC rooms (package relay)
//	GET    /_sandbox/info       where everything is, and the credentials for it
//	GET    /_sandbox/state      the truth about every wallet; ?wallet={id} for one
//	GET    /_sandbox/stats      what was called how often, and what had an effect
//	GET    /_sandbox/faults     the faults in force and how often each struck
//	PUT    /_sandbox/faults     replaces them all
//	DELETE /_sandbox/faults     clears them
//	DELETE /_sandbox/jwts       revokes every JWT
//	PATCH  /_sandbox/wallets/{id}   scheme and backup locations that the vendor shows
//
// Nothing under /_sandbox asks for credentials. Keep it on loopback.
package sandbox

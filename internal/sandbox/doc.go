// Package sandbox is a simulator of the vendors, and says so, with a reference
// co-signer. The shares inside are real (package mpc), so it can answer the
// only question that counts: can this wallet still sign, and does the old share
// no longer?
//
//	/api/v0/…                   Dynamic, as its official packages speak to it (package dynamic)
//	/v2/…                       Cobo, as its official SDKs speak to it (package cobo)
//	/cosigner/v1/…              the reference co-signer (internal/cosigner/reference)
//	/_sandbox/relay/…           the MPC rooms (package relay)
//	GET    /_sandbox/info       where everything is, and the credentials for it
//	GET    /_sandbox/state      the truth about every wallet and vault; ?wallet={id} for one
//	GET    /_sandbox/stats      what was called how often, and what had an effect
//	GET    /_sandbox/faults     the faults in force and how often each struck
//	PUT    /_sandbox/faults     replaces them all
//	DELETE /_sandbox/faults     clears them
//	DELETE /_sandbox/jwts       revokes every JWT
//	PATCH  /_sandbox/wallets/{id}   scheme and backup locations that the vendor shows
//	PUT    /_sandbox/webhooks       where Cobo's events are sent: {"url": …}; empty: nowhere
//	PATCH  /_sandbox/cobo/nodes/{node}             takes a TSS node offline: {"online": false}
//	POST   /_sandbox/cobo/vaults/{vault}/groups    a group that a person made
//	PATCH  /_sandbox/cobo/groups/{group}           what a person does to a group
//	POST   /_sandbox/cobo/vaults/{vault}/tss_requests
//	PATCH  /_sandbox/cobo/tss_requests/{request}   what people decide about a TSS request
//
// Nothing under /_sandbox asks for credentials. Keep it on loopback.
package sandbox

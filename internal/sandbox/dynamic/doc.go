// Package dynamic simulates Dynamic's wallet service as far as a refresh needs
// it: authentication, the wallet reads, refresh over an event stream or JSON,
// the key share service, and backup locations, which swaps share sets. It
// holds the vendor's half of each key and takes part in real ceremonies.
//
// Paths, bodies and events are those that the official packages
// @dynamic-labs-wallet/core 1.0.99 and @dynamic-labs/sdk-api-core 0.40.0 speak;
// internal/sandbox/sdkwire runs them against it. Where the vendor documents
// nothing, package assume decides.
//
//	POST refresh ─▶ pending, room open ─▶ complete ─▶ active ─▶ retired
//	                      │   ceremony      │   locations with its id
//	                      └─────────────────┴──▶ discarded (ceremony failed, expired, invalidated)
//
// A retired share is destroyed as far as the vendor goes. It is still kept
// here, for one purpose: to prove that it no longer signs.
package dynamic

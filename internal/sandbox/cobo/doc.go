// Package cobo simulates Cobo's WaaS 2.0 as far as a rotation of key shares
// needs it: Org-Controlled vaults, key share holder groups, TSS requests, and
// webhooks about them. It plays Cobo's TSS node and the customer's, with real
// t-of-n shares on both curves.
//
// Paths, bodies and signatures are those of Cobo's OpenAPI v1.42.0 and of the
// official SDKs; internal/sandbox/sdkwire runs @cobo/cobo-waas2 against it.
// Where the vendor documents nothing, package assume decides.
//
//	create group ─▶ New ─▶ Valid SigningGroup ─▶ MainGroup ─▶ invalidated, or
//	                 │  TSS request   │  upgrade                SigningGroup ─▶ deleted
//	                 └────────────────┴─▶ deleted
//
//	TSS request: PendingKeyHolderConfirmation ─▶ MPCProcessing ─▶ KeyGenerating ─▶ Success
//	                 │ all holders online, approved                    │
//	                 └─▶ KeyHolderConfirmationFailed                   └─▶ KeyGeneratingFailed
//	             cancelled at any of them ─▶ Success
//
// When a group is deleted or invalidated, Cobo drops its share of it. It is
// still kept here, as are the node's, for one purpose: to prove that they no
// longer sign.
package cobo

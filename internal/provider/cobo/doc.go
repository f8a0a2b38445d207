// Package cobo speaks to Cobo (WaaS 2.0) for a rotation: it reshares a vault's
// Main Group into a new Signing Group on other TSS nodes and makes that the
// Main Group. It never sees a key share. A wallet is an Org-Controlled vault, a
// share set is a key share holder group.
//
//	Inspect  GET  vault, GET groups              the one Valid Main Group, its root keys
//	Open     POST groups                         a Signing Group, New, on free TSS nodes
//	         POST tss_requests                   KeyGenFromKeyGroup: reshare the Main Group into it
//	Await    GET  tss_requests/{id}              has it ended?
//	         GET  groups                         … and is the group what was asked for?
//	Promote  PUT  groups/{new}                   UpgradeToMainGroup
//	Inspect  again                               the only proof of the swap
//	Retire   POST groups/{old}/delete            after the grace period; then, if so
//	                                             configured, the other groups (refresh.go)
//
// # What proves what
//
// A TSS request that is Success proves nothing: a cancelled one is Success as
// well. Ready is a group that is Valid, has one share group per curve of the
// vault with the root key of before and new shares, threshold, participants and
// nodes as asked for, and whose holders are online (verify_group.go). Promote
// looks at all of that again.
//
// Every reply must be signed by the key that is pinned for the environment, but
// for 414, 429, 502 and 503, which proxies send, and other 5xx, of which
// nothing but the status is used. A reply without says nothing; to a call that
// changes something it is InDoubt, to any other a Verification error.
//
// # How an attempt is found again
//
// There are no idempotency keys. The attempt's id is in the name of each holder
// of its group and in the description of its TSS request (mark.go). When the
// outcome of a create is unknown, what carries the mark is looked for before
// anything else is done; Resume does the same after a crash. A group that
// appears even later, when its attempt was given up and looked for, has no key
// and is deleted by the next Open of the vault. Nothing without the mark is
// ever cancelled or deleted, with two exceptions: the Main Group that an upgrade
// of ours converted, once its grace period is over; and, if so configured, a
// group in whose place one of ours is complete. The holders of that one name the
// attempt and the group that it replaces, so that it is no attempt's.
//
// # What is in doubt
//
// Each call that changes something and may have reached the vendor without a
// definite, signed answer: classify.go has the whole table. A delete is looked
// after at once and may be repeated; an upgrade is left to Inspect.
//
// # People
//
// Holders with phones, governance policies and callback servers may have to
// approve a reshare, and perhaps upgrades and deletes. Await therefore asks once
// and answers "not yet"; after ApprovalAttention it says whom for. An upgrade or
// delete that was accepted and not carried out is asked for again rarely.
package cobo

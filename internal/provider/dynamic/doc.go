// Package dynamic speaks to Dynamic (dynamic.xyz) for a rotation: it opens a
// refresh room, waits until the vendor calls its side complete, and activates
// the new share set. It never sees a key share.
//
//	Inspect  GET  …/waas/byWalletAddress/{address}   which share set is active
//	Open     POST …/waas/{wallet}/refresh            a room and a pending share set
//	Await    the event stream of that same reply     ceremony_complete
//	Promote  POST …/keyShares/backup/locations       the pending set becomes active
//	Inspect  again                                   the only proof of the swap
//
// # What proves what
//
// A refresh reply proves that a room and a pending share set exist, nothing
// more. ceremony_complete on the stream of that reply proves that the vendor's
// side finished for the set it names; Await compares the name with the one on
// record. The locations reply is checked against the request and still proves
// nothing: the swap is proven by a fresh byWalletAddress that names the set.
//
// # Refresh answered in plain JSON
//
// Refresh is always asked for with Accept: text/event-stream. A backend that
// answers in plain JSON all the same has no word for "complete". Await then
// reports ready at once, and completeness rests on the co-signer alone: it is
// prepared only after the last round of a protocol that cannot finish without
// the vendor's party, and a rotation never promotes before the co-signer is
// prepared. That proof is weaker by one case: a vendor that fails after its
// last message has been sent. It is logged as a warning for each attempt, and
// [Options].RequireCeremonyComplete refuses it.
//
// # What is in doubt
//
// Refresh has no idempotency key and pending share sets cannot be listed. From
// the moment a refresh request may have reached the vendor until room_created
// was read, a pending set may exist that nobody can name: that is InDoubt.
// Once a checkpoint has recorded the pending set nothing is in doubt any more;
// a ceremony that dies then is Retryable, in a new room. For locations every
// outcome that is not a definite answer is InDoubt, and Inspect tells.
// classify.go holds the whole table.
//
// # What Dynamic cannot do
//
// A room dies with the process that opened it: Resume always answers
// [provider.ErrSessionLost]. There is no call that deletes a pending share set
// and none that retires an old one: Discard does nothing, RetireAfter is never
// due.
package dynamic

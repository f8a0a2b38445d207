// Package rotation takes one wallet from its active share set to the next, as
// a durable two-phase commit between the vendor, the co-signer and our own
// record. It knows vendors only through [provider.Provider].
//
//	waiting ──▶ opening ──▶ ceremony ──▶ prepared ──▶ promoted ──▶ closed: succeeded
//	  ▲ │ ▲        │            │          ┆   ┆          └─ commit at the co-signer first thing
//	  │ │ └────────┴────────────┘          ┆   └─ in doubt: ask, then roll forward
//	  │ │    a new attempt with its        ┆
//	  │ │    own pending set; the old one  ┆
//	  │ │    is abandoned on record first  ┆
//	  │ │ ◀┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┘ only by a person's discard
//	  │ ├──▶ closed: aborted (by a person)
//	  └─┴──▶ failed
//
// Each state is recorded before the step that it allows is begun:
//
//	waiting   claimed or backing off. Nothing is asked of anyone.
//	opening   the intent and the attempt id are durable. A pending set may
//	          exist at the vendor.
//	ceremony  the vendor's reference of the pending set is durable.
//	prepared  verified, and recorded: the vendor said complete for this very
//	          set, and the new share is durable at the co-signer under the
//	          same public key. The commit point.
//	promoted  the vendor itself says that the new set is active. Wallet, history
//	          and retirement were written in one transaction.
//
// What happens after a crash follows from that: up to ceremony the attempt is
// given up, unless the vendor can go on with it, and from prepared on it rolls
// forward. Giving up begins with a look: a vendor that has left the old share
// set although nothing was promoted on record means that our database was set
// back, and then the attempt is brought up to the commit point (found.go).
//
// A request to reconcile opens a rotation as well, one that looks and is closed
// from waiting (reconcile.go); the database lets it open nothing. What vendor,
// co-signer and record mean together is judged in one place (judge.go), for the
// look before an attempt and for the comparison that only reports (compare.go).
//
// Ten rules hold, and each has a test named after it (rules*_test.go):
//
//  1. Baseline first: before a wallet's first opening, address and public key
//     as the co-signer derives them from its current share must match what
//     the vendor says and what the operator gave.
//  2. Look before each attempt: if the vendor's active set is not the one on
//     record, it is reconciled when the co-signer holds it (where there is
//     none: when it has the public key on record), else it is drift and
//     nothing happens to the wallet.
//  3. Intent before action: opening, ceremony and prepared are durable before
//     the act that follows; so is an abandonment before anybody is told.
//  4. Immediately before every promote, first or repeated, the co-signer must
//     say prepared for this set with the recorded fingerprint.
//  5. From prepared nothing starts over by itself.
//  6. After the swap, hurry: commits go before new work, are retried within
//     seconds, and a co-signer that does not commit stops further promotions
//     through it.
//  7. The old set is cleaned up only after the new one is confirmed and its
//     grace period is over.
//  8. Nothing counts on a status code: the vendor's own answer about its
//     active set does. An unknown outcome is asked about, never blindly
//     repeated.
//  9. Every write carries this replica's epoch, and every call that changes
//     something ends before anybody else may take over.
//  10. Long waits are parked with a next check and no owner.
package rotation

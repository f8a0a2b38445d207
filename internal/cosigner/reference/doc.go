// Package reference is a co-signer that keeps its shares on disk: the sandbox
// runs it, and it is what to read before writing your own (docs/cosigner.md).
// Its shares are the sandbox's; everything else is meant to be right.
//
// # A ceremony
//
//	            joined, share stored          commit
//	running ─────────────────────────▶ prepared ─────▶ committed
//	   │  └── room failed, timed out,      │
//	   │      or the process ended ─▶ failed
//	   └────────── abort ────────────▶ aborted ◀── abort, or a different
//	                                               share set was committed
//
// Abort only marks. A ceremony that is aborted while it runs stays in its room
// until that ends, and a share that comes out of it is kept as aborted: the
// vendor's side may have finished with it.
//
// # On disk
//
//	<dir>/lock                              held by the one process that may be here
//	<dir>/wallets/<hash of the names>/      one folder per wallet
//	    wallet.json                         the journal: current share set, ceremonies, what to drop when
//	    <hash of share set>.<ceremony>.share    one share each, never rewritten
//
// Every file is written beside its place, synced, renamed into it, and the
// folder is synced. So each step below happens entirely or not at all, and a
// process that is killed at any instruction leaves one of these:
//
//	a ceremony starts       journal: running             → failed after a restart; the old share is untouched
//	its share is stored     the share file exists        → prepared after a restart, whatever the journal says
//	it is aborted           journal: aborted             → aborted; the share file stays
//	it is committed         journal: current = new set,  → committed; the old share's file stays
//	                        old one retired with a time
//	a share is dropped      journal: dropping, then the  → the file is removed at the next start
//	                        file is removed
//
// A share file is the only proof that a ceremony is prepared, and the answers
// of the protocol are derived from it each time. Nothing is ever removed
// without a journal entry that says so, and nothing while the current share
// cannot be read.
package reference

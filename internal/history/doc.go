// Package history verifies the share set history against itself, against the
// heads on record, and against a copy that was written earlier and kept
// elsewhere; and it writes such copies.
//
// Three things are compared, because each finds what the one before cannot:
//
//   - A row with its hash, and its hash with the next row: whoever changes,
//     removes, adds or moves rows must compute every later hash of the wallet
//     anew.
//   - The last row with the head in the wallet's own row: an end cut off.
//   - All of it with an outside copy: a chain that was computed anew or cut
//     together with its head, by somebody who owns the database.
//
// A walk goes over all wallets in the order of their ids, page by page, each
// page in a short snapshot of its own: memory does not grow with the fleet, no
// transaction stays open, and a walk can go on where another one ended. What
// is appended meanwhile is part of the walk if its wallet still comes.
//
// docs/history.md has the encodings byte by byte.
package history

// Package mpc is the share arithmetic inside the sandbox: real curves, real
// shares, real signatures that a standard verifier accepts.
//
// A [Share] is one of two. A wallet's key x is never in one place: the customer
// holds c, the vendor holds v, c+v = x, and X = x·G is the public key. A refresh
// is a proactive zero-sum one: each party draws a [Delta], both are exchanged,
// and each adds its own and subtracts the other's. The sum stays, so X and the
// address stay; both shares change, and a share from before no longer combines
// with one from after. It carries the other party's public point beside its own
// scalar, and both follow every refresh. So a share proves its public key: c·G
// plus the other point must be X, and that is checked whenever one is made or
// loaded.
//
// A [ThresholdShare] is one of n, of which t make the key: the value of a
// polynomial of degree t-1 (Shamir), with the commitments to its coefficients
// (Feldman), by which it proves the key. [Reshare] takes a key from t old
// parties to a new group, of another size if need be: each deals its weighted
// share by a polynomial of its own, and the new shares are the sums. The
// constant term stays, everything else is new.
//
// It is a simulator's arithmetic. It is not constant-time, and the parties
// trust each other's randomness. Nothing here is meant to hold funds.
package mpc

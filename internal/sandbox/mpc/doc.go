// Package mpc is the share arithmetic inside the sandbox: real curves, real
// two-party additive shares, real signatures that a standard verifier accepts.
//
// A wallet's key x is never in one place. The customer holds c, the vendor
// holds v, c+v = x, and X = x·G is the public key. A refresh is a proactive
// zero-sum one: each party draws a [Delta], both are exchanged, and each adds
// its own and subtracts the other's. The sum stays, so X and the address stay;
// both shares change, and a share from before no longer combines with one from
// after.
//
// A share carries the other party's public point beside its own scalar, and
// both follow every refresh. So a share proves its public key: c·G plus the
// other point must be X, and that is checked whenever one is made or loaded.
//
// It is a simulator's arithmetic. It is not constant-time, and the parties
// trust each other's randomness. Nothing here is meant to hold funds.
package mpc

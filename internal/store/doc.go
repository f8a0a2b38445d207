// Package store holds all SQL of the daemon, and nothing but SQL: what is read
// and written, never why. It decides nothing that the database cannot be the
// referee of.
//
// Statements on the path of a rotation are batched: each takes many rows,
// answers for each one alone, and guards each by owner, attempt and state, so
// that a replica that was given up for dead changes nothing, and repeating a
// statement whose answer was lost does no harm. Two rules keep them fast and
// free of deadlocks:
//
//   - Locks are taken on wallet_state before rotations, and in the order of
//     wallet ids.
//   - A common table expression is never joined to another one: the planner
//     takes each for a single row and turns the join into a product. What a
//     later part needs comes out of the RETURNING of an earlier one.
//
// Times that enter the history are arguments in whole microseconds, because
// they are part of the hash chain.
package store

// Package store holds all SQL of the daemon, and nothing but SQL: what is read
// and written, never why. It decides nothing that the database cannot be the
// referee of.
//
// Statements on the path of a rotation are batched: each takes many rows,
// answers for each one alone, and guards each by owner, attempt and state, so
// that a replica that was given up for dead changes nothing, and repeating a
// statement whose answer was lost does no harm. Three rules keep them fast
// and free of deadlocks:
//
//   - Locks are taken on wallet_state before rotations, and in the order of
//     wallet ids.
//   - A common table expression is never joined to another one: the planner
//     takes each for a single row and turns the join into a product. What a
//     later part needs comes out of the RETURNING of an earlier one.
//   - A row that is looked up by its key for each row of a batch is compared
//     with = ANY (ARRAY[key]). That leaves the planner no other way than the
//     index, row by row, in the order of the batch; with = it also considers
//     hashing or walking the whole table, and picks that while the table looks
//     small. A condition that must not be taken for an index has a + 0.
//
// Times that enter the history are arguments in whole microseconds, because
// they are part of the hash chain.
package store

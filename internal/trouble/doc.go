// Package trouble holds tests of a whole daemon whose surroundings fail for a
// while: a vendor or a co-signer that takes connections and never answers, a
// database that is down, one that has no room left. They ask four things each
// time: does the daemon stay small, does it stay calm, does it say what is
// wrong, and does it go on by itself.
//
// Nothing here is a fixed number. What a daemon may use is computed from its
// configuration: so many rotations in hand, each with so many goroutines and
// so many calls in a time; see budget.
//
// They measure the whole process, so they run one after the other, for minutes:
//
//	go test -tags trouble ./internal/trouble
//	go test -tags trouble ./internal/trouble -run TestDatabaseDown -outage 1m
package trouble

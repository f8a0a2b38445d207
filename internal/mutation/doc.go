// Package mutation breaks the code on purpose, one safety rule at a time, and
// sees that a test notices. It holds tests alone.
//
// Every run of the tests checks that each mutation still fits the code and
// stands in docs/reliability.md. To carry them out, in minutes:
//
//	go test -tags mutation ./internal/mutation
package mutation

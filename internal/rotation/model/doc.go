// Package model checks the protocol of a rotation, as opposed to its code: a
// small abstract wallet with a vendor, a co-signer, the record in the database
// and two replicas, of which every state within the bounds is visited. It holds
// tests alone. docs/model.md says what is modelled and what is not, and what
// the search finds when a rule is switched off.
//
//	state_test.go       what there is
//	replica_test.go     what a replica does: the steps of package rotation
//	attempt_test.go     the same, from the first look to prepared
//	finish_test.go      the same, from prepared on
//	cleanup_test.go     the same, about what is left behind
//	record_test.go      what the database takes and refuses
//	parties_test.go     what vendor and co-signer do when they are called
//	world_test.go       what happens by itself, what goes wrong, what people do
//	rules_test.go       the rules that can be switched off
//	invariants_test.go  what must hold
//	search_test.go      the search, and the trace that it prints
//
//	go test -v -run TestHolds ./internal/rotation/model      bounds and numbers of states
//	go test -v -run TestEachRule ./internal/rotation/model   a counterexample for each rule
package model

// Package torture breaks everything around real daemons at once, for as long
// as one likes, and then asks the sandbox what is left of every wallet.
//
// It runs a PostgreSQL with a streaming standby, the sandbox with both vendors
// and a co-signer, and a few replicas of the daemon as child processes. From a
// seed it draws what happens to them:
//
//	replicas     killed, ended in order, stopped (SIGSTOP) until they were given
//	             up and then woken, cut off from the database, kept waiting by it
//	PostgreSQL   restarted as in a crash, replaced by its standby
//	vendors      restarted: listeners down, connections and rooms cut
//	co-signer    restarted with what is on its disk
//	calls        every fault of the sandbox at random rates, see faults.go
//
// Meanwhile somebody answers what waits for a person, as an operator would. In
// the end everything is mended and drained, every wallet is rotated once more
// without trouble, and each is judged by the sandbox's truth (judge.go), never
// by what a daemon says of itself. The plan of a seed is always the same; how
// it falls in with the daemons is not.
//
// Commits wait for the standby, so a failover loses nothing. With
// [Options.Lossy] they do not, and before each failover the standby has stopped
// listening for a while: then the record is set back, and every wallet must end
// up reconciled, or with a person who is told of drift.
package torture

// Package crash proves, with real processes and a real database, that a wallet
// survives whatever ends or stops a replica, and whatever happens to the calls
// that it makes. It holds tests alone, under the build tag
// crash: they take minutes, nearly all of it waiting for heartbeats to run out.
//
// The daemon is built once with failpoints (package failpoint) and run as a
// child process, each time against a database and a sandbox of its own. What a
// test believes is the sandbox's truth, never what the daemon says of itself.
//
//	go test -tags crash ./internal/crash                a part of the matrix, and all other tests
//	go test -tags crash ./internal/crash -args -every   the whole matrix
package crash

// Package pgdev runs a throwaway, real PostgreSQL for the demo and for tests,
// on Linux and macOS. It needs no configuration, works for root and for
// anybody else, and cleans up after itself however its process ends.
//
// # Which PostgreSQL
//
// The first of these that is there:
//
//  1. Options.URL: somebody's running server. Only databases made here are
//     touched, and Stop drops them.
//  2. The newest PostgreSQL installed on the machine, wherever the
//     distribution put it.
//  3. One downloaded into the user's cache folder, where it stays for the next
//     time.
//
// # How it ends
//
// A process that is killed cannot clean up, and PostgreSQL started by a test
// would outlive it. (Linux can send a signal when a parent dies, but ties it to
// the thread that made the child, which the Go runtime may end at any time.)
// So everything that is started here is guarded:
//
//	this process ──pipe──▶ guard (/bin/sh)     waits for the end of the pipe
//	      │                  ▲
//	      └─▶ /bin/sh ───────┘ writes its own pid, then becomes PostgreSQL
//
// The guard starts first, before the folder exists. The child names itself to
// the guard before it becomes PostgreSQL, and holds the pipe open until then,
// so there is no moment in which a child runs that the guard does not know.
// The pipe ends when this process does, by return, panic, os.Exit or SIGKILL;
// the guard then ends PostgreSQL and removes the folder. Both run in sessions of
// their own, out of reach of a Ctrl-C meant for the program that started them.
//
// With Options.URL nothing is guarded: databases of a killed process stay
// behind on that server. Their names start with "rotatord_dev_".
//
// A standby ([Server.Standby]) is a server of its own in this: each has a
// folder, a guard and an end of its own.
//
// # Who may connect
//
// The socket is in the server's own folder, which only its user (and root) can
// enter; everybody is trusted there. On 127.0.0.1 the superuser needs the
// random password that is part of the DSN, since a superuser can run programs
// as the user that PostgreSQL runs as; other roles are trusted, so that tests
// can log in as them.
package pgdev

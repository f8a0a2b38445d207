// Package failpoint lets a test end or stop this process at a chosen point: just
// before or just after a write to the database or a call to a vendor or
// co-signer. In a normal build it does nothing, and nothing of it is in the
// binary; it works in binaries that are built with -tags failpoint.
//
// No point is written down where it is passed. Every statement that changes the
// database goes through [Tracer] and every request through [Transport], and the
// points are named after what they see, so a new step of a rotation has its
// points from its first day:
//
//	before record Opening
//	after call promote POST /api/v0/sdk/*/waas/*/keyShares/backup/locations
//
// A write is named after the method of the store, a call after the functions of
// a rotation that led to it. What a process does at which point is said by its
// environment, see [At] and the constants beside it. internal/crash is built on
// this.
package failpoint

// The environment of a process that was built with failpoints. They stand here
// so that a test, which is not built with them, can name them.
const (
	// At is the name of the point where something is to happen. Without it
	// nothing does.
	At = "ROTATORD_FAILPOINT_AT"
	// Do is what happens there: Kill or Stop.
	Do = "ROTATORD_FAILPOINT_DO"
	// Hit is at which passing of the point it happens, counted from 1, which is
	// the default. It happens once.
	Hit = "ROTATORD_FAILPOINT_HIT"
	// Log is a file to which the name of every point is appended as it is
	// passed, in a line of its own.
	Log = "ROTATORD_FAILPOINT_LOG"
)

// The values of [Do].
const (
	// Kill ends the process by SIGKILL: nothing is cleaned up, said or flushed.
	Kill = "kill"
	// Stop stops it by SIGSTOP. It goes on from the point after SIGCONT.
	Stop = "stop"
)

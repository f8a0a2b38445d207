// Package sdkwire proves that the sandbox speaks the vendors' wire formats: it
// runs Dynamic's and Cobo's official npm packages, unchanged, against it. The
// test needs npm and node 20, and asks a package registry; it has the build tag
// sdk:
//
//	go test -tags sdk ./internal/sandbox/sdkwire
//
// The versions are pinned in package.json. There is no lockfile: it would name
// the registry of whoever wrote it. Nothing of the packages is kept or shipped;
// Cobo's is under GPL 2.0.
package sdkwire

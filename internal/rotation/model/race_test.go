//go:build race

package model

// Under the race detector, which has nothing to find here, every world costs ten
// times as much.
const defaultFaults = 1

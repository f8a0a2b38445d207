// Package tally counts what the simulated vendors are asked and what comes of
// it. Tests prove limits and "never twice" by these numbers, instead of by what
// the daemon says of itself.
package tally

// Package line is a TCP line between two parties, for tests and for the torture
// run: it can be cut, held up, or lead nowhere, and counts what passes.
package line

//go:build !race

package model

const defaultFaults = 2

//go:build crash && race

package crash

func init() { race = true }

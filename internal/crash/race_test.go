//go:build race

package crash

func init() { race = true }

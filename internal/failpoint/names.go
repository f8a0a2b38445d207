//go:build failpoint

package failpoint

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const (
	storePackage    = "github.com/rotatord/rotatord/internal/store."
	rotationPackage = "github.com/rotatord/rotatord/internal/rotation."
	deepest         = 64 // frames; a call is some thirty deep
)

// framesOf are the functions of a package that are being executed on this
// goroutine, outermost first, without receivers and without the number of a
// closure.
func framesOf(prefix string) []string {
	pcs := make([]uintptr, deepest)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var names []string
	for {
		frame, more := frames.Next()
		if name, ok := strings.CutPrefix(frame.Function, prefix); ok {
			if _, method, ok := strings.Cut(name, ")."); ok {
				name = method
			}
			name, _, _ = strings.Cut(name, ".") // closures are name.func1
			if len(names) == 0 || names[len(names)-1] != name {
				names = append(names, name)
			}
		}
		if !more {
			break
		}
	}
	slices.Reverse(names)
	return names
}

// between are functions that every step of a rotation passes through, so that
// they tell nothing.
var between = []string{"Submit", "run", "advance"}

// who is the path of functions of a rotation that led to a call; empty when the
// call is nobody's in particular, such as the renewal of a token.
func who() string {
	path := slices.DeleteFunc(framesOf(rotationPackage), func(name string) bool { return slices.Contains(between, name) })
	return strings.Join(path, "/")
}

// method is the store's method that is being executed.
func method() string {
	if path := framesOf(storePackage); len(path) > 0 {
		return path[0]
	}
	return ""
}

// idLength is from where on a part of a path with a digit in it is taken for an
// id or an address.
const idLength = 20

// route is a path without the ids in it.
func route(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if len(part) >= idLength && strings.ContainsAny(part, "0123456789") {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

var (
	rowLocks = regexp.MustCompile(`(?i)\bfor\s+(no\s+key\s+)?update\b`)
	changing = regexp.MustCompile(`(?i)\binsert\s+into\b|\bdelete\s+from\b|\bupdate\s+\w`)
	commit   = regexp.MustCompile(`(?i)^\s*commit\b`)
)

func changes(sql string) bool { return changing.MatchString(rowLocks.ReplaceAllString(sql, "")) }
func commits(sql string) bool { return commit.MatchString(sql) }

package config

import (
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// text is a single value with its variables filled in.
// problem is empty, or a sentence.
func (d *decoder) text(n ast.Node) (text, problem string) {
	switch n := n.(type) {
	case *ast.StringNode:
		return d.interpolate(n.Value)
	case *ast.LiteralNode:
		return d.interpolate(n.Value.Value)
	case *ast.NullNode:
		return "", "it has no value: give it one, or take the key out"
	case ast.ScalarNode:
		if t := n.GetToken(); t != nil {
			return t.Value, ""
		}
	}
	return "", "it must be a single value, " + expected(n)
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// interpolate replaces ${NAME} by the variable's value; $${ stands for ${.
// Values are filled in after the YAML is read, so they cannot add keys to it.
func (d *decoder) interpolate(s string) (text, problem string) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), ""
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		out.WriteString(s[:i])
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || !variable.MatchString(name) {
			return "", "after ${ there must be the name of a variable and a }: write $${ for the two characters themselves"
		}
		value, ok := d.env(name)
		if !ok {
			return "", fmt.Sprintf("the environment variable %s is not set: set it, or write $${%s} for the text itself", name, name)
		}
		out.WriteString(value)
		s = rest
	}
}

// assign reads text into a field. problem is empty, or a sentence that quotes
// what stands in the file, not what a variable made of it.
func assign(v reflect.Value, text, written string) (problem string) {
	switch to := v.Addr().Interface().(type) {
	case *string:
		*to = text
	case *Secret:
		*to = NewSecret(strings.TrimRight(text, "\r\n"))
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Sprintf("%.40q is neither true nor false", written)
		}
		*to = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Sprintf("%.40q is not a whole number", written)
		}
		*to = n
	case *time.Duration:
		t, ok := parseDuration(text)
		if !ok {
			return fmt.Sprintf("%.40q is not a time: write a number with its unit, such as 90s, 15m, 24h or 30d", written)
		}
		*to = t
	case *slog.Level:
		switch text {
		case "debug", "info", "warn", "error":
		default:
			return fmt.Sprintf("%.40q is not a level: write debug, info, warn or error", written)
		}
		if err := to.UnmarshalText([]byte(text)); err != nil {
			return err.Error()
		}
	default:
		panic(fmt.Sprintf("no rule to read a %s", v.Type())) // a new field, found by every test
	}
	return ""
}

// short prints a duration the way people write it: 1m, not 1m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseDuration reads Go's durations and days before them: 90s, 30d, 1d12h. A
// day is 24 hours.
func parseDuration(text string) (time.Duration, bool) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		d, err := time.ParseDuration(text)
		return d, err == nil
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > math.MaxInt64/uint64(24*time.Hour) {
		return 0, false
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, true
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || d+more < d {
		return 0, false
	}
	return d + more, true
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	// The YAML parser needs time and memory that grow with the square of the
	// nesting; the file itself is nested four deep and a few kilobytes long.
	maxSize    = 64 << 10
	maxNesting = 16
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	Line int    // zero when it is about the whole file
	Key  string // such as providers[0].api_token; empty when it is about the whole file
	Msg  string // what is wrong and what to do
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each of them.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

// Load reads the file at path, with the environment of this process.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading config: %w", err)
	}
	return Parse(path, data, os.LookupEnv)
}

// Parse reads a configuration. name is its path: it stands in the errors, and
// relative paths in the file start at its folder. env looks up the variables
// that the file names. A file with mistakes gives [Errors], all of them.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	d := &decoder{
		file: name, dir: filepath.Dir(name), env: env,
		lines: map[string]int{}, failed: map[string]bool{},
	}
	config := Default()
	if body := d.parse(data); body != nil {
		d.structure(body, reflect.ValueOf(config).Elem(), "")
	}
	// Values that could not be read keep their defaults, so the rules can be
	// asked all the same.
	if !d.broken {
		validate(config, d)
	}
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
		return nil, Errors(d.errs)
	}
	if !config.Database.MigrateURL.IsSet() {
		config.Database.MigrateURL = config.Database.URL
	}
	return config, nil
}

// parse gives the root of the document, or nil when there is none.
func (d *decoder) parse(data []byte) ast.Node {
	broken := func(line int, msg string) ast.Node {
		d.broken = true
		d.errs = append(d.errs, &Error{File: d.file, Line: line, Msg: msg})
		return nil
	}
	if len(data) > maxSize {
		return broken(0, fmt.Sprintf("the file is larger than %d KiB: is it a configuration of rotatord?", maxSize>>10))
	}
	tokens := lexer.Tokenize(string(data))
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		if depth > maxNesting {
			return broken(t.Position.Line, fmt.Sprintf("brackets are nested more than %d deep: write one key per line", maxNesting))
		}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		// The parser's own text would quote the lines around the mistake, and a
		// secret may stand there.
		if yamlErr, ok := errors.AsType[yaml.Error](err); ok && yamlErr.GetToken() != nil {
			return broken(yamlErr.GetToken().Position.Line, "this is not valid YAML: check indentation, quotes and the space after each colon")
		}
		return broken(0, "this is not valid YAML")
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.NullType:
		case body != nil:
			return broken(line(doc.Body), "a second document begins here: keep the configuration in one")
		default:
			body = doc.Body
		}
	}
	return body
}

// line of a node, or zero where the parser gives none.
func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

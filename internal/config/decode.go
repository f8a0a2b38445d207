package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder walks the syntax tree along the structs. The YAML library's own
// decoder stops at the first mistake and prints the lines around it; this one
// collects them, and knows where each key stands.
type decoder struct {
	file, dir string
	env       func(string) (string, bool)
	errs      []*Error
	broken    bool            // not even YAML
	lines     map[string]int  // of every key that was read, by path
	failed    map[string]bool // keys that have an error already
}

// bad notes a mistake at a key. A key gets one error only, and none when the
// section it belongs to has one: what follows from the first would not help.
func (d *decoder) bad(key, format string, args ...any) {
	for k := key; k != ""; k = parent(k) {
		if d.failed[k] {
			return
		}
	}
	d.failed[key] = true
	d.errs = append(d.errs, &Error{File: d.file, Line: d.lineOf(key), Key: key, Msg: fmt.Sprintf(format, args...)})
}

// lineOf is the line of a key, or of the nearest section above it that stands
// in the file.
func (d *decoder) lineOf(key string) int {
	for ; key != ""; key = parent(key) {
		if n, ok := d.lines[key]; ok {
			return n
		}
	}
	return 0
}

// parent is the section or list that a key belongs to; empty at the top.
func parent(key string) string {
	return key[:max(0, strings.LastIndexAny(key, ".["))]
}

// has says whether the file gives this key.
func (d *decoder) has(key string) bool {
	_, ok := d.lines[key]
	return ok
}

// field is a key that a struct takes.
type field struct {
	key   string
	value reflect.Value
}

// fields lists the keys of v. The keys of an inline struct belong to it when
// kind is what its tag asks for; it is then allocated. known is false when
// there are inline structs and none fits.
func fields(v reflect.Value, kind string) (out []field, known bool) {
	known = true
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key, option, _ := strings.Cut(tag.Get("yaml"), ",")
		if option != "inline" {
			out = append(out, field{key, v.Field(i)})
			continue
		}
		if tag.Get("when") != kind {
			known = false
			continue
		}
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
		setDefaults(v.Field(i))
		inner, _ := fields(v.Field(i).Elem(), kind)
		return append(out, inner...), true
	}
	return out, known
}

func setDefaults(pointer reflect.Value) {
	if d, ok := pointer.Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
}

// structure reads a mapping into v.
func (d *decoder) structure(n ast.Node, v reflect.Value, path string) {
	if n.Type() == ast.NullType {
		return // a section whose keys are all commented out
	}
	mapping, ok := n.(ast.MapNode)
	if !ok {
		if path == "" {
			d.lines[path] = line(n)
			d.errs = append(d.errs, &Error{File: d.file, Line: line(n), Msg: "the file must consist of sections such as database: and providers:"})
			return
		}
		d.bad(path, "it must hold keys of its own, %s", expected(n))
		return
	}
	known, all := fields(v, d.kind(mapping))
	for pairs := mapping.MapRange(); pairs.Next(); {
		d.pair(pairs.KeyValue(), known, all, path)
	}
	for _, f := range known {
		if secret, ok := f.value.Addr().Interface().(*Secret); ok {
			d.secretFile(secret, known, f.key, path)
		}
	}
}

// kind is the value of the key "type", which decides what other keys there are.
func (d *decoder) kind(mapping ast.MapNode) string {
	for pairs := mapping.MapRange(); pairs.Next(); {
		if keyText(pairs.KeyValue().Key) == "type" {
			text, _ := d.text(pairs.Value())
			return text
		}
	}
	return ""
}

func (d *decoder) pair(kv *ast.MappingValueNode, known []field, all bool, path string) {
	name := keyText(kv.Key)
	key := join(path, name)
	if d.has(key) {
		at := d.lines[key]
		d.errs = append(d.errs, &Error{File: d.file, Line: line(kv.Key), Key: key, Msg: fmt.Sprintf("it is given for the second time, first in line %d: keep one of them", at)})
		return
	}
	d.lines[key] = line(kv.Key)
	i := slices.IndexFunc(known, func(f field) bool { return f.key == name })
	switch {
	case kv.Key.IsMergeKey():
		d.bad(key, "merge keys are not supported: write the keys out")
	case i >= 0:
		d.value(kv.Value, known[i].value, key)
	case all: // otherwise the type is wrong, and that says it all
		d.bad(key, "%s", unknownKey(known, name))
	}
}

// value reads a node into v, whatever v is.
func (d *decoder) value(n ast.Node, v reflect.Value, key string) {
	switch {
	case n.Type() == ast.AnchorType || n.Type() == ast.AliasType || n.Type() == ast.TagType:
		d.bad(key, "anchors, aliases and tags are not supported: write the value out")
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[Secret]():
		d.structure(n, v, key)
	case v.Kind() == reflect.Slice:
		d.list(n, v, key)
	default:
		text, problem := d.text(n)
		if problem == "" {
			problem = assign(v, text, written(n))
		}
		if problem != "" {
			d.bad(key, "%s", problem)
		}
	}
}

func (d *decoder) list(n ast.Node, v reflect.Value, key string) {
	if n.Type() == ast.NullType {
		return
	}
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		d.bad(key, "it must be a list, each entry with a dash before it, %s", expected(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, entry := range sequence.Values {
		at := key + "[" + strconv.Itoa(i) + "]"
		d.lines[at] = line(entry)
		if entry.Type() == ast.NullType {
			d.bad(at, "the entry is empty: fill it in, or take the dash out")
			continue
		}
		d.value(entry, v.Index(i), at)
	}
}

// secretFile reads the sibling x_file of a secret x.
func (d *decoder) secretFile(secret *Secret, known []field, name, path string) {
	fileName := name + "_file"
	i := slices.IndexFunc(known, func(f field) bool { return f.key == fileName })
	file := known[i].value.Interface().(string)
	key, fileKey := join(path, name), join(path, fileName)
	switch {
	case d.has(key) && d.has(fileKey):
		d.bad(fileKey, "%s is given too: keep one of the two", name)
	case d.has(fileKey) && !d.failed[fileKey]:
		file = d.path(file)
		known[i].value.SetString(file)
		read, err := readSecret(file)
		if err != nil {
			d.bad(fileKey, "cannot read the secret from %s: %s", file, err)
			return
		}
		*secret = read
	case secret.IsSet() && secret.Reveal() == "":
		d.bad(key, "it is empty: fill it in, or take the key out")
	}
}

// path makes a path in the file independent of the working directory's change:
// it starts at the folder of the file.
func (d *decoder) path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(d.dir, p)
}

// keyText is a key as it is written. One that could break the lines of an
// error is quoted; it is unknown in any case.
func keyText(key ast.MapKeyNode) string {
	t := key.GetToken()
	switch {
	case t == nil:
		return ""
	case plainName.MatchString(t.Value):
		return t.Value
	}
	return strconv.Quote(fmt.Sprintf("%.63s", t.Value))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// written is a single value as it stands in the file.
func written(n ast.Node) string {
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

// expected says what was found instead, without quoting it.
func expected(n ast.Node) string {
	switch n.(type) {
	case ast.MapNode:
		return "not keys"
	case *ast.SequenceNode:
		return "not a list"
	}
	return "not a single value"
}

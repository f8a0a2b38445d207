package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const examplePath = "../../config.example.yaml"

// exampleEnvironment is what the example names.
func exampleEnvironment(name string) (string, bool) {
	value, ok := map[string]string{
		"DATABASE_URL": "postgres:///rotatord", "DYNAMIC_API_TOKEN": "dyn_x", "COSIGNER_TOKEN": "y",
		"COBO_API_SECRET": strings.Repeat("0f", keyHexLength/2),
	}[name]
	return value, ok
}

func example(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExampleLoads(t *testing.T) {
	c, err := Parse(examplePath, example(t), exampleEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ReadyToServe(); err != nil {
		t.Error(err)
	}
}

// keysOf lists the paths of all keys that a type takes; [] stands for any
// entry of a list, or [type] where its type decides about its keys.
func keysOf(t reflect.Type, path, kind string) []string {
	var keys []string
	for i := range t.NumField() {
		f := t.Field(i)
		key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if option == "inline" {
			if f.Tag.Get("when") == kind {
				keys = append(keys, keysOf(f.Type.Elem(), path, "")...)
			}
			continue
		}
		key = join(path, key)
		keys = append(keys, key)
		switch {
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			for _, kind := range kindsOf(f.Type.Elem()) {
				keys = append(keys, keysOf(f.Type.Elem(), key+"["+kind+"]", kind)...)
			}
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Secret]():
			keys = append(keys, keysOf(f.Type, key, "")...)
		}
	}
	return keys
}

// kindsOf lists the values of type that a struct knows; one empty one if it
// has no type.
func kindsOf(t reflect.Type) []string {
	var kinds []string
	for i := range t.NumField() {
		if kind := t.Field(i).Tag.Get("when"); kind != "" {
			kinds = append(kinds, kind)
		}
	}
	if kinds == nil {
		return []string{""}
	}
	return kinds
}

// keysIn lists the paths of all keys of a document.
func keysIn(v any, path string) []string {
	var keys []string
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			keys = append(append(keys, join(path, key)), keysIn(value, join(path, key))...)
		}
	case []any:
		for _, entry := range v {
			keys = append(keys, keysIn(entry, path+entryOf(entry))...)
		}
	}
	return keys
}

// entryOf names an entry of a list by its type, if it has one.
func entryOf(entry any) string {
	fields, ok := entry.(map[string]any)
	if !ok || fields["type"] == nil {
		return "[]"
	}
	return "[" + fields["type"].(string) + "]"
}

func unique(keys []string) []string {
	slices.Sort(keys)
	return slices.Compact(keys)
}

// commentedKey is a key that the example shows commented out.
var commentedKey = regexp.MustCompile(`(?m)^( *)# ( *[a-z_]+:(?: [^ ]+)?)$`)

// TestExampleShowsEveryKey: every key of the structs stands in the example,
// where it belongs, live or commented out, and no other.
func TestExampleShowsEveryKey(t *testing.T) {
	var document map[string]any
	if err := yaml.Unmarshal(commentedKey.ReplaceAll(example(t), []byte("$1$2")), &document); err != nil {
		t.Fatal(err)
	}
	shown, taken := unique(keysIn(document, "")), unique(keysOf(reflect.TypeFor[Config](), "", ""))
	for _, key := range taken {
		if !slices.Contains(shown, key) {
			t.Errorf("%s is not in the example", key)
		}
	}
	for _, key := range shown {
		if !slices.Contains(taken, key) {
			t.Errorf("the example shows %s, which is no key", key)
		}
	}
}

// without gives the document less the key at path, and whether it was there.
func without(v any, path []string) (any, bool) {
	switch v := v.(type) {
	case []any:
		i := slices.IndexFunc(v, func(entry any) bool { return entryOf(entry) == path[0] })
		if i < 0 {
			return v, false
		}
		entry, ok := without(v[i], path[1:])
		less := slices.Clone(v)
		less[i] = entry
		return less, ok
	case map[string]any:
		value, ok := v[path[0]]
		if !ok {
			return v, false
		}
		less := map[string]any{}
		for key := range v {
			less[key] = v[key]
		}
		if len(path) == 1 {
			delete(less, path[0])
			return less, true
		}
		less[path[0]], ok = without(value, path[1:])
		return less, ok
	}
	return v, false
}

// TestExampleShowsTheDefaults: taking a key out of the example changes
// nothing, unless it is one of those marked as examples.
func TestExampleShowsTheDefaults(t *testing.T) {
	examples := []string{
		"database.url", "providers",
		"providers[dynamic].name", "providers[dynamic].type", "providers[dynamic].environment_id", "providers[dynamic].api_token",
		"providers[cobo].name", "providers[cobo].type", "providers[cobo].api_secret", "providers[cobo].tss_nodes",
		"cosigners", "cosigners[].name", "cosigners[].url", "cosigners[].token",
	}
	if marks := strings.Count(string(example(t)), "(example"); marks != len(examples) {
		t.Errorf("%d keys are marked as examples, want %d", marks, len(examples))
	}
	var document map[string]any
	if err := yaml.Unmarshal(example(t), &document); err != nil {
		t.Fatal(err)
	}
	whole, err := Parse(examplePath, example(t), exampleEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	defaults := 0
	for _, key := range unique(keysIn(document, "")) {
		if strings.Contains(key, ".rate_limits[]") {
			continue // a list of defaults is one value
		}
		less, ok := without(document, strings.Split(strings.ReplaceAll(key, "[", ".["), "."))
		if !ok {
			t.Fatalf("%s is not in the document", key)
		}
		data, err := yaml.Marshal(less)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(examplePath, data, exampleEnvironment)
		same := err == nil && reflect.DeepEqual(c, whole)
		section := slices.ContainsFunc(examples, func(e string) bool { return strings.HasPrefix(e, key+".") })
		if isExample := slices.Contains(examples, key) || section; same == isExample {
			t.Errorf("%s: without it the configuration is the same: %v, marked as an example: %v (%v)", key, same, isExample, err)
		}
		if same {
			defaults++
		}
	}
	if defaults < 25 {
		t.Errorf("only %d defaults were compared", defaults)
	}
}

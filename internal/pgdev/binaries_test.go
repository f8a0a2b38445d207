package pgdev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// install puts something that says its version where a PostgreSQL could be.
func install(t *testing.T, root, dir, version string) string {
	t.Helper()
	dir = filepath.Join(root, dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, program := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindTakesTheNewest(t *testing.T) {
	root := openDir(t)
	onPath := install(t, root, "usr/bin", "15.3")
	install(t, root, "lib/9.6/bin", "9.6.24")
	want := install(t, root, "lib/16/bin", "16.10 (Debian 16.10-1)")
	install(t, root, "lib/15/bin", "15.18")
	client := filepath.Join(root, "lib/19/bin") // has psql only, as when just the client is installed
	if err := os.MkdirAll(client, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &search{path: "relative:" + onPath, patterns: []string{filepath.Join(root, "lib/*/bin")}, download: refuse(t)}
	got, err := s.find(t.Context(), ordinary(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got.dir != want || got.version != (version{16, 10}) {
		t.Errorf("found %s in %s, want 16.10 in %s", got.version, got.dir, want)
	}
}

// Whoever gives up while PostgreSQL is looked for gets no download instead.
func TestInterruptedSearchDownloadsNothing(t *testing.T) {
	root := openDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &search{path: install(t, root, "bin", "15.18"), download: refuse(t)}
	if _, err := s.find(ctx, ordinary(t), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// A link such as /usr/bin/postgres is the installation that it points to.
func TestFindKnowsLinks(t *testing.T) {
	root := openDir(t)
	real := install(t, root, "lib/15/bin", "15.18")
	if err := os.Symlink(real, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	s := &search{path: filepath.Join(root, "link"), patterns: []string{real}}
	if got := s.folders(); len(got) != 1 {
		t.Errorf("one installation is seen as %q", got)
	}
}

func refuse(t *testing.T) func(context.Context, *account, io.Writer) (string, error) {
	return func(context.Context, *account, io.Writer) (string, error) {
		t.Error("went to download although a PostgreSQL is there")
		return "", errors.ErrUnsupported
	}
}

func TestNoPostgreSQLIsOneClearSentence(t *testing.T) {
	root := openDir(t)
	install(t, root, "lib/13/bin", "13.4")
	none := func(context.Context, *account, io.Writer) (string, error) {
		return "", errors.New("downloading PostgreSQL: no route to host")
	}
	for _, tc := range []struct {
		name string
		s    *search
		want []string
	}{
		{"nothing there", &search{download: none}, []string{"no PostgreSQL 15 or newer", "no route to host", "install one with", "or give the URL of a running server"}},
		{"too old", &search{patterns: []string{root + "/lib/*/bin"}}, []string{"no download was allowed", "found " + root + "/lib/13/bin: version 13.4 is too old", "install one with"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := openDir(t)
			_, err := Start(t.Context(), Options{Dir: dir, search: tc.s})
			var notFound *NotFoundError
			if !errors.As(err, &notFound) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n") || !strings.Contains(err.Error(), "postgresql") {
				t.Errorf("not one sentence that names a package: %q", err)
			}
			nothingLeft(t, dir)
		})
	}
}

func TestBrokenInitdbSaysWhy(t *testing.T) {
	root, dir := openDir(t), openDir(t)
	bin := install(t, root, "bin", "17.1")
	if err := os.WriteFile(filepath.Join(bin, "initdb"), []byte("#!/bin/sh\necho 'no room left' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Dir: dir, search: &search{path: bin}})
	if err == nil || !strings.Contains(err.Error(), "no room left") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, dir)
}

func TestFolderMustFitItsSocketAndItsUser(t *testing.T) {
	long := filepath.Join(openDir(t), strings.Repeat("x", 90))
	if _, err := newFolder(long, nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a path too long for a socket: %v", err)
	}
	closed := openDir(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	as := &account{name: "clerk", uid: 12345, gid: 12345}
	if _, err := newFolder(closed, as); err == nil || !strings.Contains(err.Error(), "clerk, who cannot enter") {
		t.Errorf("a folder closed to the server's user: %v", err)
	}
	t.Setenv("TMPDIR", closed)
	if dir, err := newFolder("", as); err != nil || filepath.Dir(dir) != "/tmp" {
		t.Errorf("a temporary folder closed to the server's user: %s, %v", dir, err)
	}
}

func TestParseVersion(t *testing.T) {
	for line, want := range map[string]version{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {15, 18},
		"postgres (PostgreSQL) 17.5":                             {17, 5},
		"postgres (PostgreSQL) 19beta1":                          {19, 0},
		"postgres (PostgreSQL) 9.6.24":                           {9, 6},
	} {
		if got, err := parseVersion(line); err != nil || got != want {
			t.Errorf("%q: got %v, %v", line, got, err)
		}
	}
	if v, err := parseVersion("psql 15.18"); err == nil {
		t.Errorf("took another program for a server of version %v", v)
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)")
	f.Add("postgres (PostgreSQL) 19beta1")
	f.Fuzz(func(t *testing.T, line string) {
		v, err := parseVersion(line)
		if err == nil && !strings.Contains(line, fmt.Sprint(v.major)) {
			t.Errorf("%q is not version %v", line, v)
		}
	})
}

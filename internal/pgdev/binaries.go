package pgdev

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest major version that the schema is tested on.
const oldest = 15

// installed is where distributions put a server that is not on the PATH.
var installed = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // Red Hat, from postgresql.org
	"/usr/libexec/postgresql*",  // Alpine
	"/usr/lib/postgresql*/bin",  // SUSE
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin", // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/opt/local/lib/postgresql*/bin", // MacPorts
	"/usr/local/pgsql/bin",           // from source
}

// search is where PostgreSQL may be found. The zero value searches nowhere.
type search struct {
	path     string   // a list like PATH
	patterns []string // folders, as for filepath.Glob
	// download gets one and returns its folder of programs; nil: do not.
	download func(ctx context.Context, as *account, log io.Writer) (string, error)
}

func defaultSearch() *search {
	return &search{path: os.Getenv("PATH"), patterns: installed, download: mavenCentral.download}
}

// binaries is one installation.
type binaries struct {
	dir     string
	version version
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// version is PostgreSQL's, as in 17.5.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.major, w.major), cmp.Compare(v.minor, w.minor))
}

// find is the newest installation that the account can run, or else a
// downloaded one.
func (s *search) find(ctx context.Context, as *account, log io.Writer) (binaries, error) {
	var found []binaries
	var unfit []string
	for _, dir := range s.folders() {
		b, err := probe(ctx, dir, as)
		if ctx.Err() != nil {
			// Not found unfit, but cut off: no reason to download another one.
			return binaries{}, fmt.Errorf("looking for PostgreSQL: %w", ctx.Err())
		}
		if err != nil {
			unfit = append(unfit, err.Error())
			continue
		}
		found = append(found, b)
	}
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b binaries) int { return a.version.compare(b.version) }), nil
	}
	reason := "no download was allowed"
	if s.download != nil {
		dir, err := s.download(ctx, as, log)
		if err == nil {
			return probe(ctx, dir, as)
		}
		reason = err.Error()
	}
	return binaries{}, &NotFoundError{Unfit: unfit, Download: reason}
}

// folders are those that hold a server, each once, in order of preference
// among equals.
func (s *search) folders() []string {
	dirs := filepath.SplitList(s.path)
	for _, pattern := range s.patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			panic(err) // a pattern in the source is malformed
		}
		dirs = append(dirs, matches...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || !filepath.IsAbs(dir) || seen[real] {
			return true
		}
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			return true
		}
		seen[real] = true
		return false
	})
}

// probe asks the server in dir for its version, as the user who will run it.
func probe(ctx context.Context, dir string, as *account) (binaries, error) {
	b := binaries{dir: dir}
	cmd := exec.CommandContext(ctx, b.path("postgres"), "--version")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", serverEnv("/"), as.sysProcAttr()
	out, err := cmd.Output()
	if err != nil {
		return b, fmt.Errorf("%s: %w", dir, err)
	}
	if b.version, err = parseVersion(string(out)); err != nil {
		return b, fmt.Errorf("%s: %w", dir, err)
	}
	if b.version.major < oldest {
		return b, fmt.Errorf("%s: version %s is too old", dir, b.version)
	}
	return b, nil
}

// versionLine is what "postgres --version" says, for instance
// "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" or "… 19beta1".
var versionLine = regexp.MustCompile(`\(PostgreSQL\) ([0-9]{1,4})(?:\.([0-9]{1,4}))?`)

func parseVersion(line string) (version, error) {
	m := versionLine.FindStringSubmatch(line)
	if m == nil {
		return version{}, fmt.Errorf("not the version of a PostgreSQL: %q", line)
	}
	var v version
	v.major, _ = strconv.Atoi(m[1]) // up to four digits
	v.minor, _ = strconv.Atoi(m[2]) // the same, or empty before the first release
	return v, nil
}

// NotFoundError says in one sentence what to do on a machine without a usable
// PostgreSQL.
type NotFoundError struct {
	Unfit    []string // what was found and why it will not do
	Download string   // why there was no download
}

func (e *NotFoundError) Error() string {
	found := ""
	if len(e.Unfit) > 0 {
		found = "; found " + strings.Join(e.Unfit, ", ")
	}
	install := "apt-get install postgresql (or dnf install postgresql-server, apk add postgresql)"
	if runtime.GOOS == "darwin" {
		install = "brew install postgresql@17"
	}
	return fmt.Sprintf("there is no PostgreSQL %d or newer on this machine (%s%s): install one with %s, or give the URL of a running server",
		oldest, e.Download, found, install)
}

package pgdev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	downloadVersion = embeddedpostgres.V17
	// downloadTimeout is for about 10 MB over a slow line.
	downloadTimeout = 5 * time.Minute
)

// repository is where ready-made PostgreSQL for many systems is kept, in the
// layout of github.com/zonkyio/embedded-postgres-binaries.
type repository struct {
	url   string
	cache string // where downloads stay; empty: the user's cache folder
}

var mavenCentral = repository{url: "https://repo1.maven.org/maven2"}

// download returns the folder of programs of a downloaded PostgreSQL, which is
// kept for the next time. Two processes may download at once; the first one to
// finish wins.
func (r repository) download(ctx context.Context, as *account, log io.Writer) (string, error) {
	cache, err := r.cacheFolder(as)
	if err != nil {
		return "", err
	}
	final := r.final(cache)
	bin := filepath.Join(final, "bin")
	if complete(bin) {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making a place for the download: %w", err)
	}
	fmt.Fprintf(log, "downloading PostgreSQL %s into %s\n", downloadVersion, final)
	// Guarded, so that an interrupted download leaves nothing behind.
	g, err := newGuard(filepath.Join(cache, "partial-"+strings.ToLower(rand.Text())))
	if err != nil {
		return "", err
	}
	done := make(chan error, 1)
	go func() { done <- r.fetch(g.folder) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		// The library cannot be interrupted. What it still writes goes when it
		// has finished, or when this process ends.
		go func() { <-done; g.close() }()
		return "", fmt.Errorf("downloading PostgreSQL: %w", ctx.Err())
	}
	if err != nil {
		return "", errors.Join(err, g.close())
	}
	// All or nothing: a folder under the final name is complete.
	renamed := os.Rename(filepath.Join(g.folder, "extracted"), final)
	if err := g.close(); err != nil {
		return "", err
	}
	if !complete(bin) {
		return "", fmt.Errorf("keeping the download: %w", renamed)
	}
	return bin, nil
}

// final is the folder of a complete download.
func (r repository) final(cache string) string {
	return filepath.Join(cache, fmt.Sprintf("postgresql-%s-%s-%s", downloadVersion, runtime.GOOS, runtime.GOARCH))
}

// fetch downloads and extracts into dir/extracted. The library offers this only
// as the first half of starting a server, and would start that as root and
// unguarded. So it is given a data folder which claims to be ready and is
// empty: its start always fails, and what counts is what it has extracted.
func (r repository) fetch(dir string) error {
	data := filepath.Join(dir, "no-data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return fmt.Errorf("downloading PostgreSQL: %w", err)
	}
	major, _, _ := strings.Cut(string(downloadVersion), ".")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major+"\n"), 0o644); err != nil {
		return fmt.Errorf("downloading PostgreSQL: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	extracted := filepath.Join(dir, "extracted")
	library := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(downloadVersion).BinaryRepositoryURL(r.url).Port(uint32(port)).Logger(io.Discard).
		CachePath(filepath.Join(dir, "archive")).RuntimePath(filepath.Join(dir, "runtime")).
		BinariesPath(extracted).DataPath(data))
	err = library.Start()
	cleaned := removeLibraryLogs()
	runtime.KeepAlive(library) // which holds the log open
	if cleaned != nil {
		return fmt.Errorf("downloading PostgreSQL: %w", cleaned)
	}
	if !complete(filepath.Join(extracted, "bin")) {
		return fmt.Errorf("downloading PostgreSQL from %s: %w", r.url, err)
	}
	return nil
}

func complete(bin string) bool {
	for _, program := range []string{"postgres", "initdb"} {
		if !exists(filepath.Join(bin, program)) {
			return false
		}
	}
	return true
}

// cacheFolder is the user's own; root's would be closed to the account that
// PostgreSQL runs as.
func (r repository) cacheFolder(as *account) (string, error) {
	switch {
	case r.cache != "":
		return r.cache, nil
	case as == nil:
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("looking for a cache folder: %w", err)
		}
		return filepath.Join(dir, "rotatord"), nil
	case runtime.GOOS == "darwin":
		return "/Library/Caches/rotatord", nil
	default:
		return "/var/cache/rotatord", nil
	}
}

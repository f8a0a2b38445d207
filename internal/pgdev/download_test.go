package pgdev

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// maven serves testdata/embedded.txz as a PostgreSQL for every system.
func maven(t *testing.T, serve func(http.Handler) http.Handler) repository {
	t.Helper()
	archive, err := os.ReadFile("testdata/embedded.txz")
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	w, err := z.Create("postgres.txz")
	if err == nil {
		_, err = w.Write(archive)
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			fmt.Fprintf(w, "%x", sha256.Sum256(jar.Bytes()))
			return
		}
		w.Write(jar.Bytes())
	})))
	tmp := openDir(t)
	t.Setenv("TMPDIR", tmp)
	others := filepath.Join(tmp, "embedded_postgres_log_of_another_process")
	if err := os.WriteFile(others, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The library leaves its log here; another process may be using its own.
		if left, err := filepath.Glob(filepath.Join(tmp, "*")); err != nil || !slices.Equal(left, []string{others}) {
			t.Errorf("%v are left in the temporary folder (%v)", left, err)
		}
		server.Close()
		http.DefaultClient.CloseIdleConnections() // the library's
	})
	return repository{url: server.URL, cache: openDir(t)}
}

func TestDownloadOnceAndKeep(t *testing.T) {
	var requests atomic.Int32
	r := maven(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	var first int32
	for range 2 {
		var log strings.Builder
		got, err := (&search{download: r.download}).find(t.Context(), ordinary(t), &log)
		if err != nil {
			t.Fatal(err)
		}
		if got.version != (version{17, 5}) || !strings.HasPrefix(got.dir, r.cache) {
			t.Errorf("found %s in %s", got.version, got.dir)
		}
		if first == 0 {
			first = requests.Load()
			if !strings.Contains(log.String(), r.cache) {
				t.Errorf("the log does not say what is kept where: %s", log.String())
			}
		}
	}
	if n := requests.Load(); n != first || n == 0 {
		t.Errorf("%d requests for the first time and %d for both", first, n)
	}
	entries, err := os.ReadDir(r.cache)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v (%v), want one folder", entries, err)
	}
}

func TestFailedDownloadLeavesNothing(t *testing.T) {
	r := maven(t, func(http.Handler) http.Handler { return http.NotFoundHandler() })
	_, err := r.download(t.Context(), nil, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no version found") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, r.cache)
}

func TestCancelledDownloadLeavesNothing(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	r := maven(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, ".sha256") {
				close(asked)
				<-answer
			}
			h.ServeHTTP(w, r)
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := r.download(ctx, nil, io.Discard)
		failed <- err
	}()
	<-asked
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(answer) // the library finishes what it cannot be stopped at
	nothingLeft(t, r.cache)
}

// Somebody else's download may end first; the finished one is used.
func TestDownloadLosesARace(t *testing.T) {
	var r repository
	r = maven(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			partial, err := filepath.Glob(filepath.Join(r.cache, "partial-*"))
			if err != nil || len(partial) != 1 {
				t.Errorf("partial downloads: %v, %v", partial, err)
			}
			other := repository{url: r.url, cache: r.cache}
			install(t, r.cache, filepath.Join(filepath.Base(other.final(r.cache)), "bin"), "17.5")
			h.ServeHTTP(w, req)
		})
	})
	got, err := r.download(t.Context(), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got, r.final(r.cache)) {
		t.Errorf("got %s", got)
	}
}

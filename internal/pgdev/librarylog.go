package pgdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// removeLibraryLogs removes the log that the downloading library leaves in the
// temporary folder and does not name. Ours is one that this process holds open:
// anybody else's stays. (A process that is killed while it downloads leaves its
// log there, empty.)
func removeLibraryLogs() error {
	logs, err := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	if err != nil || len(logs) == 0 {
		return err
	}
	open, err := openFiles()
	if err != nil {
		return err
	}
	var failed error
	for _, log := range logs {
		info, err := os.Lstat(log)
		if err != nil {
			continue // its process has removed it
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && open[fileID{uint64(s.Dev), s.Ino}] {
			failed = errors.Join(failed, os.Remove(log))
		}
	}
	return failed
}

// fileID is what makes a file the same under any name.
type fileID struct{ device, inode uint64 }

func openFiles() (map[fileID]bool, error) {
	numbers, err := os.ReadDir("/dev/fd") // on Linux and macOS
	if err != nil {
		return nil, fmt.Errorf("listing open files: %w", err)
	}
	open := map[fileID]bool{}
	for _, number := range numbers {
		fd, err := strconv.Atoi(number.Name())
		if err != nil {
			continue
		}
		var s syscall.Stat_t
		if err := syscall.Fstat(fd, &s); err != nil {
			continue // it was the listing's own
		}
		open[fileID{uint64(s.Dev), s.Ino}] = true
	}
	return open, nil
}

//go:build unix

package reference

import (
	"fmt"
	"os"
	"syscall"
)

// lockFolder makes sure that two processes never write the same journals. The
// kernel lets go of the lock when the process ends, however it ends.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another co-signer uses this folder: %w", err)
	}
	return f, nil
}

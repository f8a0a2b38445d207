//go:build !unix

package reference

import (
	"errors"
	"fmt"
	"os"
)

// lockFolder refuses: without a lock that ends with the process, two of them
// could write the same journals.
func lockFolder(path string) (*os.File, error) {
	return nil, fmt.Errorf("locking %s: %w on this platform", path, errors.ErrUnsupported)
}

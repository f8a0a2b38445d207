//go:build !linux

package torture

import "syscall"

// withParent: elsewhere than on Linux, daemons outlive a harness that is
// killed, and must be ended by hand.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

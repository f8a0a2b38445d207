package torture

import "syscall"

// withParent has a child killed when the thread that started it ends; see
// nursery.
func withParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

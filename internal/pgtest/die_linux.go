package pgtest

import "syscall"

// dieWithUs has the server stop when this process is killed.
func dieWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }

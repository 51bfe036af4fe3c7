package stack

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used since it started.
type Usage struct {
	CPU     time.Duration // in user and kernel mode, of all threads; counted in ticks of 10 ms
	PeakRSS int64         // bytes: the most memory that was resident at one time
}

// clockTick is the unit in which /proc counts CPU time: Linux shows user space 100 ticks
// a second on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// Usage reads what a running process has used. It knows /proc only, so it fails where
// there is none, and after the process has ended.
func (p *Process) Usage() (Usage, error) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return Usage{}, fmt.Errorf("read the CPU time of %s: %w", p.Name, err)
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return Usage{}, fmt.Errorf("read the memory of %s: %w", p.Name, err)
	}
	u, err := parseUsage(string(stat), string(status))
	if err != nil {
		return Usage{}, fmt.Errorf("read the usage of %s: %w", p.Name, err)
	}
	return u, nil
}

// parseUsage reads /proc/PID/stat and /proc/PID/status.
func parseUsage(stat, status string) (Usage, error) {
	// The name is in parentheses and may hold anything; fields count from behind it.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const user, system = 11, 12 // fields 14 and 15 of proc(5)
	if len(fields) <= system {
		return Usage{}, fmt.Errorf("/proc/PID/stat has %d fields after the name", len(fields))
	}
	var ticks int64
	for _, text := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("CPU time in /proc/PID/stat: %w", err)
		}
		ticks += n
	}
	_, peak, ok := strings.Cut(status, "VmHWM:")
	peak, _, unit := strings.Cut(peak, "kB")
	if !ok || !unit {
		return Usage{}, fmt.Errorf("/proc/PID/status has no VmHWM")
	}
	kilobytes, err := strconv.ParseInt(strings.TrimSpace(peak), 10, 64)
	if err != nil {
		return Usage{}, fmt.Errorf("VmHWM in /proc/PID/status: %w", err)
	}
	return Usage{CPU: time.Duration(ticks) * clockTick, PeakRSS: kilobytes << 10}, nil
}

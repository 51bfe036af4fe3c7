package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine says on what was measured, without naming it.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	MemGiB int    `json:"memGiB"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	// Load is the load average of the minute before.
	Load   string `json:"load"`
	Commit string `json:"commit"` // of the worker, -dirty when it was built with changes
	Date   string `json:"date"`
}

// thisMachine describes the machine and what is measured. What /proc does not tell is
// "unknown".
func thisMachine(ctx context.Context, bin string) (machine, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "worker"), "--version").Output() //nolint:gosec // our own binary
	if err != nil {
		return machine{}, fmt.Errorf("ask the worker for its version: %w; run `make build` first", err)
	}
	kilobytes, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")) // 0 when unknown
	load, _, _ := strings.Cut(procFile("/proc/loadavg"), " ")
	return machine{
		CPU:    field("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		MemGiB: (kilobytes + 1<<19) >> 20,
		Kernel: runtime.GOOS + " " + procFile("/proc/sys/kernel/osrelease"),
		Go:     runtime.Version() + " " + runtime.GOARCH,
		Load:   load,
		Commit: commitOf(string(out)),
		Date:   time.Now().UTC().Format(time.DateOnly),
	}, nil
}

// commitOf reads what `worker --version` prints.
func commitOf(version string) string {
	return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(version), "worker version"))
}

func procFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// field returns the first value of a name in a file of "name : value" lines.
func field(path, name string) string {
	for line := range strings.Lines(procFile(path)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

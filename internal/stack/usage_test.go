package stack

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseUsage(t *testing.T) {
	t.Parallel()
	const stat = "42 (odd) name) S 1 42 42 0 -1 4194560 9 8 7 6 153 27 0 0 20 0 9 0 777 1 2\n"
	const status = "Name:\tworker\nVmPeak:\t 2000000 kB\nVmHWM:\t   81920 kB\nVmRSS:\t   70000 kB\n"
	u, err := parseUsage(stat, status)
	require.NoError(t, err)
	require.Equal(t, Usage{CPU: 1800 * time.Millisecond, PeakRSS: 80 << 20}, u)

	for name, bad := range map[string]struct{ stat, status, message string }{
		"nothing":       {"", "", "fields"},
		"cut off":       {stat[:30], status, "fields"},
		"no number":     {"1 (a) S 1 1 1 0 -1 1 1 1 1 1 x 1", status, "CPU time"},
		"no memory":     {stat, "Name:\tworker\n", "no VmHWM"},
		"memory of dog": {stat, "VmHWM:\t dog kB\n", "VmHWM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseUsage(bad.stat, bad.status)
			require.ErrorContains(t, err, bad.message)
		})
	}
}

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExportIsRefused: the runbook's "explanatory message", and an exit code that no
// script takes for success, whatever follows and with no connector at all.
func TestExportIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"export"}, {"export", "contoso"}, {"export", "contoso", "more"}} {
		b := newBench(t)
		require.Equal(t, exitUsage, b.run(args...), "starter %v", args)
		require.Empty(t, b.out.String())
		for _, says := range []string{"not supported", "phase 1", "import only", "phase 2", "Nothing was sent to Okta"} {
			require.Contains(t, b.err.String(), says)
		}
	}
	help := newBench(t).ok("--help")
	require.Contains(t, help, "export")
	require.Contains(t, newBench(t).ok("export", "--help"), "exit code 2")
}

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotesAreKept(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ old, want string }{
		"no file":  {"", "new\n\n" + notesMark + "\n"},
		"no notes": {"old\n", "new\n\n" + notesMark + "\n"},
		"notes":    {"old\n\n" + notesMark + "\n\n## Notes\n\nBy hand.\n", "new\n\n" + notesMark + "\n\n## Notes\n\nBy hand.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "docs", "benchmarks.md")
			if tt.old != "" {
				require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
				require.NoError(t, os.WriteFile(file, []byte(tt.old), 0o600))
			}
			for range 2 { // writing it twice is writing it once
				require.NoError(t, writeKeepingNotes(file, "new\n"))
				b, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, tt.want, string(b))
			}
		})
	}
}

// TestMarkdown has every table, each with rows as wide as its head.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	var r report
	r.Machine.CPU = "A CPU"
	for _, name := range []string{"small-full", "full", "delta", "kill", "large-full"} {
		org := map[string]orgSize{"small-full": smallOrg, "large-full": largeOrg}[name]
		if org == (orgSize{}) {
			org = middleOrg
		}
		r.add(name, "Title of "+name, org, sample{WallMs: 2400, BareMs: 1200, Calls: 580, Executions: 2, Events: 1234})
	}
	r.Shares = []shares{{Title: "First full", Families: []family{{famOkta, 250}, {famStore, 750}}, Timers: []timer{{"mapping", 10, 20}}}}
	text := r.markdown()
	for _, want := range []string{
		"A CPU", "## Targets", "## Imports", "## Growth", "## Where the time goes", "Title of large-full (1×), 100,000 users",
		"1,234 in each of 2", "| 2.00 |", "0.75 s, 75.0 %", "clock: mapping",
	} {
		require.Contains(t, text, want)
	}
	width := 0
	for line := range strings.Lines(text) {
		n := strings.Count(line, "|")
		if width > 0 && n > 0 {
			require.Equal(t, width, n, line)
		}
		width = n
	}

	r = report{}
	require.NotContains(t, r.markdown(), "##", "what was not measured has no table")
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 89_960: "89,960", 1_000_000: "1,000,000"} {
		require.Equal(t, want, thousands(n))
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, message string }{
		{"--only nothing", "want import, rate, wait, kill, small, large, profile"},
		{"--only kill --out x.md", "--only"},
		{"--repeat 0", "--repeat must be at least 1"},
		{"-o xml", "want markdown or json"},
		{"extra", "unknown command"},
		{"--bin nowhere", "make build"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			cmd := command()
			cmd.SetArgs(strings.Fields(tt.args))
			var stdout bytes.Buffer
			cmd.SetOut(&stdout)
			cmd.SetErr(io.Discard)
			require.ErrorContains(t, cmd.ExecuteContext(t.Context()), tt.message)
			require.Empty(t, stdout.String())
		})
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	cmd := command()
	require.NoError(t, cmd.ParseFlags([]string{"--bin", "/some/where", "--only", "kill,rate", "--repeat", "2"}))
	require.Equal(t, "go run ./scripts/bench --only=kill,rate --repeat=2", commandLine(cmd.Flags()))
}

func TestQuickLeavesOutWhatIsLong(t *testing.T) {
	t.Parallel()
	measured := func(o options) (names []string) {
		for _, p := range plan {
			if o.wants(p) {
				names = append(names, p.name)
			}
		}
		return names
	}
	require.Equal(t, names(), measured(options{}))
	require.Equal(t, []string{"import", "rate", "kill", "small", "profile"}, measured(options{quick: true}))
	require.Equal(t, []string{"large"}, measured(options{quick: true, only: []string{"large"}}))
}

func TestCommitOf(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0ed8d00-dirty", commitOf("worker version 0ed8d00-dirty\n"))
	require.Equal(t, "(devel)", commitOf("(devel)"))
}

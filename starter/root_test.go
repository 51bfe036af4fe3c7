package main

import (
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/app"
)

// commands returns every command of this program, cobra's own left out.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(newBench(t).cli()))
	return all
}

func TestEveryCommandIsDocumented(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(t) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, cmd.Short)
			require.Contains(t, cmd.Example, cmd.CommandPath(), "the examples show the command itself")
			for line := range strings.SplitSeq(cmd.Long, "\n") {
				require.LessOrEqual(t, len([]rune(line)), 90, "help fits a terminal: %s", line)
			}
		})
	}
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(t) {
		b := newBench(t)
		args := strings.Fields(cmd.CommandPath() + " --help")[1:]
		help := b.ok(args...)
		require.Contains(t, help, "Examples:", "starter %v", args)
		require.Contains(t, help, "Usage:")
		require.Empty(t, b.err.String())
	}
}

func TestCommandsThatHoldOthers(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"connector"}, {"secret"}, {"schedule"}, {"watermark"}} {
		b := newBench(t)
		help := b.ok(args...)
		require.Contains(t, help, "Available Commands:", "starter %v", args)
		require.Equal(t, b.ok(append(args, "--help")...), help)
		require.Empty(t, b.err.String())
	}
}

func TestRootHelpNamesTheEnvironment(t *testing.T) {
	t.Parallel()
	help := newBench(t).ok("--help")
	for _, name := range []string{app.EnvDB, app.EnvKeyFile, app.EnvTaskQueue, "XDG_STATE_HOME", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"} {
		require.Contains(t, help, name)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	require.Equal(t, "starter "+app.VersionString()+"\n", newBench(t).ok("--version"))
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"unknown command":        {[]string{"bogus"}, `unknown command "bogus"`},
		"unknown flag":           {[]string{"status", "contoso", "--bogus"}, "unknown flag: --bogus"},
		"no name":                {[]string{"status"}, "starter status needs exactly one argument, NAME; 0 arguments given; write: starter status NAME"},
		"an unset variable":      {[]string{"status", ""}, "NAME; an empty one given"},
		"one of two":             {[]string{"feed", "ack", "contoso"}, "starter feed ack needs exactly NAME and OFFSET; 1 argument given; write: starter feed ack NAME OFFSET --reader READER"},
		"a hint":                 {[]string{"schedule", "show"}, "0 arguments given; or use --all; write: starter schedule show NAME | --all"},
		"two names":              {[]string{"objects", "a", "b"}, "exactly one argument"},
		"empty name":             {[]string{"objects", ""}, "exactly one argument"},
		"unknown in group":       {[]string{"secret", "print"}, `unknown command "print" for starter secret`},
		"unknown format":         {[]string{"status", "contoso", "-o", "yaml"}, "want table or json"},
		"format of another":      {[]string{"runs", "contoso", "-o", "jsonl"}, "want table or json"},
		"unknown type":           {[]string{"objects", "contoso", "--type", "Robot"}, "want User, Group or GroupMember"},
		"negative limit":         {[]string{"objects", "contoso", "--limit", "-1"}, "--limit -1"},
		"negative changes limit": {[]string{"changes", "contoso", "--limit", "-1"}, "--limit -1"},
		"negative runs limit":    {[]string{"runs", "contoso", "--limit", "-1"}, "--limit -1"},
		"negative since":         {[]string{"changes", "contoso", "--since", "-1"}, `"-1" is no offset`},
		"since is no number":     {[]string{"changes", "contoso", "--since", "yesterday"}, `"yesterday" is no offset`},
		"unknown mode":           {[]string{"run", "contoso", "--mode", "half"}, `--mode "half" is unknown`},
		"no cadence":             {[]string{"schedule", "apply", "contoso"}, "--every 15m"},
		"bad every":              {[]string{"schedule", "apply", "contoso", "--every", "often"}, `--every: "often" is no duration`},
		"fraction of a second":   {[]string{"schedule", "apply", "contoso", "--every", "1500ms"}, "whole seconds"},
		"bad reconcile":          {[]string{"schedule", "apply", "contoso", "--reconcile", "Sunday"}, `--reconcile: "Sunday" is no weekly slot`},
		"bad time zone":          {[]string{"schedule", "apply", "contoso", "--reconcile", "Sun 02:00", "--timezone", "Mars/Base"}, `--timezone: "Mars/Base" is no time zone`},
		"time zone alone":        {[]string{"schedule", "apply", "contoso", "--every", "15m", "--timezone", "UTC"}, "give both or neither"},
		"show nothing":           {[]string{"schedule", "show"}, "or use --all"},
		"show all and one":       {[]string{"schedule", "show", "contoso", "--all"}, "takes no argument"},
		"backfill from nowhere":  {[]string{"schedule", "backfill", "contoso"}, "--from"},
		"backfill backwards":     {[]string{"schedule", "backfill", "contoso", "--from", "2026-04-22T08:00:00Z", "--to", "2026-04-22T07:00:00Z"}, "is not before"},
		"backfill to come":       {[]string{"schedule", "backfill", "contoso", "--from", "2026-04-22T08:00:00Z", "--to", "2026-04-23T07:00:00Z"}, "still to come"},
		"watermark of nothing":   {[]string{"watermark", "set", "contoso"}, "in one way"},
		"watermark in two ways":  {[]string{"watermark", "set", "contoso", "--clear", "--users", "2026-04-22T08:00:00Z"}, "in one way"},
		"malformed watermark":    {[]string{"watermark", "set", "contoso", `{"u":"yesterday"}`}, `malformed watermark "{\"u\":\"yesterday\"}"`},
		"watermark without mark": {[]string{"watermark", "set", "contoso", "{}"}, "holds no stamp"},
		"approve unasked":        {[]string{"approve", someRun}, "--yes"},
		"no file":                {[]string{"connector", "apply"}, "-f FILE"},
		"file without -f":        {[]string{"connector", "apply", "contoso.json"}, "the file goes with -f"},
		"keep and purge":         {[]string{"connector", "delete", "contoso", "--keep-objects", "--purge"}, "choose one"},
		"malformed reference":    {[]string{"secret", "set", "contoso"}, "not a secret reference"},
		"init without a domain":  {[]string{"connector", "init"}, "--domain"},
		"init with a URL":        {[]string{"connector", "init", "--domain", "https://contoso.okta.com"}, "ConfigJson.OrgDomain"},
		"init with a URL, port":  {[]string{"connector", "init", "--domain", "http://127.0.0.1:1"}, "ConfigJson.OrgDomain"},
		"init with a token":      {[]string{"connector", "init", "--domain", "contoso.okta.com", "--ref", "tok"}, "not a secret reference"},
		"init with an odd name":  {[]string{"connector", "init", "--domain", "contoso.okta.com", "--name", "a b"}, `definition "a b": Name: must be`},
		"init without loopback":  {[]string{"connector", "init", "--domain", "contoso.okta.com", "--insecure-loopback"}, "InsecureLoopback"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.fails(exitUsage, tt.want, tt.args...)
			require.Contains(t, b.err.String(), "--help' for usage")
			require.Empty(t, b.temporal.started)
		})
	}
}

func TestUnknownConnector(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitError, "starter connector init", "status", "nobody")
	b.apply("contoso")
	b.apply("acme")
	for _, args := range [][]string{
		{"status", "nobody"}, {"run", "nobody", "--mode", "full"}, {"runs", "nobody"}, {"objects", "nobody"}, {"changes", "nobody"},
		{"connector", "show", "nobody"}, {"connector", "delete", "nobody"}, {"watch", "nobody"},
	} {
		b.fails(exitError, `connector "nobody" does not exist; known connectors: acme, contoso`, args...)
	}
	require.Empty(t, b.temporal.started)
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.apply("acme")
	b.stdin = strings.NewReader(canary)
	b.ok("secret", "set", "secret://okta/contoso/apitoken")

	require.Contains(t, b.ok("completion", "bash"), "starter")
	require.Equal(t, "acme\ncontoso\n:4\n", b.ok("__complete", "run", ""))
	require.Equal(t, "contoso\n:4\n", b.ok("__complete", "objects", "c"))
	require.Equal(t, ":4\n", b.ok("__complete", "objects", "contoso", ""))
	require.Equal(t, "secret://okta/contoso/apitoken\n:4\n", b.ok("__complete", "secret", "delete", ""), "what is stored")
	require.Equal(t, "secret://okta/acme/apitoken\nsecret://okta/contoso/apitoken\n:4\n", b.ok("__complete", "secret", "set", ""), "and what is named")
	require.Equal(t, "User\nGroup\nGroupMember\n:4\n", b.ok("__complete", "objects", "contoso", "--type", ""))
	require.Equal(t, "table\njson\njsonl\n:4\n", b.ok("__complete", "objects", "contoso", "-o", ""))
}

func TestClosedPipeEndsQuietly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	for _, err := range []error{syscall.EPIPE, io.ErrClosedPipe} {
		c := b.cli()
		c.stdout.w = &brokenPipe{n: 10, err: err}
		require.Zero(t, c.run(t.Context(), []string{"connector", "show", "contoso"}))
		require.Empty(t, b.err.String())
	}
	c := b.cli()
	c.stdout.w = &brokenPipe{n: 10, err: errDisk}
	require.Equal(t, exitError, c.run(t.Context(), []string{"connector", "show", "contoso"}))
	require.Contains(t, b.err.String(), errDisk.Error())

	c = b.cli()
	c.stdout.w = &brokenPipe{n: 10, err: errDisk}
	require.Equal(t, exitError, c.run(t.Context(), []string{"--help"}), "cobra drops the errors of its own output")
}

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// feedOf is what `feed show -o json` prints.
func (b *bench) feedOf(name string) (f mesh.Feed) {
	b.t.Helper()
	require.NoError(b.t, json.Unmarshal([]byte(b.ok("feed", "show", name, "-o", "json")), &f))
	return f
}

func TestRestored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitUsage, "needs exactly one argument", "restored")
	b.fails(exitUsage, "every connector", "restored", "contoso", "--all")
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil), object(mesh.User, "00u2", nil))
	b.ok("feed", "ack", "contoso", "3", "--reader", "warehouse")
	b.fails(exitUsage, "--yes", "restored", "--all")
	b.fails(exitError, `connector "nobody" does not exist`, "restored", "nobody", "--yes")
	b.ok("changes", "contoso", "--since", "4")
	require.Empty(t, b.err.String(), "there was one epoch only")
	before := b.feedOf("contoso")
	require.Equal(t, before.Epoch+":5", before.Offset)
	require.Regexp(t, `(?m)^contoso +\S+ \S+ +5 +- +- +warehouse$`, b.ok("restored", "--all", "--dry-run"))
	require.Equal(t, before, b.feedOf("contoso"))

	b.tty.stdin = true
	for _, answer := range []string{"n\n", "\n"} {
		b.stdin = strings.NewReader(answer)
		require.Equal(t, exitError, b.run("restored", "--all"))
		require.Contains(t, b.err.String(), "nothing was changed")
		require.Equal(t, before, b.feedOf("contoso"))
	}
	b.stdin = strings.NewReader("y\n")
	b.ok("restored", "--all")
	require.Contains(t, b.err.String(), "starter run contoso --mode full --wait")
	require.Contains(t, b.err.String(), "warehouse of contoso")
	after := b.feedOf("contoso")
	require.NotEqual(t, before.Epoch, after.Epoch)

	b.fails(exitReadAnew, after.Offset, "changes", "contoso", "--since", before.Epoch+":2", "-o", "jsonl")
	b.fails(exitReadAnew, "Read the objects anew", "changes", "contoso", "--since", "6")
	b.fails(exitReadAnew, after.Offset, "changes", "contoso", "--reader", "warehouse")
	b.fails(exitReadAnew, after.Offset, "changes", "contoso", "--reader", "warehouse", "--follow")
	b.fails(exitReadAnew, after.Offset, "feed", "ack", "contoso", "4", "--reader", "warehouse")
	require.Regexp(t, `(?m)^warehouse +3 +has to read anew `, b.ok("feed", "show", "contoso"))
	b.ok("feed", "ack", "contoso", after.Offset, "--reader", "warehouse")
	require.Regexp(t, `(?m)^warehouse +5 +0 `, b.ok("feed", "show", "contoso"))
	require.Empty(t, b.ok("changes", "contoso", "--since", after.Offset, "-o", "jsonl"))
	row := decodeLines[mesh.Change](t, b.ok("changes", "contoso", "--since", after.Epoch+":4", "-o", "jsonl"))[0]
	require.Equal(t, []any{after.Epoch, int64(5)}, []any{row.Epoch, row.Seq})
	require.Empty(t, b.err.String(), "the epoch is given")
	for _, f := range []string{"jsonl", "json", "table"} {
		text := b.ok("changes", "contoso", "--since", "4", "-o", f)
		require.NotContains(t, text, "warning")
		require.Regexp(t, `^warning: --since 4 is taken as .* write --since `+after.Epoch+`:4\n$`, b.err.String())
	}
	for _, args := range [][]string{{"--since", "0"}, {}} { // all of it, whatever the epoch
		b.ok(append([]string{"changes", "contoso", "-o", "jsonl"}, args...)...)
		require.Empty(t, b.err.String())
	}
	for _, bad := range []string{":4", "x", "-1", after.Epoch + ":", after.Epoch + ":-1", "a:b:1"} {
		b.fails(exitUsage, "is no offset", "changes", "contoso", "--since", bad)
	}

	var all []mesh.Restoration
	require.NoError(t, json.Unmarshal([]byte(b.ok("restored", "contoso", "--yes", "-o", "json")), &all))
	require.Equal(t, after.Epoch, all[0].OldEpoch)
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := filepath.Join(b.dir, "backups", "mesh.db")
	b.fails(exitUsage, "FILE", "backup")
	b.fails(exitError, "no such file", "backup", file)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.fails(exitError, "no such file", "backup", file)
	require.NoError(t, os.Mkdir(filepath.Dir(file), 0o700))
	require.Contains(t, b.ok("backup", file), file+": ")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	b.fails(exitError, "is there already", "backup", file)
	require.NoFileExists(t, file+"-wal")

	old := b.feedOf("contoso")
	b.seed("contoso", "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a12", object(mesh.User, "00u1", nil), object(mesh.User, "00u2", nil))
	newer := b.feedOf("contoso")
	require.Greater(t, newer.Last, old.Last)
	held := b.begin("contoso", "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a13")
	b.fails(exitUsage, "--yes", "restore", file)
	require.Regexp(t, `(?m)^contoso +\S+ \S+ +`+itoa(old.Last)+` `, b.ok("restore", file, "--dry-run"))
	require.Equal(t, newer, b.feedOf("contoso"))
	for name, text := range map[string]string{"empty": "", "text": "this is no database, although it is long enough to be taken for one: " + strings.Repeat("x", 4096)} {
		bad := filepath.Join(b.dir, name)
		require.NoError(t, os.WriteFile(bad, []byte(text), 0o600))
		b.fails(exitError, bad, "restore", bad, "--yes")
		require.Equal(t, newer, b.feedOf("contoso"), name)
	}
	b.fails(exitError, "no such file", "restore", filepath.Join(b.dir, "none"), "--yes")
	b.tty.stdin, b.stdin = true, strings.NewReader("n\n")
	require.Equal(t, exitError, b.run("restore", file))
	require.Equal(t, newer, b.feedOf("contoso"))

	b.withStore(func(ctx context.Context, open mesh.Store) { // as a worker has it open
		b.ok("restore", file, "--yes")
		var lost *mesh.RestoredError
		require.ErrorAs(t, open.Renew(ctx, held, time.Second), &lost)
	})
	now := b.feedOf("contoso")
	require.Equal(t, old.Last, now.Last)
	require.NotEqual(t, old.Epoch, now.Epoch, "it is told, too")
	require.NotContains(t, b.ok("objects", "contoso"), "00u2")
	left, err := filepath.Glob(filepath.Join(b.dir, "*.restore*"))
	require.NoError(t, err)
	require.Empty(t, left)
	again, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, info.ModTime(), again.ModTime(), "the backup is not changed")

	// To nothing at all: the machine is a new one.
	fresh := newBench(t)
	above := t.TempDir()
	fresh.dir = filepath.Join(above, "state", "identitymesh")
	require.Regexp(t, `(?m)^contoso `, fresh.ok("restore", file, "--dry-run"))
	fresh.tty.stdin, fresh.stdin = true, strings.NewReader("n\n")
	require.Equal(t, exitError, fresh.run("restore", file))
	require.Contains(t, fresh.err.String(), "nothing was changed")
	made, err := os.ReadDir(above)
	require.NoError(t, err)
	require.Empty(t, made, "a dry run leaves nothing behind")
	fresh.ok("restore", file, "--yes")
	require.Equal(t, old.Last, fresh.feedOf("contoso").Last)

	c := b.cli()
	c.database = func() (string, error) { return "postgres://db/mesh", nil }
	require.Equal(t, exitError, c.run(t.Context(), []string{"backup", filepath.Join(b.dir, "pg")}))
	require.Contains(t, b.err.String(), "pg_dump")
	c = b.cli()
	c.tty = fakeTerminal{}
	c.database = func() (string, error) { return "postgres://db/mesh", nil }
	require.Equal(t, exitError, c.run(t.Context(), []string{"restore", file}), "before anybody is asked for --yes")
	require.Contains(t, b.err.String(), "pg_restore")
	require.NotContains(t, b.err.String(), "--yes")
}

func TestScheduleExport(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.apply("fabrikam")
	b.apply("none")
	require.JSONEq(t, `[]`, b.ok("schedule", "export"))
	b.fails(exitError, "has no schedule", "schedule", "export", "none")
	b.ok(weekly...)
	b.ok("schedule", "apply", "fabrikam", "--every", "1h")
	b.ok("schedule", "pause", "fabrikam", "--note", "maintenance")
	text := b.ok("schedule", "export")
	require.JSONEq(t, `[{"connector":"contoso","every":"15m","reconcile":"Sun 02:00","timezone":"Europe/Berlin"},
		{"connector":"fabrikam","every":"1h","paused":true,"note":"paused by ada@desk: maintenance"}]`, text)
	file := filepath.Join(b.dir, "schedules.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	require.Contains(t, b.ok("schedule", "apply", "-f", file), "contoso unchanged")

	clear(b.temporal.schedules.all) // Temporal's state is lost
	out := b.ok("schedule", "apply", "-f", file)
	require.Contains(t, out, "contoso created: every 15m, reconcile Sun 02:00 Europe/Berlin")
	require.Contains(t, out, "fabrikam created: every 1h, no reconcile")
	require.Equal(t, text, b.ok("schedule", "export"), "paused as before")
	var results []applied
	require.NoError(t, json.Unmarshal([]byte(b.ok("schedule", "apply", "-f", file, "-o", "json")), &results))
	require.Equal(t, []string{"unchanged", "unchanged"}, []string{results[0].Result, results[1].Result})

	clear(b.temporal.schedules.all)
	b.fails(exitUsage, "the file says when", "schedule", "apply", "-f", file, "--every", "15m")
	b.fails(exitUsage, "names the connectors", "schedule", "apply", "contoso", "-f", file)
	for want, bad := range map[string]string{
		"schedule export":       `{"connector":"contoso"}`,
		"unknown field":         `[{"connector":"contoso","evry":"15m"}]`,
		"names no connector":    `[{"every":"15m"}]`,
		"twice":                 `[{"connector":"contoso","every":"15m"},{"connector":"contoso","every":"15m"}]`,
		"something follows":     `[] []`,
		`"nobody"`:              `[{"connector":"contoso","every":"15m"},{"connector":"nobody","every":"15m"}]`,
		`schedule of "contoso"`: `[{"connector":"fabrikam","every":"15m"},{"connector":"contoso","every":"often"}]`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
		require.NotZero(t, b.run("schedule", "apply", "-f", file), want)
		require.Contains(t, b.err.String(), want)
		require.Empty(t, b.temporal.schedules.all, "nothing was applied")
	}
}

func itoa(n int64) string { return mesh.Offset{Seq: n}.String() }

package mesh_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

func openTemp(t testing.TB) (*mesh.SQLite, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.db")
	return openFile(t, path), path
}

func openFile(t testing.TB, path string) *mesh.SQLite {
	t.Helper()
	s, err := mesh.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestSQLiteConformance(t *testing.T) {
	t.Parallel()
	meshtest.Run(t, func(t *testing.T) mesh.Store {
		s, _ := openTemp(t)
		return s
	})
}

// TestSQLiteConformanceInTinySteps lets crashes hit every boundary of Settle.
func TestSQLiteConformanceInTinySteps(t *testing.T) {
	t.Parallel()
	meshtest.RunSmall(t, func(t *testing.T) mesh.Store {
		s, _ := openTemp(t)
		s.TinySteps()
		return s
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := mesh.Open(t.Context(), "sqlite://"+filepath.ToSlash(dir)+"/a%20b/new/m?x#.db")
	require.NoError(t, err)
	require.NoError(t, s.Close())
	path := filepath.Join(dir, "a%20b", "new", "m?x#.db")
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), name)
	}
	for url, want := range map[string]string{
		"mesh.db":                "no known scheme",
		"user:hush@host/mesh.db": "no known scheme",
		"sqlite://host/mesh.db":  "names a host",
		"sqlite:":                "no file name",
	} {
		_, err := mesh.Open(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "hush")
	}
}

func TestOpenRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	_, path := openTemp(t)
	raw := openRaw(t, path)
	_, err := raw.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	require.NoError(t, err)
	_, err = mesh.OpenSQLite(t.Context(), path)
	require.ErrorContains(t, err, "use the newer release")
}

// openRaw opens the file beside the store, as an operator's tool does.
func openRaw(t testing.TB, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	return raw
}

func TestFirstOpenByManyGoroutines(t *testing.T) {
	t.Parallel()
	onEachURL(t, testFirstOpenByManyGoroutines)
}

func testFirstOpenByManyGoroutines(t *testing.T, url string) {
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() {
			s, err := mesh.Open(t.Context(), url)
			if err == nil {
				_, err = s.ApplyConnector(t.Context(), mesh.Connector{Name: fmt.Sprint("c", i), Type: "Okta"})
				err = errors.Join(err, s.Close())
			}
			errs[i] = err
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	all, err := openURL(t, url).ListConnectors(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(errs))
}

// helperEnv makes the test binary a process of its own that works on a database.
const helperEnv = "MESH_TEST_DATABASE"

// TestHelperProcess is the body of such a process: it opens the database and imports
// into a connector of its own while the others do the same. Before it ends a run it
// waits for the end of its input.
func TestHelperProcess(t *testing.T) {
	t.Parallel()
	url, name, ok := strings.Cut(os.Getenv(helperEnv), "|")
	if !ok {
		t.Skip("runs only as a child of another test")
	}
	s, err := mesh.Open(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.ApplyConnector(t.Context(), mesh.Connector{Name: name, Type: "Okta"})
	require.NoError(t, err)
	for n := range 3 {
		importPages(t, s, name, n, func() { _, _ = io.Copy(io.Discard, os.Stdin) })
	}
}

// importPages is the n-th run of a connector: 20 pages of 10 users, from where an
// earlier attempt got to. It prints a line for each page, and calls beforeLast before
// the last one.
func importPages(t *testing.T, s mesh.Store, name string, n int, beforeLast func()) {
	t.Helper()
	f, err := s.Begin(t.Context(), mesh.BeginRun{Connector: name, RunID: fmt.Sprint(name, n), LeaseTTL: time.Minute})
	require.NoError(t, err)
	done, err := s.Claim(t.Context(), f, "users", fmt.Sprint("process ", os.Getpid()))
	require.NoError(t, err)
	for p := done.Page + 1; p <= 20; p++ {
		if p == 20 {
			beforeLast()
		}
		page := mesh.ObjectPage{Import: true, Page: mesh.Page{
			Stream: "users", Owner: fmt.Sprint("process ", os.Getpid()), Number: p, Next: fmt.Sprint("n", p), Done: p == 20, Calls: mesh.Calls{API: 1},
		}}
		for i := range 10 {
			id := fmt.Sprintf("u%d-%d", p, i)
			page.Objects = append(page.Objects, mesh.Object{
				Type: mesh.User, OktaID: id, ExternalID: id, Attributes: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Hash: []byte(fmt.Sprint(n)),
			})
		}
		_, err = s.WriteObjects(t.Context(), f, page)
		require.NoError(t, err)
		fmt.Println("page", p)
	}
	_, err = s.Commit(t.Context(), f, mesh.CommitRun{Watermark: mesh.Watermark{}, UsersFull: true, GroupsFull: true})
	require.NoError(t, err)
}

// helper is a process that runs TestHelperProcess.
func helper(t *testing.T, url, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelperProcess$") // #nosec G204 G702 -- this very binary
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s", helperEnv, url, name))
	return cmd
}

func TestKilledProcessIsResumed(t *testing.T) {
	t.Parallel()
	onEachURL(t, testKilledProcessIsResumed)
}

func testKilledProcessIsResumed(t *testing.T, url string) {
	cmd := helper(t, url, "c")
	_, err := cmd.StdinPipe() // open until it is killed: it cannot end before, however slow this process is
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "page 7" {
			require.NoError(t, cmd.Process.Kill())
			break
		}
	}
	require.Error(t, cmd.Wait(), "killed")
	s := openURL(t, url)
	run, err := s.Run(t.Context(), "c0")
	require.NoError(t, err)
	require.Empty(t, run.Outcome)
	require.GreaterOrEqual(t, run.APICalls, 7)
	importPages(t, s, "c", 0, func() {})
	run, err = s.Run(t.Context(), "c0")
	require.NoError(t, err)
	require.Equal(t, 20, run.APICalls, "no page is read again")
	seen := map[string]bool{}
	for c, err := range s.Changes(t.Context(), mesh.ChangeQuery{Connector: "c"}) {
		require.NoError(t, err)
		require.Equal(t, mesh.Add, c.Op)
		require.EqualValues(t, len(seen)+1, c.Seq)
		seen[c.ExternalID] = true
	}
	require.Len(t, seen, 200)
}

func TestFirstOpenByManyProcesses(t *testing.T) {
	t.Parallel()
	onEachURL(t, testFirstOpenByManyProcesses)
}

func testFirstOpenByManyProcesses(t *testing.T, url string) {
	var wg sync.WaitGroup
	const processes = 8
	outs, errs := make([][]byte, processes), make([]error, processes)
	for i := range processes {
		cmd := helper(t, url, fmt.Sprint("c", i))
		wg.Go(func() { outs[i], errs[i] = cmd.CombinedOutput() })
	}
	wg.Wait()
	for i := range processes {
		require.NoError(t, errs[i], "%s", outs[i])
	}
	s := openURL(t, url)
	for i := range processes {
		name, want := fmt.Sprint("c", i), int64(0)
		for c, err := range s.Changes(t.Context(), mesh.ChangeQuery{Connector: name}) {
			require.NoError(t, err)
			want++
			require.Equal(t, want, c.Seq)
		}
		require.EqualValues(t, 600, want)
	}
}

// TestTwoHandlesOneLease has two processes' worth of handles fight for a lease.
func TestTwoHandlesOneLease(t *testing.T) {
	t.Parallel()
	onEachURL(t, testTwoHandlesOneLease)
}

func testTwoHandlesOneLease(t *testing.T, url string) {
	a, b := openURL(t, url), openURL(t, url)
	_, err := a.ApplyConnector(t.Context(), mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	for round := range 20 {
		var wg sync.WaitGroup
		var errs [2]error
		for i, s := range []mesh.Store{a, b} {
			wg.Go(func() {
				_, errs[i] = s.Begin(t.Context(), mesh.BeginRun{Connector: "c", RunID: fmt.Sprint(round, "-", i), LeaseTTL: time.Minute})
			})
		}
		wg.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		var held *mesh.LeaseHeldError
		require.NoError(t, errs[winner])
		require.ErrorAs(t, errs[1-winner], &held)
		require.Equal(t, fmt.Sprint(round, "-", winner), held.RunID)
		_, err = b.End(t.Context(), held.RunID, mesh.Failed, "x")
		require.NoError(t, err)
	}
}

func TestMalformedWatermark(t *testing.T) {
	t.Parallel()
	s, path := openTemp(t)
	ctx := t.Context()
	_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	commit := func(id string, w mesh.Watermark) *mesh.Run {
		f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: id, LeaseTTL: time.Minute})
		require.NoError(t, err)
		run, err := s.Commit(ctx, f, mesh.CommitRun{Watermark: w, UsersFull: true, GroupsFull: true})
		require.NoError(t, err)
		return run
	}
	mark := mesh.NewMark(time.Date(2026, 4, 22, 8, 0, 0, 0, time.UTC))
	commit("r1", mesh.Watermark{Users: mark, Groups: mark})
	edit := func(text any) {
		_, err := openRaw(t, path).ExecContext(ctx, `UPDATE im_watermarks SET watermark = ?`, text)
		require.NoError(t, err)
	}
	edit("yesterday")
	raw, err := s.RawWatermark(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, "yesterday", raw)
	require.Nil(t, commit("r2", mesh.Watermark{}).Watermark)
	raw, err = s.RawWatermark(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, "yesterday", raw, "a run without a mark has nothing to replace it with")
	earlier := mesh.NewMark(mark.Add(-time.Hour))
	require.Equal(t, &mesh.Watermark{Users: earlier}, commit("r3", mesh.Watermark{Users: earlier}).Watermark)
	for i, text := range []any{nil, "null", ""} {
		edit(text)
		require.Equal(t, &mesh.Watermark{Groups: earlier}, commit(fmt.Sprint("n", i), mesh.Watermark{Groups: earlier}).Watermark)
	}
}

func TestWorkingRowsAreDropped(t *testing.T) {
	t.Parallel()
	s, path := openTemp(t)
	ctx, raw := t.Context(), openRaw(t, path)
	_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	work := func(id string) mesh.Fence {
		var f mesh.Fence
		require.Eventually(t, func() bool {
			f, err = s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: id, LeaseTTL: time.Millisecond})
			return err == nil
		}, 10*time.Second, time.Millisecond)
		object := func(typ mesh.ObjectType, id, external string) mesh.Object {
			return mesh.Object{Type: typ, OktaID: id, ExternalID: external, Attributes: []byte(`{}`), Hash: []byte{1}}
		}
		for _, stream := range []string{"users", "members"} {
			_, err = s.Claim(ctx, f, stream, "me")
			require.NoError(t, err)
		}
		_, err = s.WriteObjects(ctx, f, mesh.ObjectPage{
			Page:   mesh.Page{Stream: "users", Owner: "me", Number: 1, Next: "x"},
			Import: true, Queue: &mesh.QueueRule{All: true},
			Objects: []mesh.Object{object(mesh.Group, "g1", "g1"), object(mesh.User, "u1", "same"), object(mesh.User, "u2", "same")},
		})
		require.NoError(t, err)
		_, err = s.WriteMembers(ctx, f, mesh.MemberPage{
			Page: mesh.Page{Stream: "members", Owner: "me", Number: 1, Next: "y"}, GroupID: "g1", Members: []mesh.Member{{OktaID: "u1"}},
		})
		require.NoError(t, err)
		return f
	}
	rows := func(run string) map[string]int {
		left := map[string]int{}
		for _, table := range []string{"im_progress", "im_visited", "im_seen", "im_seen_edges", "im_member_queue", "im_staged"} {
			where := ` WHERE run_key = (SELECT key FROM im_runs WHERE run_id = ?)`
			if table == "im_visited" || table == "im_seen_edges" {
				where = ` WHERE progress_key IN (SELECT key FROM im_progress` + where + `)`
			}
			var n int
			require.NoError(t, raw.QueryRowContext(ctx, `SELECT count(*) FROM `+table+where, run).Scan(&n)) // #nosec G202 -- fixed names
			if n > 0 {
				left[table] = n
			}
		}
		return left
	}
	work("r1")
	require.Len(t, rows("r1"), 6)
	work("r2") // takes over
	require.Empty(t, rows("r1"))
	_, err = s.End(ctx, "r2", mesh.Failed, "x")
	require.NoError(t, err)
	require.Empty(t, rows("r2"))
	f := work("r3")
	_, err = s.Commit(ctx, f, mesh.CommitRun{Watermark: mesh.Watermark{}, UsersFull: true, GroupsFull: true})
	require.NoError(t, err)
	require.Empty(t, rows("r3"))
}

package integration

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestFilesAreTheUsersAlone has every command that makes a file make it under the most
// generous umask.
func TestFilesAreTheUsersAlone(t *testing.T) { //nolint:paralleltest // the umask is the process's
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2)}, nil)
	require.NoError(t, os.Chmod(w.stack.Dir, 0o700)) //nolint:gosec // a folder; the test's own is the test's affair
	state := filepath.Join(w.stack.Dir, "state")
	file := func(name string) string { return filepath.Join(state, name) }
	w.vars = []string{
		"IDENTITYMESH_DB=sqlite://" + file("mesh.db"), "IDENTITYMESH_KEY_FILE=" + file("keys/secrets.key"),
		"IDENTITYMESH_CODEC_KEY_FILE=" + file("keys/codec.key"),
	}
	w.ok(w.starter("", "codec", "key", "add"))
	w.ok(w.starter("oktasim-token\n", "secret", "set", "secret://okta/contoso/apitoken"))
	w.define(nil)
	worker := w.worker("--cpu-profile", file("cpu.prof"))
	w.completed()
	w.private(state, "mesh.db", "mesh.db-wal", "mesh.db-shm", "secrets.key", "codec.key", "cpu.prof")
	require.NoError(t, worker.Stop())
	w.private(state, "mesh.db", "secrets.key", "codec.key", "cpu.prof")
}

// private requires that a folder, all that is in it, and at least the named files are
// the user's alone.
func (w *world) private(dir string, names ...string) {
	w.Helper()
	require.NoError(w, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(w, err)
		info, err := d.Info()
		require.NoError(w, err)
		require.Zero(w, info.Mode().Perm()&0o077, "%s has mode %o", path, info.Mode().Perm())
		names = slices.DeleteFunc(names, func(n string) bool { return n == d.Name() })
		return nil
	}))
	require.Empty(w, names, "made")
}

// TestListeners lists the listening sockets of every binary with its default settings:
// all are on loopback.
func TestListeners(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil {
		t.Skip("SKIPPED: the sockets of a process are read from /proc, which is Linux's:", err)
	}
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2)}, nil)
	w.encrypted()
	worker, err := w.stack.Worker(t.Context(), w.env(), "--log-level", "debug") // with its metrics, on 9464 or another port
	require.NoError(t, err)
	serve := w.stack.Command(t.Context(), "codec", "serve", "--addr", "127.0.0.1:0")
	serve.Env = append(serve.Env, w.env()...)
	says, err := serve.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, serve.Start())
	t.Cleanup(func() { _ = serve.Process.Kill(); _ = serve.Wait() })
	line, err := bufio.NewReader(says).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "Codec server: http://127.0.0.1:")
	sim, _, err := w.stack.Oktasim(t.Context(), "--users", "5", "--groups", "1")
	require.NoError(t, err)
	for name, tc := range map[string]struct{ pid, atLeast int }{
		"worker":              {worker.Pid(), 1},
		"temporal-dev":        {temporalProcess.Pid(), 2},
		"oktasim":             {sim.Pid(), 1},
		"starter codec serve": {serve.Process.Pid, 1},
	} {
		addrs := listeners(t, tc.pid)
		require.GreaterOrEqual(t, len(addrs), tc.atLeast, name)
		for _, addr := range addrs {
			require.True(t, addr.IsLoopback(), "%s listens on %s", name, addr)
		}
	}
	w.completed()
	requireImpersonal(w, metricsOf(w, worker))
}

// listeners are the addresses that a process listens on.
func listeners(t *testing.T, pid int) (addrs []net.IP) {
	t.Helper()
	inodes := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil { // it may be closed meanwhile
			inodes[strings.Trim(strings.TrimPrefix(to, "socket:"), "[]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		require.NoError(t, err)
		for _, row := range strings.Split(string(text), "\n")[1:] {
			const local, state, inode, listening = 1, 3, 9, "0A"
			f := strings.Fields(row)
			if len(f) <= inode || f[state] != listening || !inodes[f[inode]] {
				continue
			}
			host, _, _ := strings.Cut(f[local], ":")
			addrs = append(addrs, parseIP(t, host))
		}
	}
	return addrs
}

// parseIP reads an address as /proc writes it: words of four bytes, the lowest first.
func parseIP(t *testing.T, hex string) net.IP {
	t.Helper()
	ip := make(net.IP, len(hex)/2)
	for i := range ip {
		_, err := fmt.Sscanf(hex[2*i:2*i+2], "%02X", &ip[i/4*4+3-i%4])
		require.NoError(t, err)
	}
	return ip
}

// metricsOf scrapes a worker's metrics, once it has had the time to count an import.
func metricsOf(w *world, worker interface{ Output() string }) string {
	w.Helper()
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+/metrics`).FindString(worker.Output())
	require.NotEmpty(w, url, "the worker says where")
	var text string
	waitFor(w, "the metrics count an import", func() bool {
		text = get(w, url)
		return strings.Contains(text, "identitymesh_okta_calls")
	})
	return text
}

// get reads a page of a process.
func get(w *world, url string) string {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(w, err)
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	require.NoError(w, err)
	defer resp.Body.Close() //nolint:errcheck // read to its end
	var b strings.Builder
	_, err = bufio.NewReader(resp.Body).WriteTo(&b)
	require.NoError(w, err)
	return b.String()
}

// label is one label of a metric.
var label = regexp.MustCompile(`(\w+)="([^"]*)"`)

// requireImpersonal requires that the labels of metrics are of a known kind: names of
// our own, templates of endpoints, never an id, a URL or a name of the directory.
func requireImpersonal(w *world, metrics string) {
	w.Helper()
	requireNobody(w, metrics)
	known := map[string]string{
		"endpoint": `^(GET |POST )?/[a-z0-9/_.{}-]*$`, "bucket": `^/[a-z0-9/_.{}*-]*$`, "connector": `^contoso-\d+$`, "org": `^[a-z0-9.-]+(:\d+)?$`,
		"le": `^[0-9.e+-]+$|^\+Inf$`, "status": `^[0-9a-z_]+$`, "task_queue": `^` + regexp.QuoteMeta(w.queue) + `|^[\w-]*:[0-9a-f-]+$|^temporal-sys-|^none$|^$`,
	}
	const name = `^[A-Za-z0-9_.-]*$` // of workflows, activities, operations, types
	seen := map[string]bool{}
	for _, m := range label.FindAllStringSubmatch(metrics, -1) {
		pattern, ok := known[m[1]]
		if !ok {
			pattern = name
		}
		require.Regexp(w, pattern, m[2], "label %s", m[1])
		require.NotRegexp(w, `^00[ug][0-9A-Za-z]{10,}`, m[2], "label %s is an Okta id", m[1])
		seen[m[1]] = true
	}
	require.Contains(w, seen, "endpoint", "the labels are read")
}

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
)

// asProgram makes the test binary run main instead of the tests, so that signals
// and exit codes are tested on a real process without linking a second binary.
const asProgram = "TEMPORAL_DEV_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process is a temporal-dev of its own on free ports.
type process struct {
	cmd     *exec.Cmd
	stderr  *bytes.Buffer // read only after ended
	ended   chan struct{}
	address string
	uiURL   string
}

func launch(t *testing.T, args ...string) *process {
	t.Helper()
	// The process outlives the test's context on purpose: cleanup ends it.
	ctx := context.WithoutCancel(t.Context())
	p := &process{
		cmd:    exec.CommandContext(ctx, os.Args[0], args...), //nolint:gosec // our own binary
		stderr: &bytes.Buffer{},
		ended:  make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = p.stderr
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// launchReady also waits for the address file.
func launchReady(t *testing.T, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "address")
	p := launch(t, append([]string{"--port", "0", "--ui-port", "0", "--address-file", file}, args...)...)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(file); err == nil {
			lines := strings.Split(string(text), "\n")
			require.Len(t, lines, 3, "two whole lines, whenever it is read")
			p.address, p.uiURL = lines[0], lines[1]
			return p
		}
		select {
		case <-p.ended:
			require.FailNow(t, "temporal-dev ended before it was ready", p.stderr.String())
		case <-t.Context().Done():
			require.FailNow(t, "out of time")
		case <-tick.C:
		}
	}
}

// wait returns the exit code and what was printed; -1 after a signal.
func (p *process) wait(t *testing.T, limit time.Duration) (code int, stderr string) {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), p.stderr.String()
	case <-time.After(limit):
		require.FailNow(t, "temporal-dev did not end", "within %s", limit)
		return 0, ""
	}
}

func TestProcessStopsOnSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			p := launchReady(t)
			// A worker's open polls must not hold the stop up.
			w := worker.New(dial(t, p.address, "default"), "polled", worker.Options{})
			require.NoError(t, w.Start())
			t.Cleanup(w.Stop)
			require.NoError(t, p.cmd.Process.Signal(sig))
			code, stderr := p.wait(t, 5*time.Second)
			require.Equal(t, 0, code, stderr)
			require.Equal(t, "Temporal: "+p.address+"\nWeb UI: "+p.uiURL+"\n", stderr, "nothing else is printed")
		})
	}
}

// TestProcessSurvivesKill starts workflows, kills the server with SIGKILL and
// finds them again on the same file.
func TestProcessSurvivesKill(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "dev.db")
	start := func(p *process, id string) {
		c := dial(t, p.address, "default")
		_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: id, TaskQueue: "nobody-polls",
			TypedSearchAttributes: temporal.NewSearchAttributes(
				temporal.NewSearchAttributeKeyKeyword("IdentityMeshConnector").ValueSet("contoso")),
		}, "ImportWorkflow")
		require.NoError(t, err)
	}
	first := launchReady(t, "--db", db)
	start(first, "before")
	require.NoError(t, first.cmd.Process.Kill())
	first.wait(t, 5*time.Second)

	// The second start also names an attribute that the file does not have yet.
	second := launchReady(t, "--db", db, "--search-attribute", "Region=Keyword")
	c := dial(t, second.address, "default")
	found, err := c.DescribeWorkflow(t.Context(), "before", "")
	require.NoError(t, err)
	connector, ok := found.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword("IdentityMeshConnector"))
	require.True(t, ok)
	require.Equal(t, "contoso", connector)
	start(second, "after")

	// A file has one server at a time.
	third := launch(t, "--port", "0", "--ui-port", "0", "--db", db)
	code, stderr := third.wait(t, 10*time.Second)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "is in use by another process")
}

func TestProcessTakenPort(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	for name, args := range map[string][]string{
		"--port":    {"--port", port, "--ui-port", "0"},
		"--ui-port": {"--port", "0", "--ui-port", port},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stderr := launch(t, args...).wait(t, 10*time.Second)
			require.Equal(t, 1, code)
			require.Equal(t, "temporal-dev: 127.0.0.1:"+port+" is taken by another process: stop that one, "+
				"or choose another port with "+name+" (0 picks a free one)\n", stderr)
		})
	}
}

// TestProcessListensOnLoopbackOnly looks at every socket of the process, not at
// those we know of.
func TestProcessListensOnLoopbackOnly(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: reads /proc")
	}
	p := launchReady(t)
	listening := listeners(t, p.cmd.Process.Pid)
	require.Contains(t, listening, p.address)
	require.Len(t, listening, 5, "frontend, Web UI and three inner services: %v", listening)
	for _, addr := range listening {
		host, _, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		require.True(t, net.ParseIP(host).IsLoopback(), addr)
	}
}

// listeners reads the TCP sockets of a process in state LISTEN from /proc.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid)
	fds, err := filepath.Glob(filepath.Join(dir, "fd", "*"))
	require.NoError(t, err)
	var sockets []string
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			sockets = append(sockets, target)
		}
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(dir, "net", table))
		if os.IsNotExist(err) {
			continue // a kernel without IPv6
		}
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			const stateListen = "0A"
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == stateListen && slices.Contains(sockets, "socket:["+f[9]+"]") {
				found = append(found, procAddress(t, f[1]))
			}
		}
	}
	return found
}

// procAddress decodes /proc's "0100007F:1C41": words of the address in the
// machine's byte order (little-endian wherever we test), port in hex.
func procAddress(t *testing.T, text string) string {
	t.Helper()
	host, port, ok := strings.Cut(text, ":")
	require.True(t, ok)
	ip, err := hex.DecodeString(host)
	require.NoError(t, err)
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	p, err := hex.DecodeString(port)
	require.NoError(t, err)
	return hostPort(ip, int(p[0])<<8|int(p[1]))
}

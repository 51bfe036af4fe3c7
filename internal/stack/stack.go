package stack

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Stack is where the binaries are and where their state goes.
type Stack struct {
	Bin string    // folder of worker, starter, oktasim and temporal-dev
	Dir string    // state folder; made when missing
	Log io.Writer // gets every process's standard error; nil: nobody
	DB  string    // URL of the mesh; "": an SQLite file in Dir

	TemporalAddr string // set by Temporal
	UIURL        string // set by Temporal
	procs        []*Process
}

// startTimeout is how long a process may take to be ready.
const startTimeout = time.Minute

// Temporal starts the Temporal server and its Web UI on free ports; --port and the
// like in args choose others.
func (s *Stack) Temporal(ctx context.Context, args ...string) (*Process, error) {
	file := filepath.Join(s.Dir, "temporal.addr")
	p, err := s.ready(ctx, "temporal-dev", append([]string{"--port", "0", "--ui-port", "0", "--address-file", file}, args...), file)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the address of temporal-dev: %w", err)
	}
	lines := strings.Fields(string(b))
	if len(lines) < 2 {
		return nil, fmt.Errorf("temporal-dev wrote no addresses: %q", b)
	}
	s.TemporalAddr, s.UIURL = lines[0], lines[1]
	return p, nil
}

// Oktasim starts a simulated org on a free port and returns its host:port.
func (s *Stack) Oktasim(ctx context.Context, args ...string) (p *Process, addr string, err error) {
	file := filepath.Join(s.Dir, "oktasim.addr")
	if p, err = s.ready(ctx, "oktasim", append([]string{"--addr", "127.0.0.1:0", "--addr-file", file}, args...), file); err != nil {
		return nil, "", err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("read the address of oktasim: %w", err)
	}
	return p, strings.TrimSpace(string(b)), nil
}

// Worker starts a worker and waits until it polls.
func (s *Stack) Worker(ctx context.Context, env []string, args ...string) (*Process, error) {
	p, err := s.run("worker", args, env)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err = p.WaitFor(ctx, "Worker is ready")
	return p, err
}

// Database is the URL of the stack's mesh.
func (s *Stack) Database() string {
	return cmp.Or(s.DB, "sqlite://"+filepath.Join(s.Dir, "mesh.db"))
}

// Env is the environment under which worker and starter use this stack.
func (s *Stack) Env() []string {
	return []string{
		"TEMPORAL_ADDRESS=" + s.TemporalAddr,
		"TEMPORAL_NAMESPACE=default",
		"TEMPORAL_CONFIG_FILE=" + filepath.Join(s.Dir, "no-temporal-profile.toml"),
		"XDG_STATE_HOME=" + s.Dir,
		"IDENTITYMESH_DB=" + s.Database(),
		"IDENTITYMESH_KEY_FILE=" + filepath.Join(s.Dir, "secrets.key"),
	}
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Starter runs one command of the starter to its end.
func (s *Stack) Starter(ctx context.Context, env []string, stdin string, args ...string) (Result, error) {
	cmd := s.Command(ctx, args...)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		err = nil
	}
	return r, err
}

// Command returns a starter command under this stack's environment, for callers that
// connect its streams themselves.
func (s *Stack) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.Bin, "starter"), args...) //nolint:gosec // our own binary
	cmd.Env = append(os.Environ(), s.Env()...)
	return cmd
}

// Close stops everything, the last started first.
func (s *Stack) Close() error {
	var errs []error
	for i := len(s.procs) - 1; i >= 0; i-- {
		select {
		case <-s.procs[i].Done(): // already ended
		default:
			if err := s.procs[i].Stop(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.procs[i].Name, err))
			}
		}
	}
	s.procs = nil
	return errors.Join(errs...)
}

func (s *Stack) run(name string, args, env []string) (*Process, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	p, err := start(filepath.Join(s.Bin, name), args, append(s.Env(), env...), s.Log)
	if err != nil {
		return nil, err
	}
	s.procs = append(s.procs, p)
	return p, nil
}

// ready starts a process and waits until it has written its address file.
func (s *Stack) ready(ctx context.Context, name string, args []string, file string) (*Process, error) {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove an old address file: %w", err)
	}
	p, err := s.run(name, args, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(file); err == nil && bytes.HasSuffix(b, []byte("\n")) {
			return p, nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return nil, fmt.Errorf("%s ended before it was ready:\n%s", name, p.Output())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s was not ready in time: %w\n%s", name, ctx.Err(), p.Output())
		}
	}
}

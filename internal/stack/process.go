// Package stack runs the product's own binaries as processes on free loopback
// ports: for the demo, for `make up`, and for the integration tests, which kill them.
package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running binary. Its standard error is kept, for messages and tests.
type Process struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced with every line
}

// maxLines bounds what is kept of a process's standard error.
const maxLines = 20_000

// start runs bin with args and env added to this process's environment. Each line of
// its standard error also goes to log, when not nil.
func start(bin string, args, env []string, log io.Writer) (*Process, error) {
	p := &Process{Name: filepath.Base(bin), done: make(chan struct{}), news: make(chan struct{})}
	p.cmd = exec.Command(bin, args...) //nolint:noctx,gosec // our own binary; its life ends with Stop or Kill, not with a context
	p.cmd.Env = append(os.Environ(), env...)
	// A Ctrl-C on the terminal is for the program that holds the stack: it stops the
	// others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; run `make build` first", p.Name, err)
	}
	go func() {
		scan := bufio.NewScanner(stderr)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			p.add(scan.Text())
			if log != nil {
				fmt.Fprintln(log, scan.Text())
			}
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *Process) add(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) < maxLines {
		p.lines = append(p.lines, line)
	}
	close(p.news)
	p.news = make(chan struct{})
}

// Output is what the process wrote to standard error so far.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// WaitFor returns the first line that contains text.
func (p *Process) WaitFor(ctx context.Context, text string) (string, error) {
	for seen := 0; ; {
		p.mu.Lock()
		lines, news := p.lines, p.news
		p.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen], text) {
				return lines[seen], nil
			}
		}
		select {
		case <-news:
		case <-p.done:
			return "", fmt.Errorf("%s ended before it said %q: %w\n%s", p.Name, text, errors.Join(p.err, io.EOF), p.Output())
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q: %w\n%s", p.Name, text, ctx.Err(), p.Output())
		}
	}
}

// Kill ends the process as `kill -9` does and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// stopTimeout is how long a process may take to end when asked to.
const stopTimeout = 40 * time.Second

// Stop asks the process to end, waits for it, and returns how it ended.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("%s did not stop within %s and was killed", p.Name, stopTimeout)
	}
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends the process a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Code waits for the end of the process and returns its exit code, -1 when a signal ended
// it.
func (p *Process) Code() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

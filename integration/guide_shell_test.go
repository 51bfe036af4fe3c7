package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guideShell is one bash for the whole guide, as its reader has: what a block sets or
// starts is there for the next. A block is a script of its own; "set -e" ends everything
// with the first command that fails.
type guideShell struct {
	dir    string // of the scripts
	cmd    *exec.Cmd
	blocks int
	ask    *os.File
	answer *bufio.Reader
	ended  chan error
}

// guideLoop runs the scripts that it is told on descriptor 3: "f FILE" one that may fail,
// "s FILE" one that must not.
const guideLoop = `set -euo pipefail
while IFS= read -r line <&3; do
  file=${line#? } code=0
  case $line in
  f*) source "$file" </dev/null >"$file.out" 2>&1 3<&- 4>&- || code=$? ;;
  *) source "$file" </dev/null >"$file.out" 2>&1 3<&- 4>&- ;;
  esac
  echo "$code" >&4
done`

// blockTimeout is far more than any block takes.
const blockTimeout = 2 * time.Minute

func newGuideShell(scripts, home string, env []string) (*guideShell, error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return nil, err
	}
	in, ask, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answer, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s := &guideShell{dir: scripts, ask: ask, answer: bufio.NewReader(answer), ended: make(chan error, 1)}
	s.cmd = exec.Command(bash, "--noprofile", "--norc", "-c", guideLoop) //nolint:noctx // its life ends with close
	s.cmd.Dir, s.cmd.Env = home, env
	s.cmd.ExtraFiles = []*os.File{in, out}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with all that it starts
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.ended <- s.cmd.Wait() }()
	return s, errors.Join(in.Close(), out.Close())
}

// run runs a block and returns what it printed. An exit code that the block does not
// announce is an error, and ends the shell.
func (s *guideShell) run(ctx context.Context, step guideStep) (string, error) {
	s.blocks++
	file := filepath.Join(s.dir, fmt.Sprintf("%03d.sh", s.blocks))
	if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
		return "", err
	}
	how := "s"
	if step.code != 0 {
		how = "f"
	}
	if _, err := fmt.Fprintln(s.ask, how, file); err != nil {
		return "", err
	}
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := s.answer.ReadString('\n')
		answers <- answer{line, err}
	}()
	printed := func() string {
		out, err := os.ReadFile(file + ".out")
		if err != nil {
			return err.Error()
		}
		return string(out)
	}
	select {
	case a := <-answers:
		if a.err != nil {
			return printed(), fmt.Errorf("a command failed: %w", <-s.ended)
		}
		if code, err := strconv.Atoi(strings.TrimSpace(a.line)); err != nil || code != step.code {
			return printed(), fmt.Errorf("exit code %s, the guide says %d", strings.TrimSpace(a.line), step.code)
		}
		return printed(), nil
	case <-ctx.Done():
		return printed(), ctx.Err()
	case <-time.After(blockTimeout):
		return printed(), fmt.Errorf("it has not ended after %s", blockTimeout)
	}
}

// close kills the shell and everything that it has started.
func (s *guideShell) close() error {
	err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) { // all has ended
		err = nil
	}
	return errors.Join(err, s.ask.Close())
}

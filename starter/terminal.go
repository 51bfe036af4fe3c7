package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/identitymesh/okta-connector/secrets"
)

// terminal is what the commands ask of the terminal they run in.
type terminal interface {
	// StdinIsTerminal tells whether questions can be asked.
	StdinIsTerminal() bool
	// ReadPassword reads a line of standard input without echo.
	ReadPassword(ctx context.Context) ([]byte, error)
	// StdoutWidth and StderrWidth are the columns, 0 when that is no terminal.
	StdoutWidth() int
	StderrWidth() int
}

// osTerminal is the terminal of this process.
type osTerminal struct{}

func (osTerminal) StdinIsTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }
func (osTerminal) StdoutWidth() int      { return width(os.Stdout) }
func (osTerminal) StderrWidth() int      { return width(os.Stderr) }

func width(f *os.File) int {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) {
		return 0
	}
	w, _, err := term.GetSize(fd)
	if err != nil || w <= 0 {
		return 80
	}
	return w
}

// ReadPassword puts the echo back when ctx ends first: a Ctrl-C at the question
// must not leave the shell mute.
func (osTerminal) ReadPassword(ctx context.Context) ([]byte, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("read without echo: %w", err)
	}
	value, err := await(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
	return value, err
}

// await returns what f returns, or ctx's error when that comes first; f, which is
// stuck in a read of the terminal, is then left behind.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// asker asks questions on standard error and reads the answers from standard input.
type asker struct {
	c     *cli
	lines *bufio.Reader
}

func (c *cli) asker() *asker { return &asker{c: c, lines: bufio.NewReader(c.stdin)} }

// line asks for a line; an empty answer means def.
func (a *asker) line(ctx context.Context, question, def string) (string, error) {
	if def != "" {
		question += " [" + def + "]"
	}
	if _, err := fmt.Fprint(a.c.stderr, question+": "); err != nil {
		return "", fmt.Errorf("ask a question: %w", err)
	}
	answer, err := await(ctx, func() (string, error) { return a.lines.ReadString('\n') })
	if err != nil && (!errors.Is(err, io.EOF) || answer == "") {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer == "" {
		return def, nil
	}
	return answer, nil
}

// readSecret reads a secret value: from the terminal without echo, or else all of
// standard input. The value is as it was sent; [secrets.TableStore.Set] trims one
// trailing newline and judges the rest. It appears in no message.
func (c *cli) readSecret(ctx context.Context, question string) ([]byte, error) {
	var value []byte
	var err error
	if c.tty.StdinIsTerminal() {
		if _, err := fmt.Fprint(c.stderr, question+" (not shown): "); err != nil {
			return nil, fmt.Errorf("ask for the value: %w", err)
		}
		value, err = c.tty.ReadPassword(ctx)
		c.notef("") // the newline that was not echoed
	} else {
		// A little more than a value may have, so that too long a one is seen as such.
		value, err = await(ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(c.stdin, secrets.MaxValueLen+16)) })
	}
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	if len(bytes.TrimSpace(value)) == 0 {
		return nil, errors.New("the value is empty: type it at the prompt, or send it on standard input")
	}
	return value, nil
}
